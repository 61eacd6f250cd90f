"""Images of one's own: NumPy files, torch data sets, folders, what Hugging Face's library saved."""

import io
import json
import os
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any, Unpack

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from zc_search._utils.plugins import load_plugin
from zc_search._utils.text import counted
from zc_search.errors import DataError
from zc_search.images.image_set import SPLITS, ImageSet, image_set, printable
from zc_search.images.pictures import (
    FORMATS,
    Format,
    as_array,
    is_grey,
    listed,
    reachable,
    read_pictures,
    reason,
    wrong,
)

_ARRAYS = {
    "train": (
        ("images", "x_train", "train_images", "x"),
        ("labels", "y_train", "train_labels", "y"),
    ),
    "validation": (("x_val", "x_valid", "val_images"), ("y_val", "y_valid", "val_labels")),
    "test": (("x_test", "test_images"), ("y_test", "test_labels")),
}
"""What images and labels of a NumPy file are called, by split."""

_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
_HEIC = (".heic", ".heif")
_SPLITS = dict.fromkeys(("train", "training"), "train")
_SPLITS |= dict.fromkeys(("val", "valid", "validation"), "validation")
_SPLITS |= dict.fromkeys(("test", "testing"), "test")

# Arrays -------------------------------------------------------------------------------------------


def read_npz(path: Path, **how: Unpack[Format]) -> ImageSet:
    """Read a NumPy file with the arrays ``images`` and ``labels``.

    Also understood are ``x_train`` and ``y_train``, ``train_images`` and ``train_labels``, ``x``
    and ``y``, and the names of the classes as ``classes``. ``x_val`` and ``y_val``, ``x_test`` and
    ``y_test`` (or ``val_images``, ...) are splits of the user's own. Objects are not unpickled.
    """
    with reachable(path):
        if not path.is_file():
            raise wrong("data.path", path, f"data.path = {str(path)!r} is no file")
    try:
        with path.open("rb") as stream:  # as NumPy leaves it open where it is no archive
            images, labels, names, splits = _members(np.load(stream, allow_pickle=False))
    except Exception as error:  # NumPy and zipfile raise nearly anything for a damaged archive
        why, hint = reason(error), None
        if "allow_pickle" in str(error):
            hint = "labels=numpy.array(labels.tolist())"
            why = f"Python objects in it are not unpickled; save numbers or text: {hint}"
        message = f"{path} is no readable .npz file: {why}"
        raise DataError(message, given=str(path), hint=hint) from error
    return image_set(path.name, images, labels, names, splits=splits, **how)


def _members(
    file: Any,
) -> tuple[NDArray[Any], NDArray[Any], list[Any] | None, NDArray[np.int8] | None]:
    if not isinstance(file, np.lib.npyio.NpzFile):
        raise DataError("one array; images and labels together make an .npz")
    parts: dict[str, tuple[NDArray[Any], NDArray[Any]]] = {}
    for split, known in _ARRAYS.items():
        images, labels = (next((k for k in keys if k in file), None) for keys in known)
        if images is not None and labels is not None:
            parts[split] = (file[images], file[labels])
            sizes, first = [len(part) for part in parts[split]], parts["train"][0].shape[1:]
            if split != "train" and sizes[0] != sizes[1]:
                raise ValueError(f"{images!r} and {labels!r} hold {sizes[0]:,} and {sizes[1]:,}")
            if parts[split][0].shape[1:] != first:
                raise ValueError(f"{images!r} holds images of another shape than {first}")
        elif split == "train":
            there = ", ".join(file.files) or "nothing"
            raise ValueError(f"it has {there}; needed are 'images' and 'labels'")
        elif images or labels:
            raise ValueError(f"it has {images or labels!r} without {known[labels is None][0]!r}")
    names = file.get("classes")
    if names is not None and names.ndim != 1:
        raise ValueError(f"'classes' must hold names (N,), given {names.dtype} {names.shape}")
    called = None if names is None else list(names)
    if len(parts) == 1:
        return *parts["train"], called, None
    pixels = np.concatenate([images for images, _ in parts.values()])
    flat = np.concatenate([labels.reshape(len(labels)) for _, labels in parts.values()])
    counts = np.array([len(labels) for _, labels in parts.values()])
    return pixels, flat, called, np.repeat(_numbers(parts), counts)


