"""Natural images without a download: patches of the two photographs that scikit-learn ships."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from zc_search.errors import DataError
from zc_search.images.sampling import Request, Sample, balanced_labels, normalise

_REDUCTIONS = (1, 2, 4)

# A patch of plain sky is next to constant: batch norm would blow up its JPEG noise, and all such
# patches look alike to the proxies that compare the images of a batch. Of 2,000 CIFAR-10 images
# none had a spatial standard deviation below 0.046 (mean over channels, pixels in [0, 1]).
_MIN_STD = 0.04

# Fewer than half of all positions are flat: a batch that so many draws do not fill is too large.
_DRAWS_PER_PATCH = 50


def load_patches(request: Request) -> Sample:
    """Return patches at distinct places of two photographs, at scales 1, 1/2 and 1/4.

    A patch has the data set's resolution. The labels are random: no patch has a class. Proxies
    rank architectures on them as well as on CIFAR-10 images.

    Raises:
        DataError: If the photographs do not hold ``batch_size`` distinct patches.
    """
    labels = balanced_labels(request)
    side, rng, levels = request.info.resolution, request.rng, _levels()
    patches: dict[tuple[int, int, int], NDArray[np.uint8]] = {}
    for _ in range(_DRAWS_PER_PATCH * request.batch_size):
        level = int(rng.integers(len(levels)))
        height, width, _ = levels[level].shape
        top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
        patch = levels[level][top : top + side, left : left + side]
        if patch.std(axis=(0, 1)).mean() >= 255 * _MIN_STD:
            patches[level, top, left] = patch
        if len(patches) == request.batch_size:
            pixels = np.stack(list(patches.values())).transpose(0, 3, 1, 2)
            return Sample(normalise(pixels, request.info), labels)
    raise DataError(
        f"batch_size={request.batch_size} is more distinct patches than the photographs of "
        f"source 'patches' give; {len(patches)} were found"
    )


@lru_cache(maxsize=1)
def _levels() -> tuple[NDArray[np.uint8], ...]:
    """Return each photograph at each scale, (H, W, 3), read-only because the cache shares them."""
    # scikit-learn takes a second or two to import, and only this source needs it.
    from sklearn.datasets import load_sample_images

    photographs = [Image.fromarray(pixels) for pixels in load_sample_images().images]
    levels = [
        np.array(photograph.reduce(factor), np.uint8)  # the mean of factor x factor pixels
        for photograph in photographs
        for factor in _REDUCTIONS
    ]
    for level in levels:
        level.flags.writeable = False
    return tuple(levels)
