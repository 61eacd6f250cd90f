"""A folder of images, one sub-folder a class, as cameras and archives leave them."""

import os
from pathlib import Path
from statistics import median
from typing import Unpack

import numpy as np
from PIL import Image

from zc_search.errors import DataError
from zc_search.images.image_set import SMALLEST_SIDE, ImageSet, printable
from zc_search.images.pictures import FORMATS, LARGEST_SIDE, Color, Format, Pictures, reachable

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")

_SPLITS = {"train", "training", "val", "valid", "validation", "test", "testing"}
_NAMED = 3


def read_folder(path: Path, *, max_unreadable: int = 10, **how: Unpack[Format]) -> ImageSet:
    """Read every image below a folder; the sub-folder it lies in, at any depth, is its class.

    Files whose names begin with a dot or do not end in one of `SUFFIXES` are passed over. By
    default images get the median of the shorter sides, at most 64 pixels, and are grey if all are.
    """
    classes, without = _classes(path)
    files = [file for found in classes.values() for file in found]
    pictures = Pictures(
        str(path),
        [str(file.relative_to(path)) for file in files],
        lambda place: Image.open(files[place], formats=FORMATS),
        max_unreadable,
    )
    looks = pictures.looks()
    side = round(median(look.side for look in looks)) if looks else LARGEST_SIDE
    size = how.get("resolution")
    if size is None and side < SMALLEST_SIDE:
        raise DataError(
            f"the images in {path} are {side} pixels high or wide, but the networks halve them "
            f"twice and need {SMALLEST_SIDE}; data.resolution = {SMALLEST_SIDE} or more enlarges "
            "them",
            key="data.resolution",
        )
    grey = bool(looks) and all(look.grey for look in looks)
    color: Color = how.get("color") or ("grey" if grey else "rgb")
    pixels, readable = pictures.read(
        size or min(side, LARGEST_SIDE), how.get("fit", "crop"), color, draft=True
    )
    labels = np.repeat(np.arange(len(classes)), [len(found) for found in classes.values()])
    for label, name in enumerate(classes):
        if not readable[labels == label].any():
            raise DataError(f"no image of class {name!r} in {path} can be read", given=name)
    names, odd = printable(list(classes))
    return ImageSet(path.name, pixels, labels[readable], names, (*odd, *without, *pictures.notes))


def _classes(path: Path) -> tuple[dict[str, list[Path]], tuple[str, ...]]:
    """Return the images of each class by its folder's name, all sorted, and notes on the rest."""
    with reachable(path):
        if not path.is_dir():
            raise DataError(
                f"data.path = {str(path)!r} is no folder", key="data.path", given=str(path)
            )
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
            f"set data.path = {str(path / best)!r}",
            key="data.path",
            given=str(path),
            hint=str(path / best),
        )
    if len(classes) < 2:
        raise DataError(
            f"{path} has {len(classes)} sub-folders with images ({len(beside):,} images lie "
            "beside); it must hold one sub-folder a class, two or more, with images ending in "
            f"{', '.join(SUFFIXES)}",
            key="data.path",
            given=str(path),
        )
    without = {name: len(files) for name, files in below.items() if files and not found[name]}
    return classes, _note(without)


def _note(without: dict[str, int]) -> tuple[str, ...]:
    """Return a note on sub-folders that hold files but no image."""
    names, _ = printable(list(without))
    listed = [
        f"{name!r} ({count:,} files)" for name, count in zip(names, without.values(), strict=True)
    ]
    more = f" and {len(listed) - _NAMED:,} more" if len(listed) > _NAMED else ""
    note = (
        f"Sub-folders without an image ending in {', '.join(SUFFIXES)} are left out and are no "
        f"classes: {', '.join(listed[:_NAMED])}{more}."
    )
    return (note,) if without else ()


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
