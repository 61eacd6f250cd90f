"""What every source of images shares, in numpy: the request, balanced labels, normalisation."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zc_search.datasets import DatasetInfo


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


def normalise(pixels: NDArray[np.uint8], info: DatasetInfo) -> NDArray[np.float32]:
    """Return ``(pixels / 255 - mean) / std`` channel by channel, for pixels (N, 3, H, W)."""
    mean, std = (np.array(value, np.float32).reshape(1, 3, 1, 1) for value in (info.mean, info.std))
    scaled: NDArray[np.float32] = (pixels.astype(np.float32) / np.float32(255) - mean) / std
    return scaled
