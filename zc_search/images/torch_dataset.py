"""Any torch ``Dataset``, named as ``module:object``: pairs of an image and a label."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from zc_search._utils.plugins import import_here
from zc_search.errors import DataError
from zc_search.images.arrays import image_set
from zc_search.images.fitting import Color, Fit, as_array, is_grey
from zc_search.images.image_set import ImageSet


def read_dataset(
    name: str,
    path: Path | None = None,
    *,
    resolution: int | None = None,
    color: Color | None = None,
    fit: Fit = "crop",
) -> ImageSet:
    """Read a map-style data set whole.

    Args:
        name: ``module:object``; the object has ``len()`` and gives pairs ``(image, label)``, or
            is a function that returns such a one, called with `path` if there is one. An image is
            a tensor or array, or of Pillow's; names of classes are taken from ``classes``.
        path: What the function is given.
        resolution: None for the images' own, which must then be of one size.
        color: See `to_color`.
        fit: See `as_array`.

    Raises:
        DataError: It cannot be imported, or gives something else.
    """
    dataset = _import(name, path)
    try:
        pairs = [dataset[place] for place in range(len(dataset))]
        images, labels = zip(*((image, int(label)) for image, label in pairs), strict=True)
    except Exception as error:  # it is anybody's code
        raise DataError(
            f"data.source = {name!r} must give pairs (image, whole number) by len() and [place]: "
            f"{type(error).__name__}: {error}"
        ) from error
    classes = getattr(dataset, "classes", None)
    names = list(classes) if isinstance(classes, list | tuple) else None
    if all(isinstance(image, Image.Image) for image in images):
        size = resolution or min(images[0].size)
        chosen: Color = color or ("grey" if all(map(is_grey, images)) else "rgb")
        pixels = np.stack([as_array(image, size, fit, chosen) for image in images])
        return image_set(name, pixels, np.array(labels), names)
    arrays = [np.asarray(image) for image in images]
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1:
        raise DataError(
            f"data.source = {name!r} gives images of {len(shapes)} sizes, such as "
            f"{' and '.join(map(str, sorted(shapes)[:2]))}; resize them there"
        )
    return image_set(
        name, np.stack(arrays), np.array(labels), names, resolution=resolution, color=color, fit=fit
    )


def _import(name: str, path: Path | None) -> Any:
    module, _, attribute = name.partition(":")
    try:
        found: Any = import_here(module)
        for part in attribute.split("."):
            found = getattr(found, part)
        if (callable(found) and not hasattr(found, "__getitem__")) or isinstance(found, type):
            make: Callable[..., Any] = found
            found = make() if path is None else make(path)
    except Exception as error:  # the module is anybody's code
        raise DataError(
            f"data.source = {name!r} cannot be had: {type(error).__name__}: {error}"
        ) from error
    return found
