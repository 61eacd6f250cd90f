"""A folder of images, one sub-folder a class, as cameras and archives leave them."""

import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from os import cpu_count
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, TypeVar

import numpy as np
from PIL import Image, ImageOps

from zc_search.data.fitting import FORMATS, UNREADABLE, Color, Fit, as_array, is_grey
from zc_search.data.image_set import SMALLEST_SIDE, ImageSet
from zc_search.errors import DataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")

_SPLITS = {"train", "training", "val", "valid", "validation", "test", "testing"}
_LARGEST = 64  # pixels of a resolution that nobody chose: small networks train in an afternoon
_MOST_BYTES = 8 * 2**30
_NAMED = 3


_R = TypeVar("_R")


class _Look(NamedTuple):
    """What the head of a file says: its shorter side, and whether it is grey."""

    side: int
    grey: bool


def read_folder(
    path: Path,
    *,
    resolution: int | None = None,
    color: Color | None = None,
    fit: Fit = "crop",
    max_unreadable: int = 10,
) -> ImageSet:
    """Read every image below a folder; the sub-folder it lies in, at any depth, is its class.

    Files whose names begin with a dot or do not end in one of `SUFFIXES` are passed over.

    Args:
        path: Holds one sub-folder a class.
        resolution: In pixels; None for the median of the shorter sides, at most 64.
        color: None for grey where all images are.
        fit: See `as_array`.
        max_unreadable: Most images that may be left out because they cannot be read.

    Raises:
        DataError: No folder, fewer than two classes, or more unreadable images than allowed.
    """
    classes = _classes(path)
    files = [file for found in classes.values() for file in found]
    looks = _each(files, _look)
    seen = [look for look in looks if isinstance(look, _Look)]
    _refuse_many(path, looks, files, max_unreadable)
    side = round(median(look.side for look in seen)) if seen else _LARGEST
    if resolution is None and side < SMALLEST_SIDE:
        raise DataError(
            f"the images in {path} are {side} pixels high or wide, but the networks halve them "
            f"twice and need {SMALLEST_SIDE}; data.resolution = {SMALLEST_SIDE} or more enlarges "
            "them"
        )
    size = resolution or min(side, _LARGEST)
    chosen: Color = color or ("grey" if seen and all(look.grey for look in seen) else "rgb")
    pixels = np.empty((len(files), 1 if chosen == "grey" else 3, size, size), np.uint8)
    if pixels.nbytes > _MOST_BYTES:
        raise DataError(
            f"{len(files):,} images of {size} x {size} pixels need {pixels.nbytes / 2**30:.0f} GiB "
            "of memory; set a smaller data.resolution"
        )

    def read(place: int) -> None:
        with Image.open(files[place], formats=FORMATS) as image:
            image.draft(image.mode, (size, size))  # a JPEG is decoded no larger than needed
            pixels[place] = as_array(ImageOps.exif_transpose(image), size, fit, chosen)

    results = _each(range(len(files)), read)
    notes = _refuse_many(path, results, files, max_unreadable)
    readable = np.array([not isinstance(result, Exception) for result in results])
    labels = np.repeat(np.arange(len(classes)), [len(found) for found in classes.values()])
    for label, name in enumerate(classes):
        if not readable[labels == label].any():
            raise DataError(f"no image of class {name!r} in {path} can be read")
    names, odd = _printable(list(classes))
    return ImageSet(path.name, pixels[readable], labels[readable], names, (*odd, *notes))


def _classes(path: Path) -> dict[str, list[Path]]:
    """Return the images of each class by its folder's name, all sorted."""
    if not path.is_dir():
        raise DataError(f"data.path = {str(path)!r} is no folder")
    found = {
        folder.name: _images_in(folder)
        for folder in sorted(path.iterdir())
        if folder.is_dir() and not folder.name.startswith(".")
    }
    classes = {name: files for name, files in found.items() if files}
    if classes and {name.lower() for name in classes} <= _SPLITS:
        best = next((name for name in classes if name.lower().startswith("train")), min(classes))
        raise DataError(
            f"the sub-folders of {path}, {', '.join(classes)}, are splits and not classes; "
            f"set data.path = {str(path / best)!r}"
        )
    if len(classes) < 2:
        here = "one sub-folder with images" if classes else "no sub-folder with images"
        loose = len(_images_in(path)) - sum(map(len, classes.values()))
        extra = f" ({loose:,} images lie beside)" if loose else ""
        raise DataError(
            f"{path} has {here}{extra}; it must hold one sub-folder a class, two or more, with "
            f"images ending in {', '.join(SUFFIXES)}"
        )
    return classes


def _images_in(folder: Path) -> list[Path]:
    return sorted(
        file
        for file in folder.rglob("*")
        if file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file()
    )


def _look(file: Path) -> _Look:
    with Image.open(file, formats=FORMATS) as image:
        return _Look(min(image.size), is_grey(image))


def _each(items: Sequence[Any], task: Callable[[Any], _R]) -> list[_R | Exception]:
    """Return what a task gives for each item, or why it cannot; Pillow lets threads run."""

    def attempt(item: object) -> _R | Exception:
        try:
            return task(item)
        except UNREADABLE as error:
            return error

    with warnings.catch_warnings(), ThreadPoolExecutor(cpu_count()) as pool:
        warnings.simplefilter("ignore")  # of odd metadata
        return list(pool.map(attempt, items))


def _refuse_many(
    path: Path, results: Sequence[object], files: list[Path], most: int
) -> tuple[str, ...]:
    """Return a note that names what cannot be read, or raise where that is too much."""
    broken = [
        f"{file.relative_to(path)} ({_reason(result)})"
        for file, result in zip(files, results, strict=True)
        if isinstance(result, Exception)
    ]
    if not broken:
        return ()
    more = f" and {len(broken) - _NAMED:,} more" if len(broken) > _NAMED else ""
    said = f"{', '.join(broken[:_NAMED])}{more}"
    if len(broken) > most:
        raise DataError(
            f"{len(broken):,} of {len(files):,} images in {path} cannot be read, and "
            f"data.max_unreadable = {most} allows fewer: {said}"
        )
    return (f"{len(broken):,} of {len(files):,} images cannot be read and are left out: {said}.",)


def _reason(error: Exception) -> str:
    text = str(error).partition("\n")[0]
    return "no image" if "cannot identify" in text else text[:80] or type(error).__name__


def _printable(names: list[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return names that every file and terminal can show, and a note on those that were changed."""
    shown = tuple(
        name
        if name.isprintable()
        else name.encode("unicode_escape", "backslashreplace").decode("ascii")
        for name in names
    )
    changed = [new for old, new in zip(names, shown, strict=True) if old != new]
    if not changed:
        return shown, ()
    listed = ", ".join(map(repr, changed))
    return shown, (f"Class names with characters that cannot be shown are written as {listed}.",)
