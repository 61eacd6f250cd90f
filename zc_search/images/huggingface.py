"""A data set that the package ``datasets`` of Hugging Face saved on disk, read with pyarrow alone.

``save_to_disk`` leaves Arrow stream files, named in ``state.json``; images are encoded files, the
names of the classes stand in ``dataset_info.json``.
"""

import io
import json
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image

from zc_search.errors import DataError
from zc_search.images.image_set import ImageSet, image_set
from zc_search.images.pictures import FORMATS, LARGEST_SIDE, Format, Pictures, reachable, reason


def read_saved(path: Path, *, max_unreadable: int = 10, **how: Unpack[Format]) -> ImageSet:
    """Read the images and labels of a data set that ``save_to_disk`` wrote.

    Of several splits ``train`` is read. The column of the images is the one that holds encoded
    images, the one of the labels is called ``label`` or is the only one with class names.
    By default images get the first one's shorter side, at most 64 pixels, and are grey if it is.
    """
    with reachable(path):
        split = (path / "dataset_dict.json").is_file()
        folder = path / "train" if split else path
        if not (folder / "state.json").is_file():
            raise DataError(
                f"{path} is no data set, or has no split 'train', that `save_to_disk` of the "
                "package datasets wrote: it has no state.json",
                key="data.path",
                given=str(path),
            )
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
    pictures = Pictures(str(folder), rows, open_at, max_unreadable)
    looks = pictures.looks()
    if not looks:
        raise DataError(f"{folder} holds no images", given=str(folder))
    size = how.get("resolution") or min(looks[0].side, LARGEST_SIDE)
    color = how.get("color") or ("grey" if looks[0].grey else "rgb")
    pixels, readable = pictures.read(size, how.get("fit", "crop"), color)
    return image_set(path.name, pixels, labels[readable], names, notes=pictures.notes)


def _content(folder: Path) -> tuple[list[Any], NDArray[Any], list[str] | None]:
    """Return encoded images, labels, and the names of the classes where there are any."""
    info = json.loads((folder / "dataset_info.json").read_text("utf-8"))
    features = {n: f if isinstance(f, dict) else {} for n, f in info["features"].items()}
    kinds = {name: feature.get("_type") for name, feature in features.items()}
    images = [name for name, kind in kinds.items() if kind == "Image"]
    classes = [name for name, kind in kinds.items() if kind == "ClassLabel"]
    label = "label" if "label" in kinds else classes[0] if classes else None
    if not images or label is None:
        raise DataError(
            f"{folder} has the columns {', '.join(kinds) or 'nothing'}; one of images and one of "
            "class labels are needed",
            given=tuple(kinds),
        )
    encoded: list[Any] = []
    labels: list[Any] = []
    for entry in json.loads((folder / "state.json").read_text("utf-8"))["_data_files"]:
        with pa.memory_map(str(folder / entry["filename"])) as source:
            table = pa.ipc.open_stream(source).read_all()
            table.validate(full=True)  # Arrow itself trusts whatever offset it reads
            encoded += table[images[0]].to_pylist()
            labels += table[label].to_pylist()
    names = features[label].get("names")
    if names is not None and not (
        isinstance(names, list) and all(isinstance(name, str) for name in names)
    ):
        raise DataError(f"{folder} names its classes by {type(names).__name__}, not by a list")
    return encoded, np.array(labels), names