def _numbers(splits: Iterable[str]) -> NDArray[np.int8]:
    return np.array([SPLITS.index(split) for split in splits], np.int8)


def read_digits(_: Path | None = None, **how: Unpack[Format]) -> ImageSet:
    """Return the 1,797 handwritten digits that scikit-learn ships: 8 x 8 pixels, grey."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    return image_set("digits", digits.images.astype(np.float32), digits.target, **how)


def read_dataset(name: str, path: Path | None = None, **how: Unpack[Format]) -> ImageSet:
    """Read a map-style torch data set of the user's own whole.

    ``module:object`` has ``len()`` and gives pairs ``(image, label)``, or is a function that
    returns such a one, called with `path` if there is one. An image is a tensor or array, or of
    Pillow's; names of classes are taken from ``classes``. Tensors must be of one size.
    """
    dataset = load_plugin(name, "data.source", DataError)
    try:
        if isinstance(dataset, type) or not hasattr(dataset, "__getitem__"):
            dataset = dataset() if path is None else dataset(path)
        pairs = [dataset[place] for place in range(len(dataset))]
        images, labels = zip(*((image, _whole(label)) for image, label in pairs), strict=True)
        if all(isinstance(image, Image.Image) for image in images):
            size = how.get("resolution") or min(images[0].size)
            color = how.get("color") or ("grey" if all(map(is_grey, images)) else "rgb")
            fit = how.get("fit", "crop")
            images = tuple(as_array(image, size, fit, color) for image in images)
        pixels = np.stack([_array(image) for image in images])
    except Exception as error:  # it is anybody's code
        wanted = "pairs (image, whole number) by len() and [place], images of one size"
        message = f"data.source = {name!r} must give {wanted}: {type(error).__name__}: {error}"
        raise wrong("data.source", name, message) from error
    classes = getattr(dataset, "classes", None)
    names = list(classes) if isinstance(classes, list | tuple) else None
    return image_set(name, pixels, np.array(labels), names, **how)


def _whole(label: Any) -> int:
    if (number := int(label)) != label:
        raise ValueError(f"the label {label} is no whole number")
    return number


def _array(image: Any) -> NDArray[Any]:
    """Return an image as an array, a tensor with gradients or of a type of torch's own too."""
    if callable(detach := getattr(image, "detach", None)):
        image = detach().cpu()
        image = image.float() if image.is_floating_point() else image
    return np.asarray(image)


# Folders ------------------------------------------------------------------------------------------


def read_folder(path: Path, **how: Unpack[Format]) -> ImageSet:
    """Read every image below a folder; the sub-folder it lies in, at any depth, is its class.

    Files whose names begin with a dot or have another suffix than an image's are passed over. Where
    all sub-folders are splits, such as ``train``, ``val`` and ``test``, each holds a sub-folder a
    class. ``path`` may also be a CSV file: ``file`` (beside it), ``label``, and ``split`` if there
    are any.
    """
    if path.suffix.lower() == ".csv":
        (parts, without), title, path = _labelled(path), path.stem, path.parent
    else:
        (parts, without), title = _parts(path), path.name
    names = list(dict.fromkeys(name for classes in parts.values() for name in classes))
    listing = [
        (split, names.index(name), file)
        for split, classes in parts.items()
        for name, found in classes.items()
        for file in found
    ]
    files = [file for *_, file in listing]
    labels = np.array([label for _, label, _ in listing], np.int64)
    below = [str(file.relative_to(path)) for file in files]
    pixels, readable, notes = read_pictures(
        path, below, lambda place: Image.open(files[place], formats=FORMATS), draft=True, **how
    )
    for label, name in enumerate(names):
        if not readable[labels == label].any():
            raise DataError(f"no image of class {name!r} in {path} can be read", given=name)
    called, odd = printable(names)
    splits = _numbers(split for split, *_ in listing)[readable] if len(parts) > 1 else None
    return ImageSet(title, pixels, labels[readable], called, (*odd, *without, *notes), splits)


