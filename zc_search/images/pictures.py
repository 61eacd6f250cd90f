"""Pictures of any size, mode and format brought to one: square, of one resolution."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from math import prod
from pathlib import Path
from statistics import median
from typing import Any, Literal, TypedDict, Unpack

import numpy as np
from joblib import cpu_count
from numpy.typing import NDArray
from PIL import Image, ImageOps

from zc_search.errors import DataError

Fit = Literal["crop", "pad", "stretch"]
Color = Literal["grey", "rgb"]
Pixels = NDArray[np.uint8] | NDArray[np.float32]


class Format(TypedDict, total=False):
    """How images are read; keyword arguments of every reader."""

    resolution: int | None  # height and width in pixels; None, the default: what suits the source
    color: Color | None  # None, the default: what they are
    fit: Fit  # crop the middle, the default, pad with black, or stretch
    max_unreadable: int  # most files that may be unreadable, and are left out; by default 10


LARGEST_SIDE = 64
"""Pixels of a resolution that nobody chose: small networks train in an afternoon."""

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
"""What is decoded, whatever a file's name ends in: Pillow's rarer decoders meet no foreign file.

Of several frames or pages the first one counts."""

_MOST_BYTES = 8 * 2**30
_DIM = 2**14  # values of 16 bits below which fewer than 64 grey levels are left
_GREY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "F")


@contextmanager
def reachable(path: Path) -> Iterator[None]:
    """Let the block ask what lies at a path; say so where the system does not let it."""
    try:
        yield
    except OSError as error:
        message = f"data.path = {str(path)!r}: {error.filename or path} cannot be read: "
        message += f"{error.strerror}; check its permissions and those above it"
        raise wrong("data.path", path, message) from error


def wrong(key: str, given: object, message: str) -> DataError:
    """Return the error of a setting."""
    return DataError(message, key=key, given=str(given) if isinstance(given, Path) else given)


def reason(error: Exception) -> str:
    """Return why something cannot be read, in a few words of one line."""
    text = str(error).partition("\n")[0]
    return "no image" if "cannot identify" in text else text[:80] or type(error).__name__


def listed(names: Sequence[str], most: int = 3) -> str:
    """Return the first few names, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def read_pictures(
    where: Path,
    names: Sequence[str],
    open_at: Callable[[int], Image.Image],
    *,
    by_first: bool = False,
    draft: bool = False,
    **how: Unpack[Format],
) -> tuple[Pixels, NDArray[np.bool_], tuple[str, ...]]:
    """Return pictures, (n, channels, side, side), which of them can be read, and notes.

    By default they get the median of the shorter sides, at most 64, and are grey if all are; with
    `by_first` the first one decides. With `draft` a JPEG is decoded no larger than needed.
    """

    def look(place: int) -> tuple[int, bool]:
        with open_at(place) as image:
            return min(image.size), is_grey(image)

    most = how.get("max_unreadable", 10)
    looks = [found for found in _each(where, names, look, most)[0] if isinstance(found, tuple)]
    if not looks:
        raise DataError(f"{where} holds no images", given=str(where))
    sides, greys = zip(*looks[: 1 if by_first else None], strict=True)
    side = how.get("resolution") or min(round(median(sides)), LARGEST_SIDE)
    color: Color = how.get("color") or ("grey" if all(greys) else "rgb")
    pixels = room_for(len(names), side, color)

    def read(place: int) -> int:
        with open_at(place) as image:
            if draft:
                image.draft(image.mode, (side, side))
            wide = int(np.asarray(image).max()) if _is_wide(image) else -1
            pixels[place] = as_array(upright(image), side, how.get("fit", "crop"), color)
            return wide

    results, notes = _each(where, names, read, most)
    brightest = [result for result in results if isinstance(result, int)]
    if -1 < max(brightest, default=-1) < _DIM:
        wide = f"{sum(value >= 0 for value in brightest):,} images of 16 bits have values up to "
        wide += f"{max(brightest):,} of 65,535, and their upper 8 bits leave "
        wide += f"{max(brightest) // 256 + 1:,} grey levels; scale them to the whole range."
        notes = (*notes, wide)
    readable = np.array([isinstance(result, int) for result in results], bool)
    return (pixels if readable.all() else pixels[readable]), readable, notes


def _each(
    where: Path, names: Sequence[str], task: Callable[[int], Any], most: int
) -> tuple[list[Any], tuple[str, ...]]:
    """Return what a task gives for each, by threads as Pillow lets them run; note what failed."""

    def attempt(place: int) -> object:
        try:
            return task(place)
        except Exception as error:  # Pillow's decoders raise nearly anything
            return error

    with warnings.catch_warnings(), ThreadPoolExecutor(cpu_count()) as pool:
        warnings.simplefilter("ignore")  # of odd metadata
        results = list(pool.map(attempt, range(len(names))))
    pairs = zip(names, results, strict=True)
    broken = [f"{name} ({reason(found)})" for name, found in pairs if isinstance(found, Exception)]
    counted = f"{len(broken):,} of {len(results):,} images"
    if len(broken) > most:
        message = f"cannot be read, and data.max_unreadable = {most} allows fewer: {listed(broken)}"
        raise wrong("data.max_unreadable", most, f"{counted} in {where} {message}")
    notes = (f"{counted} cannot be read and are left out: {listed(broken)}.",) if broken else ()
    return results, notes


def room_for(count: int, resolution: int, color: Color) -> NDArray[np.uint8]:
    """Return an array to write images to, (count, channels, resolution, resolution)."""
    shape = (count, 1 if color == "grey" else 3, resolution, resolution)
    if (size := prod(shape)) > _MOST_BYTES:
        message = f"{count:,} images of {resolution} x {resolution} pixels need "
        message += f"{size / 2**30:.0f} GiB of memory; set a smaller data.resolution"
        raise wrong("data.resolution", resolution, message)
    return np.empty(shape, np.uint8)


def is_grey(image: Image.Image) -> bool:
    """Whether an image has no colour, by its mode."""
    return image.mode in _GREY_MODES


def _is_wide(image: Image.Image) -> bool:
    return image.mode.startswith("I;16") or image.mode == "I"


def upright(image: Image.Image) -> Image.Image:
    """Return an image turned as its camera says, or as it is where that cannot be told."""
    image.load()
    with suppress(Exception):  # Pillow's, for damaged metadata beside pixels that are fine
        ImageOps.exif_transpose(image, in_place=True)
    return image


def as_array(image: Image.Image, resolution: int, fit: Fit, color: Color) -> NDArray[np.uint8]:
    """Return an image, on white, as uint8, (channels, side, side); of 16 bits the upper."""
    if _is_wide(image):
        image = Image.fromarray((np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype("u1"))
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    image = _fitted(image.convert("L" if color == "grey" else "RGB"), resolution, fit)
    array = np.asarray(image, np.uint8)
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


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


def fit_arrays(pixels: Pixels, resolution: int, fit: Fit) -> Pixels:
    """Bring arrays (N, channels, H, W) to a resolution; values keep their type and unit."""
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
