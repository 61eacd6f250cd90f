"""CIFAR-10, CIFAR-100 and ImageNet16-120 training images from their official folders.

All three are pickles of plain numpy arrays, read without torchvision.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zc_search._utils.pickles import NUMPY_ARRAYS, load_restricted
from zc_search.errors import DataError
from zc_search.images.datasets import BENCHMARKED
from zc_search.images.reading import reachable
from zc_search.images.sampling import Request, Sample, other_dataset, sample_labelled


class Layout(NamedTuple):
    """How a data set lies on disk.

    Attributes:
        source: Its name as a source.
        title: Its name in messages.
        folder: That the official archive unpacks to.
        files: With training images. Never test files: a test image must not have a say in the
            choice of an architecture.
        side: Height and width of the images.
        key: Of the labels in a file.
        first: The smallest label.
        last: The largest label.
        classes: How many of the labels, from the smallest on, are used.
        archive: What the user has to unpack.
        names: File with the names of the classes, and the key of their list in it.
    """

    source: str
    title: str
    folder: str
    files: tuple[str, ...]
    side: int
    key: str
    first: int
    last: int
    classes: int
    archive: str
    names: tuple[str, str] | None


LAYOUTS = {
    layout.source: layout
    for layout in (
        Layout(
            "cifar10",
            "CIFAR-10",
            "cifar-10-batches-py",
            tuple(f"data_batch_{number}" for number in range(1, 6)),
            32,
            "labels",
            0,
            9,
            10,
            "unpack the 'python version', cifar-10-python.tar.gz, or `zc-search data fetch "
            "cifar10`",
            ("batches.meta", "label_names"),
        ),
        Layout(
            "cifar100",
            "CIFAR-100",
            "cifar-100-python",
            ("train",),
            32,
            "fine_labels",
            0,
            99,
            100,
            "unpack the 'python version', cifar-100-python.tar.gz, or `zc-search data fetch "
            "cifar100`",
            ("meta", "fine_label_names"),
        ),
        Layout(
            "ImageNet16-120",
            "ImageNet16",
            "ImageNet16",
            tuple(f"train_data_batch_{number}" for number in range(1, 11)),
            16,
            "labels",
            1,
            1000,
            120,
            "unpack the archives of the 16 x 16 training images",
            None,
        ),
    )
}


class Labelled(NamedTuple):
    """Pixels, uint8 (N, 3, H, W), labels, int64 (N,), and the names of the classes."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    names: tuple[str, ...]


def load_cifar10(request: Request) -> Sample:
    """Return distinct training images of CIFAR-10 and their true labels; see `read_official`.

    For ``cifar10-valid`` the images may be of either half of the training set: no accuracy is
    computed on them.
    """
    return _load(request, LAYOUTS["cifar10"])


def load_cifar100(request: Request) -> Sample:
    """Return distinct training images of CIFAR-100 and their fine labels; see `read_official`."""
    return _load(request, LAYOUTS["cifar100"])


def load_imagenet16(request: Request) -> Sample:
    """Return distinct training images of the first 120 classes; see `read_official`."""
    return _load(request, LAYOUTS["ImageNet16-120"])


def read_official(source: str, path: Path | None) -> Labelled:
    """Read all training images of a data set.

    Args:
        source: A key of `LAYOUTS`.
        path: The official folder or its parent; it may hold any of the training files.

    Raises:
        DataError: The folder or a file is missing or damaged.
    """
    layout = LAYOUTS[source]
    files = _training_files(path, layout)
    parts = [_read(file, layout) for file in files]
    pixels = np.concatenate([part[0] for part in parts])
    labels = np.concatenate([part[1] for part in parts]) - layout.first
    used = labels < layout.classes
    pixels = pixels.reshape(-1, 3, layout.side, layout.side)
    if not used.all():
        pixels, labels = pixels[used], labels[used]
    return Labelled(pixels, labels, _names(files[0].parent, layout))


def _load(request: Request, layout: Layout) -> Sample:
    if request.dataset not in BENCHMARKED[layout.source]:  # before the files are read
        raise DataError(other_dataset(request, layout.source))
    pixels, labels, _ = read_official(layout.source, request.path)
    return sample_labelled(request, layout.source, pixels, labels)


def _training_files(path: Path | None, layout: Layout) -> list[Path]:
    """Return the training files in ``path`` or in the official folder below it."""
    if path is None:
        raise DataError(
            f"source {layout.source!r} needs data.path: the folder {layout.folder!r} or its "
            "parent; source 'patches' needs no files"
        )
    with reachable(path):
        for folder in (path, path / layout.folder):
            files = [folder / name for name in layout.files if (folder / name).is_file()]
            if files:
                return files
    which = layout.files[0]
    if len(layout.files) > 1:
        which = f"at least one of {which} ... {layout.files[-1]}"
    raise DataError(
        f"no {layout.title} training images in {path} or {path / layout.folder}: data.path must be "
        f"the folder {layout.folder!r} or its parent, and the folder must hold {which} "
        f"({layout.archive})"
    )


def _read(file: Path, layout: Layout) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the pixels, (N, 3 * side * side), and labels, (N,), of one training file."""
    content = load_restricted(file, NUMPY_ARRAYS)
    if not isinstance(content, dict):
        raise DataError(f"{file} must hold a dict with data and labels, not {_kind(content)}")
    data, labels = _get(content, "data"), _get(content, layout.key)
    size = 3 * layout.side**2
    if not (
        isinstance(data, np.ndarray)
        and data.dtype == np.uint8
        and data.ndim == 2
        and data.shape[1] == size
    ):
        raise DataError(f"{file}: 'data' must be a uint8 array (N, {size}), not {_kind(data)}")
    if not (
        isinstance(labels, list)
        and len(labels) == len(data)
        and all(type(label) is int and layout.first <= label <= layout.last for label in labels)
    ):
        raise DataError(
            f"{file}: {layout.key!r} must be a list of {len(data)} whole numbers from "
            f"{layout.first} to {layout.last}, not {_kind(labels)}"
        )
    return np.asarray(data), np.array(labels, np.int64)


def _names(folder: Path, layout: Layout) -> tuple[str, ...]:
    """Return the names of the classes where a file says them, else numbers."""
    numbers = tuple(str(number) for number in range(layout.classes))
    if layout.names is None or not (folder / layout.names[0]).is_file():
        return numbers
    content = load_restricted(folder / layout.names[0], NUMPY_ARRAYS)
    listed = _get(content, layout.names[1]) if isinstance(content, dict) else None
    if not isinstance(listed, list) or len(listed) != layout.classes:
        return numbers
    if not all(isinstance(name, str | bytes) for name in listed):
        return numbers
    return tuple(name.decode("latin1") if isinstance(name, bytes) else name for name in listed)


def _get(content: dict[object, object], key: str) -> object:
    # Python 3 keeps the bytes keys of a file that was loaded as bytes and written again.
    return content.get(key, content.get(key.encode()))


def _kind(value: object) -> str:
    """Describe a value by type and size; its content may be anything and very long."""
    if isinstance(value, np.ndarray):
        return f"a {value.dtype} array {value.shape}"
    size = f" of {len(value)}" if isinstance(value, list | tuple | dict) else ""
    return f"{type(value).__name__}{size}"
