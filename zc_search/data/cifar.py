"""CIFAR-10 training images from the official folder `cifar-10-batches-py`, without torchvision."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zc_search.data.numpy_pickles import NUMPY_ARRAYS
from zc_search.data.sampling import Request, Sample, balanced_labels, normalise
from zc_search.data.unpickling import load_restricted
from zc_search.errors import DataError

_FOLDER = "cifar-10-batches-py"
# Never test_batch: a test image must not have a say in the choice of an architecture.
_FILES = tuple(f"data_batch_{number}" for number in range(1, 6))
_DATASETS = ("cifar10", "cifar10-valid")


def load_cifar10(request: Request) -> Sample:
    """Return distinct training images of CIFAR-10 and their true labels.

    ``request.path`` is the folder ``cifar-10-batches-py`` or its parent; it may hold any of the
    five training files. For ``cifar10-valid`` the images may be of either half of the training
    set: no accuracy is computed on them.

    Raises:
        DataError: If the data set is another one, the folder or a file is missing or damaged, or
            a class has too few images.
    """
    if request.dataset not in _DATASETS:
        raise DataError(
            f"source 'cifar10' gives images and labels of CIFAR-10, so dataset must be one of "
            f"{', '.join(_DATASETS)}, given {request.dataset!r}; sources 'patches' and 'noise' "
            "follow any dataset"
        )
    files = _training_files(request.path)
    parts = [_read(file) for file in files]
    pixels = np.concatenate([part[0] for part in parts])
    all_labels = np.concatenate([part[1] for part in parts])
    labels = balanced_labels(request)
    chosen = np.empty(request.batch_size, np.int64)
    for label in np.unique(labels):
        places, images = np.flatnonzero(labels == label), np.flatnonzero(all_labels == label)
        if len(images) < len(places):
            raise DataError(
                f"batch_size={request.batch_size} needs {len(places)} images of class {label}, "
                f"but the training files in {files[0].parent} hold {len(images)}"
            )
        chosen[places] = request.rng.choice(images, size=len(places), replace=False)
    return Sample(normalise(pixels[chosen].reshape(-1, 3, 32, 32), request.info), labels)


def _training_files(path: Path | None) -> list[Path]:
    """Return the training files in ``path`` or in the official folder below it."""
    if path is None:
        raise DataError(
            f"source 'cifar10' needs data.path: the folder {_FOLDER!r} or its parent; "
            "source 'patches' needs no files"
        )
    for folder in (path, path / _FOLDER):
        files = [folder / name for name in _FILES if (folder / name).is_file()]
        if files:
            return files
    raise DataError(
        f"no CIFAR-10 training images in {path} or {path / _FOLDER}: data.path must be the folder "
        f"{_FOLDER!r} or its parent, and the folder must hold at least one of {_FILES[0]} ... "
        f"{_FILES[-1]} (unpack the 'python version', cifar-10-python.tar.gz)"
    )


def _read(file: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the pixels, (N, 3072), and labels, (N,), of one training file."""
    content = load_restricted(file, NUMPY_ARRAYS)
    if not isinstance(content, dict):
        raise DataError(f"{file} must hold a dict with data and labels, not {_kind(content)}")
    # Python 3 keeps the bytes keys of a file that was loaded as bytes and written again.
    data, labels = (content.get(key, content.get(key.encode())) for key in ("data", "labels"))
    if not (
        isinstance(data, np.ndarray)
        and data.dtype == np.uint8
        and data.ndim == 2
        and data.shape[1] == 3072
    ):
        raise DataError(f"{file}: 'data' must be a uint8 array (N, 3072), not {_kind(data)}")
    if not (
        isinstance(labels, list)
        and len(labels) == len(data)
        and all(type(label) is int and 0 <= label < 10 for label in labels)
    ):
        raise DataError(
            f"{file}: 'labels' must be a list of {len(data)} whole numbers from 0 to 9, "
            f"not {_kind(labels)}"
        )
    return np.asarray(data), np.array(labels, np.int64)


def _kind(value: object) -> str:
    """Describe a value by type and size; its content may be anything and very long."""
    if isinstance(value, np.ndarray):
        return f"a {value.dtype} array {value.shape}"
    size = f" of {len(value)}" if isinstance(value, list | tuple | dict) else ""
    return f"{type(value).__name__}{size}"
