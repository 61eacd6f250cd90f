"""A folder of images, one sub-folder a class, as cameras and archives leave them."""

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple, TypeVar

import numpy as np
from PIL import Image

from zc_search._utils.cores import available_cores
from zc_search.errors import DataError
from zc_search.images.fitting import LARGEST_SIDE, Color, Fit, as_array, is_grey, room_for
from zc_search.images.image_set import SMALLEST_SIDE, ImageSet, printable
from zc_search.images.reading import FORMATS, reachable, reason, upright

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")

_SPLITS = {"train", "training", "val", "valid", "validation", "test", "testing"}
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
        DataError: No folder, one that may not be looked into, fewer than two classes, or more
            unreadable images than allowed.
    """
    classes, passed_over = _classes(path)
    files = [file for found in classes.values() for file in found]
    looks = _each(files, _look)
    seen = [look for look in looks if isinstance(look, _Look)]
    _refuse_many(path, looks, files, max_unreadable)
    side = round(median(look.side for look in seen)) if seen else LARGEST_SIDE
    if resolution is None and side < SMALLEST_SIDE:
        raise DataError(
            f"the images in {path} are {side} pixels high or wide, but the networks halve them "
            f"twice and need {SMALLEST_SIDE}; data.resolution = {SMALLEST_SIDE} or more enlarges "
            "them"
        )
    size = resolution or min(side, LARGEST_SIDE)
    chosen: Color = color or ("grey" if seen and all(look.grey for look in seen) else "rgb")
    pixels = room_for(len(files), size, chosen)

    def read(place: int) -> None:
        with Image.open(files[place], formats=FORMATS) as image:
            image.draft(image.mode, (size, size))  # a JPEG is decoded no larger than needed
            pixels[place] = as_array(upright(image), size, fit, chosen)

    results = _each(range(len(files)), read)
    notes = _refuse_many(path, results, files, max_unreadable)
    readable = np.array([not isinstance(result, Exception) for result in results])
    labels = np.repeat(np.arange(len(classes)), [len(found) for found in classes.values()])
    for label, name in enumerate(classes):
        if not readable[labels == label].any():
            raise DataError(f"no image of class {name!r} in {path} can be read")
    names, odd = printable(list(classes))
    notes = (*odd, *passed_over, *notes)
    return ImageSet(path.name, pixels[readable], labels[readable], names, notes)


def _classes(path: Path) -> tuple[dict[str, list[Path]], tuple[str, ...]]:
    """Return the images of each class by its folder's name, all sorted, and what is no class."""
    with reachable(path):
        if not path.is_dir():
            raise DataError(f"data.path = {str(path)!r} is no folder")
        below = {
            folder.name: _files_in(folder)
            for folder in sorted(path.iterdir())
            if folder.is_dir() and not folder.name.startswith(".")
        }
        beside = [file for file in path.iterdir() if _is_image(file) and file.is_file()]
    found = {name: list(filter(_is_image, files)) for name, files in below.items()}
    classes = {name: files for name, files in found.items() if files}
    if classes and {name.lower() for name in classes} <= _SPLITS:
        best = next((name for name in classes if name.lower().startswith("train")), min(classes))
        raise DataError(
            f"the sub-folders of {path}, {', '.join(classes)}, are splits and not classes; "
            f"set data.path = {str(path / best)!r}"
        )
    if len(classes) < 2:
        here = "one sub-folder with images" if classes else "no sub-folder with images"
        extra = f" ({len(beside):,} images lie beside)" if beside else ""
        raise DataError(
            f"{path} has {here}{extra}; it must hold one sub-folder a class, two or more, with "
            f"images ending in {', '.join(SUFFIXES)}"
        )
    without = {name: len(files) for name, files in below.items() if files and not found[name]}
    return classes, _passed_over(without)


def _passed_over(counts: Mapping[str, int]) -> tuple[str, ...]:
    """Return a note on sub-folders that hold files but no image."""
    if not counts:
        return ()
    names, _ = printable(list(counts))
    listed = [
        f"{name!r} ({count:,} files)" for name, count in zip(names, counts.values(), strict=True)
    ]
    more = f" and {len(listed) - _NAMED:,} more" if len(listed) > _NAMED else ""
    return (
        f"Sub-folders without an image ending in {', '.join(SUFFIXES)} are left out and are no "
        f"classes: {', '.join(listed[:_NAMED])}{more}.",
    )


def _files_in(folder: Path) -> list[Path]:
    """Return the files below a folder whose names do not begin with a dot, sorted."""
    return sorted(
        file
        for place, _, names in os.walk(folder, onerror=_raise)
        for file in (Path(place, name) for name in names)
        if not file.name.startswith(".") and file.is_file()
    )


def _raise(error: OSError) -> None:
    raise error


def _is_image(file: Path) -> bool:
    return file.suffix.lower() in SUFFIXES and not file.name.startswith(".")


def _look(file: Path) -> _Look:
    with Image.open(file, formats=FORMATS) as image:
        return _Look(min(image.size), is_grey(image))


def _each(items: Sequence[Any], task: Callable[[Any], _R]) -> list[_R | Exception]:
    """Return what a task gives for each item, or why it cannot; Pillow lets threads run."""

    def attempt(item: object) -> _R | Exception:
        try:
            return task(item)
        except Exception as error:  # Pillow's decoders raise nearly anything
            return error

    with warnings.catch_warnings(), ThreadPoolExecutor(available_cores()) as pool:
        warnings.simplefilter("ignore")  # of odd metadata
        return list(pool.map(attempt, items))


def _refuse_many(
    path: Path, results: Sequence[object], files: list[Path], most: int
) -> tuple[str, ...]:
    """Return a note that names what cannot be read, or raise where that is too much."""
    broken = [
        f"{file.relative_to(path)} ({reason(result)})"
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
