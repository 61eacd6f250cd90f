"""The batch that is scored, and every source of images by name: read whole, or as a batch."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from hashlib import sha256
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, Unpack, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from zc_search.errors import DataError
from zc_search.images.datasets import DATASETS, SOURCES, DatasetInfo, DatasetName
from zc_search.images.image_set import ImageSet
from zc_search.images.official import LAYOUTS, read_official
from zc_search.images.pictures import Format, wrong
from zc_search.images.readers import read_dataset, read_digits, read_folder, read_npz, read_saved

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_MOST_BYTES = 8 * 2**30

# A patch of plain sky is next to constant: batch norm would blow up its JPEG noise, and all such
# patches look alike to the proxies that compare the images of a batch. Of 2,000 CIFAR-10 images
# none had a spatial standard deviation below 0.046 (mean over channels, pixels in [0, 1]).
_MIN_STD = 0.04

# Fewer than half of all positions are flat: a batch that so many draws do not fill is too large.
_DRAWS_PER_PATCH = 50


_READERS: dict[str, Callable[..., ImageSet]] = {
    "digits": read_digits,
    "npz": read_npz,
    "folder": read_folder,
    "huggingface": read_saved,
}


@dataclass(frozen=True)
class Batch:
    """Normalised images with their labels; equal to another batch if the fingerprints agree."""

    images: "Tensor" = field(compare=False, repr=False)  # float32, (N, C, H, W), normalised
    labels: "Tensor" = field(compare=False, repr=False)  # int64, (N,), each in [0, classes)
    classes: int  # of the data set, not only of those in the batch
    source: str
    fingerprint: str  # SHA-256 of the above, the same in every process and on every device

    @classmethod
    def from_tensors(
        cls, images: "Tensor", labels: "Tensor", classes: int | None = None, source: str = "user"
    ) -> Self:
        """Check and copy a user's own tensors into a batch.

        Args:
            images: Normalised images, any floating type, (N, C, H, W) with N at least 2.
            labels: Integer labels, (N,).
            classes: Number of classes; one more than the largest label if None.
            source: A name for where the images come from.

        Raises:
            DataError: A shape, type or value does not fit.
        """
        import torch

        fits = isinstance(images, torch.Tensor) and images.ndim == 4 and images.is_floating_point()
        if not fits or 0 in images.shape or len(images) < 2:
            raise _refused("images", images, "a floating tensor (N, channels, height, width)")
        fits = isinstance(labels, torch.Tensor) and labels.dtype in (
            *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8),
        )
        if not fits or labels.shape != images.shape[:1]:
            raise _refused("labels", labels, f"an integer tensor ({len(images)},)")
        # Copied, so that a later change of the user's tensors cannot belie the fingerprint.
        images = images.detach().to(torch.float32, copy=True).contiguous()
        labels = labels.detach().to(torch.int64, copy=True).contiguous()
        if not torch.isfinite(images).all():
            raise DataError("images hold NaN or infinite values", key="images")
        low, high = int(labels.min()), int(labels.max())
        count = high + 1 if classes is None else classes
        if low < 0 or high >= count:
            message = f"labels must lie in [0, classes) with classes={count}, given {low} to {high}"
            raise DataError(message, key="labels")
        return cls(images, labels, count, source, _fingerprint(images, labels, count))

    def to(self, device: "torch.device | str") -> Self:
        """Return the batch on another device; the fingerprint stays."""
        return replace(self, images=self.images.to(device), labels=self.labels.to(device))


def _refused(name: str, value: Any, wanted: str) -> DataError:
    given = type(value).__name__
    if hasattr(value, "numel"):
        given = f"{value.dtype} {tuple(value.shape)}"
    message = f"{name} must be {wanted}, of at least 2 images and no empty dimension; given {given}"
    return DataError(message, key=name, given=given, allowed=(wanted,))


def _fingerprint(images: "Tensor", labels: "Tensor", classes: int) -> str:
    """Hash shapes, types, little-endian bytes and the number of classes."""
    digest = sha256(f"classes={classes}".encode())
    for tensor in (images, labels):
        array = tensor.cpu().numpy()
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        digest.update(f";{array.dtype.str}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def read_images(source: str, path: str | Path | None = None, **how: Unpack[Format]) -> ImageSet:
    """Read all images of a source.

    Args:
        source: A key of `SOURCES` that does not make its images up, or ``module:object``, a torch
            ``Dataset`` of the user's own.
        path: File or folder, for a source that reads one.
        how: ``resolution``, ``color`` and ``fit``: what images are brought to; and
            ``max_unreadable``, by default 10: most files that may be unreadable and are left out.

    Raises:
        DataError: They are made up and have no classes, or cannot be read; says why.
    """
    where = None if path is None else Path(path).expanduser()
    if ":" in source:
        return read_dataset(source, where, **how)
    if source not in SOURCES:
        raise DataError.unknown("image source", source, SOURCES, key="data.source")
    known = SOURCES[source]
    if known.generated:
        message = f"the images of data.source = {source!r} have no classes, so nothing can be "
        message += "learnt from them; name images with classes, such as source = 'folder'"
        allowed = [name for name in SOURCES if not SOURCES[name].generated]
        raise DataError(message, key="data.source", given=source, allowed=allowed)
    if source in LAYOUTS:
        return read_official(source, where, **how)
    if known.path and where is None:
        raise DataError(f"data.source = {source!r} needs data.path: {known.path}", key="data.path")
    return _READERS[source](where, **how)


def batch_of(images: ImageSet, size: int, seed: int, validation: float) -> Batch:
    """Return the batch to score on: images to train on, classes as even as they allow."""
    import torch

    training, _ = images.split(validation, seed)
    if len(training) < size:
        there = f"{len(images.labels)} images, {len(training)} of them to train on"
        message = f"{images.name} has {there}: fewer than data.batch_size = {size}; add images, "
        raise wrong("data.batch_size", size, f"{message}or set a smaller batch_size")
    rng = np.random.default_rng([seed, 2])
    # Each class's images in random order; then first ones before second ones, and so on.
    shuffled = rng.permutation(training)
    labels = images.labels[shuffled]
    turn = np.empty(len(shuffled), np.int64)
    for label in range(len(images.class_names)):
        mine = np.flatnonzero(labels == label)
        turn[mine] = np.arange(len(mine))
    tie = rng.permutation(len(images.class_names))[labels]
    chosen = rng.permutation(shuffled[np.lexsort((tie, turn))[:size]])
    mean, spread = images.statistics(training)
    centred = images.pixels[chosen].astype(np.float32) - mean[:, None, None]
    values = torch.from_numpy(centred / spread[:, None, None])
    labels = torch.from_numpy(images.labels[chosen])
    return Batch.from_tensors(values, labels, len(images.class_names), images.name)


def load_batch(
    source: str = "patches",
    dataset: str = "cifar10",
    batch_size: int = 64,
    seed: int = 0,
    path: str | Path | None = None,
) -> Batch:
    """Return the batch that a source gives for a benchmark's data set and a seed.

    It is the same in every process. Labels are as even as ``batch_size`` allows (distinct, where
    it is below the number of classes) and shuffled. No global random state is read or changed.

    Args:
        source: ``patches`` of two photographs (random labels), Gaussian ``noise`` (random labels),
            or ``cifar10``, ``cifar100`` and ``ImageNet16-120``, the training images and their
            labels. For ``cifar10-valid`` the images may be of either half of the training set: no
            accuracy is computed on them.
        dataset: Data set whose resolution, classes and normalisation the batch follows.
        batch_size: Number of images, at least 2.
        seed: Seed of the choice of images and labels, at least 0.
        path: Folder of the images, for a source that reads them.

    Raises:
        DataError: An argument is not allowed, or the images are missing or damaged.
    """
    import torch

    _check(source, dataset, batch_size, seed)
    info = DATASETS[cast("DatasetName", dataset)]
    images = None if SOURCES[source].generated else read_images(source, path)
    if images is not None and len(images.class_names) < info.classes:
        there = f"{len(images.class_names)} of the {info.classes} classes of {dataset}"
        raise wrong("data.path", str(path), f"the files in {path} hold images of {there}")
    rng = np.random.default_rng(seed)
    classes = rng.permutation(info.classes)  # which classes lead is random
    labels = rng.permutation(np.resize(classes, int(batch_size))).astype(np.int64)
    if source == "noise":
        shape = (len(labels), 3, info.resolution, info.resolution)
        values = rng.standard_normal(shape, dtype=np.float32)  # as normalised images would have it
    elif images is None:
        values = _normalise(_patches(len(labels), info.resolution, rng), info)
    else:
        values = _normalise(images.pixels[images.with_labels(labels, rng)], info)
    return Batch.from_tensors(
        torch.from_numpy(values), torch.from_numpy(labels), classes=info.classes, source=source
    )


def _check(source: str, dataset: str, batch_size: int, seed: int) -> None:
    batches = [name for name in SOURCES if SOURCES[name].datasets]
    if source not in batches:
        raise DataError.unknown("image source", source, batches)
    if dataset not in DATASETS:
        raise DataError.unknown("dataset", dataset, DATASETS)
    if dataset not in (allowed := SOURCES[source].datasets):
        message = f"source {source!r} gives images of {allowed[0]}, so dataset must be "
        message += f"{' or '.join(allowed)}, given {dataset!r}; 'patches' and 'noise' follow any"
        raise DataError(f"{message} dataset", key="dataset", given=dataset, allowed=allowed)
    for name, value, least in (("batch_size", batch_size, 2), ("seed", seed, 0)):
        if not isinstance(value, Integral) or value < least:
            message = f"{name} must be a whole number of at least {least}, given {value!r}"
            raise wrong(name, value, message)
    if (size := 12 * batch_size * DATASETS[dataset].resolution ** 2) > _MOST_BYTES:
        needed = f"{batch_size:,} images need {size / 2**30:,.0f} GiB of memory"
        message = f"data.batch_size: {needed}; Allowed: such as 64"
        raise wrong("data.batch_size", batch_size, message)


def _normalise(pixels: NDArray[np.generic], info: DatasetInfo) -> NDArray[np.float32]:
    """Return ``(pixels / 255 - mean) / std`` channel by channel, for pixels (N, 3, H, W)."""
    mean, std = (np.array(value, np.float32).reshape(1, 3, 1, 1) for value in (info.mean, info.std))
    scaled: NDArray[np.float32] = (pixels.astype(np.float32) / np.float32(255) - mean) / std
    return scaled


def _patches(count: int, side: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return patches at distinct places of two photographs, at scales 1, 1/2 and 1/4."""
    levels = _levels()
    patches: dict[tuple[int, int, int], NDArray[np.uint8]] = {}
    for _ in range(_DRAWS_PER_PATCH * count):
        level = int(rng.integers(len(levels)))
        height, width, _ = levels[level].shape
        top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
        patch = levels[level][top : top + side, left : left + side]
        if patch.std(axis=(0, 1)).mean() >= 255 * _MIN_STD:
            patches[level, top, left] = patch
        if len(patches) == count:
            return np.stack(list(patches.values())).transpose(0, 3, 1, 2)
    message = "is more distinct patches than the photographs of source 'patches' give"
    raise wrong("batch_size", count, f"batch_size={count} {message}; {len(patches)} were found")


@lru_cache(maxsize=1)
def _levels() -> tuple[NDArray[np.uint8], ...]:
    """Return each photograph at each scale, (H, W, 3), read-only because the cache shares them."""
    # scikit-learn takes a second or two to import, and only this source needs it.
    from sklearn.datasets import load_sample_images

    levels = [
        np.array(Image.fromarray(pixels).reduce(factor), np.uint8)  # mean of factor x factor pixels
        for pixels in load_sample_images().images
        for factor in (1, 2, 4)
    ]
    for level in levels:
        level.flags.writeable = False
    return tuple(levels)
