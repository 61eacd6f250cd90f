"""Images that come as arrays: NumPy files, saved data sets, torch data sets, the digits."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zc_search.errors import DataError
from zc_search.images.fitting import Color, Fit, fit_arrays, to_color
from zc_search.images.image_set import ImageSet, printable
from zc_search.images.reading import reachable, reason

_IMAGES = ("images", "x_train", "train_images", "x")
_LABELS = ("labels", "y_train", "train_labels", "y")


def image_set(
    name: str,
    images: Any,
    labels: Any,
    class_names: Sequence[object] | None = None,
    *,
    resolution: int | None = None,
    color: Color | None = None,
    fit: Fit = "crop",
    notes: tuple[str, ...] = (),
) -> ImageSet:
    """Check arrays and make a set of them.

    Args:
        name: What messages call it.
        images: Whole numbers from 0 to 255, or floats; (N, H, W), (N, H, W, C) or (N, C, H, W)
            with C of 1 or 3.
        labels: Whole numbers from 0 on, or names; (N,) or (N, 1).
        class_names: By label; None for the labels themselves.
        resolution: See `fit_arrays`; None for the images' own.
        color: See `to_color`.
        fit: See `fit_arrays`.
        notes: What was noticed before.

    Raises:
        DataError: Shapes, types or values that are none of these.
    """
    pixels = _pixels(name, np.asarray(images))
    numbers, called = _labels(name, np.asarray(labels), len(pixels), class_names)
    names, odd = printable(called)
    pixels = to_color(pixels, color)
    if resolution is not None:
        pixels = fit_arrays(pixels, resolution, fit)
    return ImageSet(name, pixels, numbers, names, (*odd, *notes))


def read_npz(
    path: Path,
    *,
    resolution: int | None = None,
    color: Color | None = None,
    fit: Fit = "crop",
) -> ImageSet:
    """Read a NumPy file with the arrays ``images`` and ``labels``.

    Also understood are ``x_train`` and ``y_train``, ``train_images`` and ``train_labels``, ``x``
    and ``y``, and the names of the classes as ``classes``. Objects are not unpickled.

    Raises:
        DataError: No such file or arrays; see `image_set`.
    """
    with reachable(path):
        if not path.is_file():
            raise DataError(f"data.path = {str(path)!r} is no file")
    try:
        with path.open("rb") as stream:  # as NumPy leaves it open where it is no archive
            images, labels, names = _members(path, np.load(stream, allow_pickle=False))
    except DataError:
        raise
    except Exception as error:  # NumPy and zipfile raise nearly anything for a damaged archive
        raise DataError(f"{path} is no readable .npz file: {reason(error)}") from error
    return image_set(path.name, images, labels, names, resolution=resolution, color=color, fit=fit)


def read_digits(
    *, resolution: int | None = None, color: Color | None = None, fit: Fit = "crop"
) -> ImageSet:
    """Return the 1,797 handwritten digits that scikit-learn ships: 8 x 8 pixels, grey."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = digits.images.astype(np.float32)
    return image_set("digits", images, digits.target, resolution=resolution, color=color, fit=fit)


def _members(path: Path, file: Any) -> tuple[NDArray[Any], NDArray[Any], list[Any] | None]:
    if not isinstance(file, np.lib.npyio.NpzFile):
        raise DataError(f"{path} is one array; images and labels together make an .npz")
    found = list(file.files)
    keys = [next((k for k in known if k in found), None) for known in (_IMAGES, _LABELS)]
    if None in keys:
        raise DataError(
            f"{path} has the arrays {', '.join(found) or 'nothing'}; needed are 'images' and "
            "'labels' (or x_train, y_train)"
        )
    images, labels = (file[str(key)] for key in keys)
    names = file["classes"] if "classes" in found else None
    if names is not None and names.ndim != 1:
        raise DataError(
            f"{path}: 'classes' must hold names (N,), given {names.dtype} {names.shape}"
        )
    return images, labels, None if names is None else list(names)


def _pixels(name: str, images: NDArray[Any]) -> NDArray[np.uint8] | NDArray[np.float32]:
    if images.dtype.kind not in "uifb" or images.ndim not in (3, 4) or 0 in images.shape:
        raise DataError(
            f"the images of {name} must be numbers (N, H, W), (N, H, W, C) or (N, C, H, W), "
            f"given {images.dtype} {images.shape}"
        )
    if images.ndim == 3:
        images = images[:, None]
    elif images.shape[1] not in (1, 3) and images.shape[3] in (1, 3, 4):
        images = images[..., :3].transpose(0, 3, 1, 2)
    if images.shape[1] not in (1, 3):
        raise DataError(f"the images of {name} have {images.shape[1]} channels; 1 or 3 are needed")
    if images.dtype.kind == "f":
        floats = images.astype(np.float32)
        if not np.isfinite(floats).all():
            raise DataError(f"the images of {name} hold NaN or infinite values")
        return floats
    if images.dtype == np.bool_:
        return images.astype(np.uint8) * np.uint8(255)
    low, high = int(images.min()), int(images.max())
    if low >= 0 and high <= 255:
        return np.ascontiguousarray(images, dtype=np.uint8)
    return images.astype(np.float32)


def _labels(
    name: str, labels: NDArray[Any], count: int, class_names: Sequence[object] | None
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or labels.dtype.kind not in "uiUS":
        raise DataError(
            f"the labels of {name} must be whole numbers or names (N,), given {labels.dtype} "
            f"{labels.shape}"
        )
    if len(labels) != count:
        raise DataError(f"{name} has {count:,} images and {len(labels):,} labels")
    if class_names is None or labels.dtype.kind in "US":
        values, numbers = np.unique(labels, return_inverse=True)
        return numbers.astype(np.int64), tuple(map(_text, values))
    if labels.min() < 0 or labels.max() >= len(class_names):
        raise DataError(
            f"the labels of {name} go from {labels.min()} to {labels.max()}, but it names "
            f"{len(class_names)} classes"
        )
    return _without_empty(labels.astype(np.int64), class_names)


def _without_empty(
    labels: NDArray[np.int64], names: Sequence[object]
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Leave out classes that no image has: a network cannot learn them."""
    present, numbers = np.unique(labels, return_inverse=True)
    return numbers.astype(np.int64), tuple(_text(names[place]) for place in present)


def _text(name: object) -> str:
    return name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else str(name)
