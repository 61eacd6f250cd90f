"""What every source of images shares, in numpy: the request, balanced labels, normalisation."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zc_search.errors import DataError
from zc_search.images.datasets import BENCHMARKED, DatasetInfo


class Request(NamedTuple):
    """What a source is asked for.

    Attributes:
        dataset: Name of the data set, a key of ``DATASETS``.
        info: Its resolution, classes and normalisation.
        batch_size: Number of images.
        rng: The only randomness that a source may use.
        path: Folder given by the user, or None.
    """

    dataset: str
    info: DatasetInfo
    batch_size: int
    rng: np.random.Generator
    path: Path | None


class Sample(NamedTuple):
    """Normalised images, float32 (N, 3, H, W), and their labels, int64 (N,)."""

    images: NDArray[np.float32]
    labels: NDArray[np.int64]


def balanced_labels(request: Request) -> NDArray[np.int64]:
    """Return shuffled labels whose counts differ by at most one; which classes lead is random."""
    classes = request.rng.permutation(request.info.classes)
    return request.rng.permutation(np.resize(classes, request.batch_size)).astype(np.int64)


def sample_labelled(
    request: Request, source: str, pixels: NDArray[np.uint8], labels: NDArray[np.int64]
) -> Sample:
    """Return distinct images of a benchmark's data set with their true labels, normalised.

    Args:
        request: What is wanted.
        source: Where the images are from; a key of `BENCHMARKED`.
        pixels: All there are, (N, 3, H, W).
        labels: Theirs, (N,).

    Raises:
        DataError: Another data set is wanted, or a class has too few images.
    """
    if request.dataset not in BENCHMARKED[source]:
        raise DataError(other_dataset(request, source))
    wanted = balanced_labels(request)
    chosen = np.empty(request.batch_size, np.int64)
    for label in np.unique(wanted):
        places, images = np.flatnonzero(wanted == label), np.flatnonzero(labels == label)
        if len(images) < len(places):
            raise DataError(
                f"batch_size={request.batch_size} needs {len(places)} images of class {label}, "
                f"but the training files in {request.path} hold {len(images)}"
            )
        chosen[places] = request.rng.choice(images, size=len(places), replace=False)
    return Sample(normalise(pixels[chosen], request.info), wanted)


def other_dataset(request: Request, source: str) -> str:
    """Say that a source's images belong to another data set than the one asked for."""
    names = BENCHMARKED[source]
    which = f"one of {', '.join(names)}" if len(names) > 1 else repr(names[0])
    return (
        f"source {source!r} gives images and labels of {names[0]}, so dataset must be {which}, "
        f"given {request.dataset!r}; sources 'patches' and 'noise' follow any dataset"
    )


def normalise(pixels: NDArray[np.uint8], info: DatasetInfo) -> NDArray[np.float32]:
    """Return ``(pixels / 255 - mean) / std`` channel by channel, for pixels (N, 3, H, W)."""
    mean, std = (np.array(value, np.float32).reshape(1, 3, 1, 1) for value in (info.mean, info.std))
    scaled: NDArray[np.float32] = (pixels.astype(np.float32) / np.float32(255) - mean) / std
    return scaled
