"""A batch of images and labels: what every proxy looks at, known by its fingerprint."""

from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any, Self

import torch
from torch import Tensor

from zc_search.errors import DataError

_LABEL_TYPES = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


@dataclass(frozen=True)
class Batch:
    """Normalised images with their labels; equal to another batch if the fingerprints agree."""

    images: Tensor = field(compare=False, repr=False)  # float32, (N, C, H, W), normalised
    labels: Tensor = field(compare=False, repr=False)  # int64, (N,), each in [0, classes)
    classes: int  # of the data set, not only of those in the batch
    source: str
    fingerprint: str  # SHA-256 of the above, the same in every process and on every device

    @classmethod
    def from_tensors(
        cls, images: Tensor, labels: Tensor, classes: int | None = None, source: str = "user"
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
        fits = isinstance(images, Tensor) and images.ndim == 4 and images.is_floating_point()
        if not fits or 0 in images.shape or len(images) < 2:
            raise _refused("images", images, "a floating tensor (N, channels, height, width)")
        fits = isinstance(labels, Tensor) and labels.dtype in _LABEL_TYPES
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

    def to(self, device: torch.device | str) -> Self:
        """Return the batch on another device; the fingerprint stays."""
        return replace(self, images=self.images.to(device), labels=self.labels.to(device))


def _refused(name: str, value: Any, wanted: str) -> DataError:
    given = type(value).__name__
    if isinstance(value, Tensor):
        given = f"{value.dtype} {tuple(value.shape)}"
    message = f"{name} must be {wanted}, of at least 2 images and no empty dimension; given {given}"
    return DataError(message, key=name, given=given, allowed=(wanted,))


def _fingerprint(images: Tensor, labels: Tensor, classes: int) -> str:
    """Hash shapes, types, little-endian bytes and the number of classes."""
    digest = sha256(f"classes={classes}".encode())
    for tensor in (images, labels):
        array = tensor.cpu().numpy()
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
        digest.update(f";{array.dtype.str}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
