"""Images that come as arrays: NumPy files, torch data sets of the user's own, the digits."""

from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from zc_search._utils.plugins import load_plugin
from zc_search.errors import DataError
from zc_search.images.image_set import ImageSet, image_set
from zc_search.images.pictures import Format, as_array, is_grey, reachable, reason

_IMAGES = ("images", "x_train", "train_images", "x")
_LABELS = ("labels", "y_train", "train_labels", "y")


def read_npz(path: Path, **how: Unpack[Format]) -> ImageSet:
    """Read a NumPy file with the arrays ``images`` and ``labels``.

    Also understood are ``x_train`` and ``y_train``, ``train_images`` and ``train_labels``, ``x``
    and ``y``, and the names of the classes as ``classes``. Objects are not unpickled.
    """
    with reachable(path):
        if not path.is_file():
            raise DataError(
                f"data.path = {str(path)!r} is no file", key="data.path", given=str(path)
            )
    try:
        with path.open("rb") as stream:  # as NumPy leaves it open where it is no archive
            images, labels, names = _members(np.load(stream, allow_pickle=False))
    except Exception as error:  # NumPy and zipfile raise nearly anything for a damaged archive
        raise DataError(
            f"{path} is no readable .npz file: {reason(error)}", given=str(path)
        ) from error
    return image_set(path.name, images, labels, names, **how)


def _members(file: Any) -> tuple[NDArray[Any], NDArray[Any], list[Any] | None]:
    if not isinstance(file, np.lib.npyio.NpzFile):
        raise DataError("one array; images and labels together make an .npz")
    images, labels = (next((k for k in known if k in file), None) for known in (_IMAGES, _LABELS))
    if images is None or labels is None:
        there = ", ".join(file.files) or "nothing"
        raise ValueError(f"it has {there}; needed are 'images' and 'labels'")
    names = file.get("classes")
    if names is not None and names.ndim != 1:
        raise ValueError(f"'classes' must hold names (N,), given {names.dtype} {names.shape}")
    return file[images], file[labels], None if names is None else list(names)


def read_digits(**how: Unpack[Format]) -> ImageSet:
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
        images, labels = zip(*((image, int(label)) for image, label in pairs), strict=True)
        if all(isinstance(image, Image.Image) for image in images):
            size = how.get("resolution") or min(images[0].size)
            color = how.get("color") or ("grey" if all(map(is_grey, images)) else "rgb")
            fit = how.get("fit", "crop")
            images = tuple(as_array(image, size, fit, color) for image in images)
        pixels = np.stack([np.asarray(image) for image in images])
    except Exception as error:  # it is anybody's code
        raise DataError(
            f"data.source = {name!r} must give pairs (image, whole number) by len() and [place], "
            f"images of one size: {type(error).__name__}: {error}",
            key="data.source",
            given=name,
        ) from error
    classes = getattr(dataset, "classes", None)
    names = list(classes) if isinstance(classes, list | tuple) else None
    return image_set(name, pixels, np.array(labels), names, **how)
