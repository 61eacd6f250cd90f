"""Pictures of any size, mode and format brought to one: square, of one resolution, grey or colour.

Foreign formats are parsed by Pillow, whose decoders may raise anything for a damaged file.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from math import prod
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from zc_search._utils.cores import available_cores
from zc_search.errors import DataError

Fit = Literal["crop", "pad", "stretch"]
Color = Literal["grey", "rgb"]
Pixels = NDArray[np.uint8] | NDArray[np.float32]


class Format(TypedDict, total=False):
    """What images are brought to; keyword arguments of every reader.

    Attributes:
        resolution: Height and width in pixels; None, the default, for what suits the source.
        color: ``grey`` for one channel, ``rgb`` for three; None, the default, for what they are.
        fit: ``crop`` the middle after scaling the shorter side, the default; ``pad`` with black
            after scaling the longer one; or ``stretch`` both.
    """

    resolution: int | None
    color: Color | None
    fit: Fit


LARGEST_SIDE = 64
"""Pixels of a resolution that nobody chose: small networks train in an afternoon."""

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
"""What is decoded, whatever a file's name ends in: Pillow's rarer decoders meet no foreign file."""

_MOST_BYTES = 8 * 2**30
_NAMED = 3
_GREY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "F")


@contextmanager
def reachable(path: Path) -> Iterator[None]:
    """Let the block ask what lies at a path; say so where the system does not let it."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"data.path = {str(path)!r}: {error.filename or path} cannot be read: "
            f"{error.strerror}; check its permissions and those of the folders above it",
            key="data.path",
            given=str(path),
        ) from error


def reason(error: Exception) -> str:
    """Return why something cannot be read, in a few words of one line."""
    text = str(error).partition("\n")[0]
    return "no image" if "cannot identify" in text else text[:80] or type(error).__name__


# Many pictures ----------------------------------------------------------------------------------


class Look(NamedTuple):
    """What the head of a picture says: its shorter side, and whether it is grey."""

    side: int
    grey: bool


class Pictures:
    """Pictures that are opened one by one, by threads: Pillow lets them run.

    Args:
        where: What holds them, for messages.
        names: What messages call each.
        open_at: Opens the one at a place.
        most: How many may be unreadable, and are left out.
    """

    def __init__(
        self, where: str, names: Sequence[str], open_at: Callable[[int], Image.Image], most: int
    ) -> None:
        self._where, self._names, self._open, self._most = where, names, open_at, most
        self.notes: tuple[str, ...] = ()

    def looks(self) -> list[Look]:
        """Return what the heads say of those that have a readable one."""

        def look(place: int) -> Look:
            with self._open(place) as image:
                return Look(min(image.size), is_grey(image))

        return [found for found in self._each(look) if isinstance(found, Look)]

    def read(
        self, resolution: int, fit: Fit, color: Color, *, draft: bool = False
    ) -> tuple[Pixels, NDArray[np.bool_]]:
        """Return those that can be read, (n, channels, resolution, resolution), and which they are.

        With ``draft`` a JPEG is decoded no larger than needed.
        """
        pixels = room_for(len(self._names), resolution, color)

        def read(place: int) -> None:
            with self._open(place) as image:
                if draft:
                    image.draft(image.mode, (resolution, resolution))
                pixels[place] = as_array(upright(image), resolution, fit, color)

        readable = np.array([result is None for result in self._each(read)], bool)
        return (pixels if readable.all() else pixels[readable]), readable

    def _each(self, task: Callable[[int], Any]) -> list[Any]:
        """Return what a task gives for each, or why it cannot; note or refuse what is broken."""

        def attempt(place: int) -> object:
            try:
                return task(place)
            except Exception as error:  # Pillow's decoders raise nearly anything
                return error

        with warnings.catch_warnings(), ThreadPoolExecutor(available_cores()) as pool:
            warnings.simplefilter("ignore")  # of odd metadata
            results = list(pool.map(attempt, range(len(self._names))))
        broken = [
            f"{name} ({reason(result)})"
            for name, result in zip(self._names, results, strict=True)
            if isinstance(result, Exception)
        ]
        more = f" and {len(broken) - _NAMED:,} more" if len(broken) > _NAMED else ""
        counted = f"{len(broken):,} of {len(results):,} images"
        listed = f"{', '.join(broken[:_NAMED])}{more}"
        if len(broken) > self._most:
            raise DataError(
                f"{counted} in {self._where} cannot be read, and data.max_unreadable = "
                f"{self._most} allows fewer: {listed}",
                key="data.max_unreadable",
                given=self._most,
            )
        self.notes = (f"{counted} cannot be read and are left out: {listed}.",) if broken else ()
        return results


def room_for(count: int, resolution: int, color: Color) -> NDArray[np.uint8]:
    """Return an array to write images to, (count, channels, resolution, resolution)."""
    shape = (count, 1 if color == "grey" else 3, resolution, resolution)
    if (size := prod(shape)) > _MOST_BYTES:
        raise DataError(
            f"{count:,} images of {resolution} x {resolution} pixels need {size / 2**30:.0f} GiB "
            "of memory; set a smaller data.resolution",
            key="data.resolution",
            given=resolution,
        )
    return np.empty(shape, np.uint8)


# One picture ------------------------------------------------------------------------------------


def is_grey(image: Image.Image) -> bool:
    """Whether an image has no colour, by its mode."""
    return image.mode in _GREY_MODES


def upright(image: Image.Image) -> Image.Image:
    """Return an image turned as its camera says, or as it is where that cannot be told."""
    image.load()
    with suppress(Exception):  # Pillow's, for damaged metadata beside pixels that are fine
        ImageOps.exif_transpose(image, in_place=True)
    return image


def as_array(image: Image.Image, resolution: int, fit: Fit, color: Color) -> NDArray[np.uint8]:
    """Return an image of any mode and size as uint8, (channels, resolution, resolution).

    What is transparent is put on white; 16-bit greys keep their upper 8 bits.
    """
    image = _plain(image, "L" if color == "grey" else "RGB")
    array = np.asarray(_fitted(image, resolution, fit), np.uint8)
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


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


# Arrays -----------------------------------------------------------------------------------------


def fit_arrays(pixels: Pixels, resolution: int, fit: Fit) -> Pixels:
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


def to_color(pixels: Pixels, color: Color | None) -> Pixels:
    """Return arrays (N, channels, H, W) with one channel, with three, or as they are."""
    channels = pixels.shape[1]
    if color == "rgb" and channels == 1:
        return pixels.repeat(3, axis=1)
    if color == "grey" and channels == 3:
        # The luma of ITU-R 601, as Pillow's mode L has it.
        grey = np.einsum("nchw,c->nhw", pixels.astype(np.float32), (0.299, 0.587, 0.114))[:, None]
        return _as_given(grey.astype(np.float32), pixels)
    return pixels


def _as_given(values: NDArray[np.float32], pixels: Pixels) -> Pixels:
    return values.round().astype(np.uint8) if pixels.dtype == np.uint8 else values
