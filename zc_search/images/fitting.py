"""Images of any size and mode brought to one: square, of one resolution, grey or colour."""

from math import prod
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from zc_search.errors import DataError

Fit = Literal["crop", "pad", "stretch"]
Color = Literal["grey", "rgb"]

LARGEST_SIDE = 64
"""Pixels of a resolution that nobody chose: small networks train in an afternoon."""

_MOST_BYTES = 8 * 2**30

_GREY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "F")


def is_grey(image: Image.Image) -> bool:
    """Whether an image has no colour, by its mode."""
    return image.mode in _GREY_MODES


def room_for(count: int, resolution: int, color: Color) -> NDArray[np.uint8]:
    """Return an array for images to be written to, (count, channels, resolution, resolution).

    Raises:
        DataError: It would take more memory than is reasonable.
    """
    shape = (count, 1 if color == "grey" else 3, resolution, resolution)
    if (size := prod(shape)) > _MOST_BYTES:
        raise DataError(
            f"{count:,} images of {resolution} x {resolution} pixels need {size / 2**30:.0f} GiB "
            "of memory; set a smaller data.resolution"
        )
    return np.empty(shape, np.uint8)


def as_array(image: Image.Image, resolution: int, fit: Fit, color: Color) -> NDArray[np.uint8]:
    """Return an image as uint8, (channels, resolution, resolution).

    What is transparent is put on white; 16-bit greys keep their upper 8 bits.

    Args:
        image: Of any mode and size.
        resolution: In pixels.
        fit: ``crop`` the middle after scaling the shorter side; ``pad`` with black after scaling
            the longer one; or ``stretch`` both.
        color: ``grey`` for one channel, ``rgb`` for three.
    """
    image = _plain(image, "L" if color == "grey" else "RGB")
    array = np.asarray(_fitted(image, resolution, fit), np.uint8)
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


def fit_arrays(
    pixels: NDArray[np.uint8] | NDArray[np.float32], resolution: int, fit: Fit
) -> NDArray[np.uint8] | NDArray[np.float32]:
    """Bring arrays (N, channels, H, W) to a resolution, each channel for itself.

    Values keep their type and unit, as any number of channels and any range of floats may come.
    """
    count, channels = pixels.shape[:2]
    if pixels.shape[2:] == (resolution, resolution):
        return pixels
    fitted = np.empty((count, channels, resolution, resolution), np.float32)
    for place in np.ndindex(count, channels):
        image = Image.fromarray(pixels[place].astype(np.float32))
        fitted[place] = np.asarray(_fitted(image, resolution, fit))
    return _as_given(fitted, pixels)


def to_color(
    pixels: NDArray[np.uint8] | NDArray[np.float32], color: Color | None
) -> NDArray[np.uint8] | NDArray[np.float32]:
    """Return arrays (N, channels, H, W) with one channel, with three, or as they are."""
    channels = pixels.shape[1]
    if color == "rgb" and channels == 1:
        return pixels.repeat(3, axis=1)
    if color == "grey" and channels == 3:
        # The luma of ITU-R 601, as Pillow's mode L has it.
        grey = np.einsum("nchw,c->nhw", pixels.astype(np.float32), (0.299, 0.587, 0.114))[:, None]
        return _as_given(grey.astype(np.float32), pixels)
    return pixels


def _as_given(
    values: NDArray[np.float32], pixels: NDArray[np.uint8] | NDArray[np.float32]
) -> NDArray[np.uint8] | NDArray[np.float32]:
    return values.round().astype(np.uint8) if pixels.dtype == np.uint8 else values


def _plain(image: Image.Image, mode: str) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode == "I":
        image = Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype("u1"))
    transparent = image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info
    if transparent:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return image.convert(mode)


def _fitted(image: Image.Image, resolution: int, fit: Fit) -> Image.Image:
    """Return an image scaled to a square; nothing larger than it is made on the way."""
    width, height = image.size
    bilinear, square = Image.Resampling.BILINEAR, (resolution, resolution)
    if fit == "crop":
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        return image.resize(square, bilinear, (left, top, left + side, top + side))
    if fit == "stretch":
        if width < resolution < height:  # Pillow would widen all the height of a strip first
            image = image.resize((width, resolution), bilinear)
        return image.resize(square, bilinear)
    scale = resolution / max(width, height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    left, top = (size[0] - resolution) // 2, (size[1] - resolution) // 2
    # Beyond the image, Pillow's crop is black.
    return image.resize(size, bilinear).crop((left, top, left + resolution, top + resolution))