def median_side(path: Path, most: int = 200) -> int:
    """Return the median of the shorter sides of some images that `read_folder` reads, in pixels."""
    parts, _ = _labelled(path) if path.suffix.lower() == ".csv" else _parts(path)
    files = [file for classes in parts.values() for found in classes.values() for file in found]
    sides = []
    for file in files[:: max(1, len(files) // most)]:
        with suppress(Exception), Image.open(file, formats=FORMATS) as image:  # damaged ones
            sides.append(min(image.size))
    return round(median(sides)) if sides else 0


_Parts = tuple[dict[str, dict[str, list[Path]]], tuple[str, ...]]


def _parts(path: Path) -> _Parts:
    """Return the images of each class by split, and notes on what is left out."""
    with reachable(path):
        folders = [f for f in path.iterdir() if f.is_dir()] if path.is_dir() else []
    named = sorted(f.name for f in folders if not f.name.startswith("."))
    found = [_SPLITS.get(name.lower()) for name in named]
    if not named or None in found:
        classes, notes = _classes(path)
        return {"train": classes}, notes
    there = f"the sub-folders of {path}, {', '.join(named)}, are splits"
    if "train" not in found or len({*found}) < len(found):
        raise wrong("data.path", path, f"{there}; there must be one 'train', and one of each other")
    ordered = {split: named[found.index(split)] for split in SPLITS if split in found}
    read = {split: _classes(path / name) for split, name in ordered.items()}
    notes = tuple(note for _, noted in read.values() for note in noted)
    return {split: classes for split, (classes, _) in read.items()}, notes


def _labelled(path: Path) -> _Parts:
    """Return the images that a CSV file lists, by split and class; all mistakes are refused."""
    with reachable(path), path.open("rb"):
        pass
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except ValueError as error:  # pandas' own errors, and text that is no UTF-8
        raise wrong("data.path", path, f"{path} is no readable CSV: {reason(error)}") from error
    columns = {str(name).strip().lower(): name for name in table}
    if not {"file", "label"} <= {*columns} or table.empty:
        has = f"{len(table):,} rows of {', '.join(map(str, table)) or 'nothing'}"
        needed = "rows of file,label are needed, or of file,label,split"
        raise wrong("data.path", path, f"{path} has {has}; {needed}")
    known = columns.keys() & {"file", "label", "split"}
    column = {key: table[columns[key]].str.strip() for key in known}
    given = column.get("split", pd.Series("train", table.index))
    splits = given.str.lower().map(_SPLITS)
    files = [path.parent / name for name in column["file"]]
    with reachable(path):
        there = [file.is_file() for file in files]
    mistakes = {
        "lists {} files that are not there beside it: {}": [*column["file"][np.invert(there)]],
        "lists {} files twice: {}": [*column["file"][column["file"].duplicated()]],
        "has no label for {} files: {}": [*column["file"][column["label"] == ""]],
        "has {} rows of splits that are none of train, val and test: {}": [*given[splits.isna()]],
    }
    for said, those in mistakes.items():
        if those:
            raise wrong("data.path", path, f"{path} {said.format(len(those), listed(those))}")
    parts: dict[str, dict[str, list[Path]]] = {split: {} for split in SPLITS if split in {*splits}}
    for split, name, file in sorted(zip(splits, column["label"], files, strict=True)):
        parts[split].setdefault(name, []).append(file)
    if "train" not in parts:
        raise wrong("data.path", path, f"{path} has no row of split 'train'")
    return parts, ()


def _classes(path: Path) -> tuple[dict[str, list[Path]], tuple[str, ...]]:
    """Return the images of each class by its folder's name, all sorted, and a note on the rest."""
    with reachable(path):
        if not path.is_dir():
            raise wrong(
                "data.path",
                path,
                f"data.path = {str(path)!r} is no folder of classes, nor a .csv or .npz",
            )
        below = {
            folder.name: _files_in(folder)
            for folder in sorted(path.iterdir())
            if folder.is_dir() and not folder.name.startswith(".")
        }
        beside = sum(_is_image(file) and file.is_file() for file in path.iterdir())
    found = {name: list(filter(_is_image, files)) for name, files in below.items()}
    classes = {name: files for name, files in found.items() if files}
    if len(classes) < 2:
        message = f"{counted(len(classes), 'sub-folder')} with images"
        message += f" ({counted(beside, 'image')} beside)"
        wanted = f"one sub-folder a class, two or more, with images in {', '.join(_SUFFIXES)}"
        raise wrong("data.path", path, f"{path} has {message}; it must hold {wanted}")
    without = {name: len(files) for name, files in below.items() if not found[name]}
    shown = [
        f"{name!r} ({counted(count, 'file') if count else 'empty'})"
        for name, count in zip(printable(list(without))[0], without.values(), strict=True)
    ]
    ending = f"ending in {', '.join(_SUFFIXES)}"
    note = f"Sub-folders without an image {ending} are left out, no classes: {listed(shown)}."
    of_images = {*Image.registered_extensions(), *_HEIC, ".dng", ".npy"} - {*_SUFFIXES}
    suffixes = (file.suffix.lower() for files in below.values() for file in files)
    others = Counter(suffix for suffix in suffixes if suffix in of_images)
    counts = [f"{count:,} of {suffix}" for suffix, count in others.most_common()]
    left = f"Left out, {counted(others.total(), 'image')} not {ending}: {listed(counts)}."
    heic = "HEIC is a phone's: pip install pillow-heif, and save them as JPEG or PNG once."
    notes = ((note, without), (left, others), (heic, any(others[suffix] for suffix in _HEIC)))
    return classes, tuple(text for text, true in notes if true)


def _files_in(folder: Path) -> list[Path]:
    """Return the files below a folder whose names do not begin with a dot, sorted."""

    def fail(error: OSError) -> None:
        raise error

    return sorted(
        file
        for place, _, names in os.walk(folder, onerror=fail)
        for file in (Path(place, name) for name in names)
        if not file.name.startswith(".") and file.is_file()
    )


def _is_image(file: Path) -> bool:
    return file.suffix.lower() in _SUFFIXES and not file.name.startswith(".")


# What `save_to_disk` of the package datasets wrote, read with pyarrow alone -----------------------


def read_saved(path: Path, **how: Unpack[Format]) -> ImageSet:
    """Read the images and labels of a data set that ``save_to_disk`` wrote, of its split ``train``.

    Images get the first one's shorter side, at most 64 pixels, and are grey if it is. Labels are
    the column ``label`` or the first with class names.
    """
    with reachable(path):
        folder = path / "train" if (path / "dataset_dict.json").is_file() else path
        if not (folder / "state.json").is_file():
            message = "is no data set, or has no split 'train', that `save_to_disk` of the package"
            raise wrong("data.path", path, f"{path} {message} datasets wrote: it has no state.json")
    try:
        encoded, labels, names = _content(folder)
    except DataError:
        raise
    except Exception as error:  # whatever a damaged file makes json and Arrow raise
        raise DataError(f"{folder} cannot be read: {reason(error)}", given=str(folder)) from error

    def open_at(place: int) -> Image.Image:
        content = encoded[place]["bytes"]
        if content is None:
            raise ValueError("a file elsewhere, not in the data set")
        return Image.open(io.BytesIO(content), formats=FORMATS)

    rows = [f"row {row:,}" for row in range(len(encoded))]
    pixels, readable, notes = read_pictures(folder, rows, open_at, by_first=True, **how)
    return image_set(path.name, pixels, labels[readable], names, notes=notes)


def _content(folder: Path) -> tuple[list[Any], NDArray[Any], list[str] | None]:
    """Return encoded images, labels, and the names of the classes where there are any."""
    info = json.loads((folder / "dataset_info.json").read_text("utf-8"))
    features = {n: f if isinstance(f, dict) else {} for n, f in info["features"].items()}
    kinds = {name: feature.get("_type") for name, feature in features.items()}
    images = [name for name, kind in kinds.items() if kind == "Image"]
    classes = [name for name, kind in kinds.items() if kind == "ClassLabel"]
    label = "label" if "label" in kinds else classes[0] if classes else None
    if not images or label is None:
        columns = ", ".join(kinds) or "nothing"
        needed = "one of images and one of class labels are needed"
        raise DataError(f"{folder} has the columns {columns}; {needed}", given=tuple(kinds))
    encoded: list[Any] = []
    labels: list[Any] = []
    for entry in json.loads((folder / "state.json").read_text("utf-8"))["_data_files"]:
        with pa.memory_map(str(folder / entry["filename"])) as source:
            table = pa.ipc.open_stream(source).read_all()
            table.validate(full=True)  # Arrow itself trusts whatever offset it reads
            encoded += table[images[0]].to_pylist()
            labels += table[label].to_pylist()
    names = features[label].get("names")
    if names is not None and not isinstance(names, list):
        raise DataError(f"{folder} names its classes by {type(names).__name__}, not by a list")
    return encoded, np.array(labels), names
