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

from zc_search.data.arrays import image_set
from zc_search.data.fitting import FORMATS, UNREADABLE, Color, Fit, as_array, is_grey
from zc_search.data.image_set import ImageSet
from zc_search.errors import DataError, unknown_name


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
        resolution: None for the first image's own shorter side.
        color: None for grey where the first image is.
        fit: See `as_array`.

    Raises:
        DataError: No such folder, or without images and labels.
    """
    folder = _split(path)
    state, info = _json(folder / "state.json"), _json(folder / "dataset_info.json")
    features = info.get("features") or {}
    images, labels = _columns(path, features)
    encoded: list[Any] = []
    numbers: list[int] = []
    for entry in state.get("_data_files", ()):
        table = _table(folder / str(entry["filename"]))
        if missing := {images, labels} - set(table.column_names):
            raise DataError(f"{folder} has no column {min(missing)!r}")
        encoded += table[images].to_pylist()
        numbers += table[labels].to_pylist()
    if not encoded:
        raise DataError(f"{folder} holds no images")
    first = _open(encoded, 0, folder)
    size = resolution or min(first.size)
    chosen: Color = color or ("grey" if is_grey(first) else "rgb")
    pixels = np.stack(
        [as_array(_open(encoded, row, folder), size, fit, chosen) for row in range(len(encoded))]
    )
    names = features[labels].get("names")
    return image_set(path.name, pixels, np.array(numbers), names)


def _split(path: Path) -> Path:
    if (path / "dataset_dict.json").is_file():
        splits = [str(name) for name in _json(path / "dataset_dict.json").get("splits", ())]
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


def _table(file: Path) -> pa.Table:
    try:
        with pa.memory_map(str(file)) as source:
            return pa.ipc.open_stream(source).read_all()
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{file} cannot be read: {error}") from error


def _open(encoded: list[Any], row: int, folder: Path) -> Image.Image:
    value = encoded[row]
    content = value.get("bytes") if isinstance(value, dict) else None
    if content is None:
        raise DataError(f"{folder} does not hold its images but names files elsewhere")
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
        image.load()  # a file that was cut short is found out only now
    except UNREADABLE as error:
        raise DataError(f"{folder}: the image in row {row:,} cannot be read: {error}") from error
    return image


def _json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"{file} holds no table")
    return content
