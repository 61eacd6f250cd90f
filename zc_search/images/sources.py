"""Named sources of class-balanced, normalised batches."""

from collections.abc import Callable, Mapping
from numbers import Integral
from pathlib import Path
from typing import cast

import numpy as np
import torch

from zc_search.errors import DataError, unknown_name
from zc_search.images.batch import Batch
from zc_search.images.cifar import load_cifar10, load_cifar100, load_imagenet16
from zc_search.images.datasets import DATASETS, DatasetName
from zc_search.images.noise import load_noise
from zc_search.images.patches import load_patches
from zc_search.images.sampling import Request, Sample

SOURCES: Mapping[str, Callable[[Request], Sample]] = {
    "patches": load_patches,
    "noise": load_noise,
    "cifar10": load_cifar10,
    "cifar100": load_cifar100,
    "ImageNet16-120": load_imagenet16,
}


def load_batch(
    source: str = "patches",
    dataset: str = "cifar10",
    batch_size: int = 64,
    seed: int = 0,
    path: str | Path | None = None,
) -> Batch:
    """Return the batch that a source gives for a seed: the same in every process.

    Labels are as even as ``batch_size`` allows (distinct, where it is below the number of classes)
    and shuffled. No global random state is read or changed.

    Args:
        source: A key of ``SOURCES``: ``patches`` of two photographs (random labels), Gaussian
            ``noise`` (random labels), or ``cifar10``, ``cifar100`` and ``ImageNet16-120``, the
            training images and their labels.
        dataset: Data set whose resolution, classes and normalisation the batch follows.
        batch_size: Number of images, at least 2.
        seed: Seed of the choice of images and labels, at least 0.
        path: Folder of the images, for a source that reads them.

    Raises:
        DataError: If an argument is not allowed, or the images are missing or damaged.
    """
    if source not in SOURCES:
        raise DataError(unknown_name("image source", source, SOURCES))
    info = DATASETS.get(cast("DatasetName", dataset))
    if info is None:
        raise DataError(unknown_name("dataset", dataset, DATASETS))
    for name, value, least in (("batch_size", batch_size, 2), ("seed", seed, 0)):
        if not isinstance(value, Integral) or value < least:
            raise DataError(f"{name} must be a whole number of at least {least}, given {value!r}")
    folder = None if path is None else Path(path).expanduser()
    request = Request(dataset, info, int(batch_size), np.random.default_rng(seed), folder)
    images, labels = SOURCES[source](request)

    return Batch.from_tensors(
        torch.from_numpy(images), torch.from_numpy(labels), classes=info.classes, source=source
    )
