"""CIFAR-10, CIFAR-100 and ImageNet16-120: training images from their official folders, fetched."""

from pathlib import Path
from typing import Unpack
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from zc_search._utils.files import NUMPY_ARRAYS, load_restricted
from zc_search.errors import DataError
from zc_search.images.datasets import DATASETS, SOURCES, Layout
from zc_search.images.image_set import ImageSet, image_set
from zc_search.images.pictures import Format, reachable, wrong

LAYOUTS = {name: source.layout for name, source in SOURCES.items() if source.layout}


def read_official(source: str, path: Path | None, **how: Unpack[Format]) -> ImageSet:
    """Read all training images of a key of `LAYOUTS` from its official folder or the parent."""
    layout, info = LAYOUTS[source], DATASETS[source]  # type: ignore[index]
    files = _training_files(source, path, layout)
    parts = [_read(file, layout, info.resolution) for file in files]
    pixels = np.concatenate([part[0] for part in parts])
    labels = np.concatenate([part[1] for part in parts]) - layout.labels[0]
    pixels = pixels.reshape(-1, 3, info.resolution, info.resolution)
    if not (used := labels < info.classes).all():
        pixels, labels = pixels[used], labels[used]
    return image_set(source, pixels, labels, _names(files[0].parent, layout, info.classes), **how)


def _training_files(source: str, path: Path | None, layout: Layout) -> list[Path]:
    """Return the training files in ``path`` or in the official folder below it."""
    if path is not None:
        with reachable(path):
            for folder in (path, path / layout.folder):
                files = [folder / name for name in layout.files if (folder / name).is_file()]
                if files:
                    return files
    given = None if path is None else str(path)
    fetched = f"; `zc-search data fetch {source}` fetches it" if layout.url else ""
    message = f"source {source!r}: no training images, given data.path = {given!r}; it must be the "
    message += f"folder {layout.folder!r} or its parent, and hold any of {', '.join(layout.files)}"
    raise DataError(f"{message}{fetched}", key="data.path", given=given, allowed=(layout.folder,))


def _read(file: Path, layout: Layout, side: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the pixels, (N, 3 * side * side), and labels, (N,), of one training file."""
    content = load_restricted(file, NUMPY_ARRAYS)
    data, labels = _get(content, "data"), _get(content, layout.key)
    size, known = 3 * side**2, range(*layout.labels)
    if (
        isinstance(data, np.ndarray)
        and (data.dtype, data.shape) == (np.uint8, (len(data), size))
        and isinstance(labels, list)
        and len(labels) == len(data)
        and all(type(label) is int and label in known for label in labels)
    ):
        return data, np.array(labels, np.int64)
    message = f"{file} must hold a dict with 'data', a uint8 array (N, {size}), and "
    message += f"{layout.key!r}, a list of N whole numbers from {known[0]} to {known[-1]}"
    raise DataError(message, given=str(file))


def _names(folder: Path, layout: Layout, classes: int) -> list[str]:
    """Return the names of the classes where a file says them, else numbers."""
    if layout.names and (folder / layout.names[0]).is_file():
        listed = _get(load_restricted(folder / layout.names[0], NUMPY_ARRAYS), layout.names[1])
        if isinstance(listed, list) and len(listed) == classes:
            texts = [name.decode("latin1") if isinstance(name, bytes) else name for name in listed]
            if all(isinstance(text, str) for text in texts):
                return texts
    return [str(number) for number in range(classes)]


def _get(content: object, key: str) -> object:
    # Python 3 keeps the bytes keys of a file that was loaded as bytes and written again.
    return content.get(key, content.get(key.encode())) if isinstance(content, dict) else None


def fetch(name: str, folder: str | Path, url: str | None = None) -> Path:
    """Download and unpack an official data set, once; return its folder, as ``data.path`` takes it.

    From `url`, a mirror, the archive must have the official checksum all the same.
    """
    import pooch

    fetched = {source: layout for source, layout in LAYOUTS.items() if layout.url}
    if name not in fetched:
        raise DataError.unknown("data set to fetch", name, fetched)
    layout, folder = fetched[name], Path(folder).expanduser()
    address = url or str(layout.url)
    schemes, parts = ("http", "https", "ftp"), urlsplit(address)
    if parts.scheme not in schemes or not parts.netloc:
        message = f"url: {address!r} is no address to fetch from; Allowed: {', '.join(schemes)}"
        raise DataError(message, key="url", given=address, allowed=schemes)
    members = [*layout.files, *layout.names[:1]]
    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel("WARNING")
    try:
        pooch.retrieve(
            address,
            known_hash=f"sha256:{layout.sha256}",
            fname=Path(str(layout.url)).name,
            path=folder,
            processor=pooch.Untar([f"{layout.folder}/{member}" for member in members], "."),
        )
    except OSError as error:  # requests' errors are of this kind too
        raise wrong("url", address, f"{name} cannot be fetched from {address}: {error}") from error
    except ValueError as error:  # of pooch, where the checksum is another
        message = f"{address} is not the official archive: its SHA-256 is not {layout.sha256}"
        raise wrong("url", address, message) from error
    finally:
        logger.setLevel(level)
    return folder / layout.folder
