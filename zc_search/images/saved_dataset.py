"""A data set that the package ``datasets`` of Hugging Face saved on disk, read with pyarrow alone.

``save_to_disk`` leaves Arrow stream files, named in ``state.json``; images are encoded files, the
names of the classes stand in ``dataset_info.json``.
"""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from zc_search.errors import DataError, unknown_name
from zc_search.images.arrays import image_set
from zc_search.images.fitting import LARGEST_SIDE, Color, Fit, as_array, is_grey, room_for
from zc_search.images.image_set import ImageSet
from zc_search.images.reading import FORMATS, reachable, reason, upright


def read_saved(
    path: Path,
    *,
    resolution: int | None = None,
    color: Color | None = None,
    fit: Fit = "crop",
) -> ImageSet:
    """Read the images and labels of a data set that ``save_to_disk`` wrote.

    Of several splits ``train`` is read. The column of the images is the one that holds encoded
    images, the one of the labels is called ``label`` or is the only one with class names.

    Args:
        path: The folder.
        resolution: None for the first image's own shorter side, at most 64.
        color: None for grey where the first image is.
        fit: See `as_array`.

    Raises:
        DataError: No such folder, a closed or damaged one, or without images and labels.
    """
    with reachable(path):
        folder = _split(path)
    info = _json(folder / "dataset_info.json")
    features = info.get("features")
    features = features if isinstance(features, dict) else {}
    images, labels = _columns(path, features)
    names = _class_names(folder, features[labels])
    encoded: list[Any] = []
    numbers: list[Any] = []
    for file in _files(folder):
        more_images, more_labels = _read(file, images, labels)
        encoded += more_images
        numbers += more_labels
    if not encoded:
        raise DataError(f"{folder} holds no images")
    first = _open(encoded, 0, folder)
    size = resolution or min(*first.size, LARGEST_SIDE)
    chosen: Color = color or ("grey" if is_grey(first) else "rgb")
    pixels = room_for(len(encoded), size, chosen)
    for row in range(len(encoded)):
        pixels[row] = as_array(_open(encoded, row, folder), size, fit, chosen)
    return image_set(path.name, pixels, np.array(numbers), names)


def _split(path: Path) -> Path:
    if (path / "dataset_dict.json").is_file():
        splits = _json(path / "dataset_dict.json").get("splits")
        splits = list(map(str, splits)) if isinstance(splits, list) else []
        if "train" not in splits:
            raise DataError(f"{path}: {unknown_name('split', 'train', splits)}")
        return path / "train"
    if not (path / "state.json").is_file():
        raise DataError(
            f"{path} is no data set that `save_to_disk` of the package datasets wrote: it has no "
            "state.json"
        )
    return path


def _columns(path: Path, features: dict[str, Any]) -> tuple[str, str]:
    images = [n for n, f in features.items() if isinstance(f, dict) and f.get("_type") == "Image"]
    classes = [
        n for n, f in features.items() if isinstance(f, dict) and f.get("_type") == "ClassLabel"
    ]
    if "label" in features and "label" not in classes:
        classes.append("label")
    label = "label" if "label" in classes else classes[0] if classes else None
    if not images or label is None:
        raise DataError(
            f"{path} has the columns {', '.join(features) or 'nothing'}; one of images and one of "
            "class labels are needed"
        )
    return images[0], label


def _class_names(folder: Path, feature: Any) -> list[str] | None:
    names = feature.get("names") if isinstance(feature, dict) else None
    if names is None or (isinstance(names, list) and all(isinstance(n, str) for n in names)):
        return names
    raise DataError(
        f"{folder / 'dataset_info.json'} names its classes by {type(names).__name__}; a list of "
        "texts is needed"
    )


def _files(folder: Path) -> list[Path]:
    entries = _json(folder / "state.json").get("_data_files")
    listed = entries if isinstance(entries, list) else [None]
    names = [entry.get("filename") if isinstance(entry, dict) else None for entry in listed]
    if not all(isinstance(name, str) for name in names):
        raise DataError(
            f"{folder / 'state.json'} does not name its files; save the data set again with "
            "`save_to_disk`"
        )
    return [folder / str(name) for name in names]


def _read(file: Path, images: str, labels: str) -> tuple[list[Any], list[Any]]:
    """Return the values of two columns, validated: Arrow itself trusts whatever offset it reads."""
    try:
        with pa.memory_map(str(file)) as source:
            table = pa.ipc.open_stream(source).read_all()
            table.validate(full=True)
            return _values(file, table, images), _values(file, table, labels, nested=False)
    except DataError:
        raise
    except Exception as error:  # Arrow's: its own, of texts that are no UTF-8, and others
        raise DataError(f"{file} cannot be read: {reason(error)}") from error


def _values(file: Path, table: pa.Table, column: str, *, nested: bool = True) -> list[Any]:
    if column not in table.column_names:
        raise DataError(f"{file} has no column {column!r}")
    kind = table[column].type
    if pa.types.is_nested(kind) and not nested:
        raise DataError(f"the column {column!r} of {file} must hold one label a row, given {kind}")
    values: list[Any] = table[column].to_pylist()
    return values


def _open(encoded: list[Any], row: int, folder: Path) -> Image.Image:
    value = encoded[row]
    content = value.get("bytes") if isinstance(value, dict) else None
    if content is None:
        raise DataError(f"{folder} does not hold its images but names files elsewhere")
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
        image.load()  # a file that was cut short is found out only now
        return upright(image)
    except Exception as error:  # Pillow's decoders raise nearly anything
        raise DataError(
            f"{folder}: the image in row {row:,} cannot be read: {reason(error)}"
        ) from error


def _json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{file} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"{file} holds no table")
    return content
