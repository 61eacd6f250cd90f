"""From a configuration to its images: the batch that is scored, and the whole set to train on."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from zc_search.config import Config, Data
from zc_search.errors import DataError
from zc_search.images.arrays import image_set, read_digits, read_npz
from zc_search.images.cifar import LAYOUTS, read_official
from zc_search.images.datasets import Task, task_of
from zc_search.images.folder import read_folder
from zc_search.images.image_set import ImageSet
from zc_search.images.saved_dataset import read_saved
from zc_search.images.torch_dataset import read_dataset

if TYPE_CHECKING:
    from zc_search.images.batch import Batch


def open_images(data: Data) -> ImageSet:
    """Read all images that a section ``data`` names.

    Raises:
        DataError: They are made up and have no classes, or cannot be read; says why.
    """
    path = None if data.path is None else Path(data.path).expanduser()
    how: dict[str, Any] = {"resolution": data.resolution, "color": data.color, "fit": data.fit}
    if data.generated:
        raise DataError(
            f"data.source = {data.source!r} makes its images up, so there is nothing to learn from "
            "them; name images with classes, such as source = 'folder'"
        )
    if data.source in LAYOUTS:
        return image_set(data.source, *read_official(data.source, path), **how)
    if data.source == "digits":
        return read_digits(**how)
    if ":" in data.source:
        return read_dataset(data.source, path, **how)
    if path is None:
        raise DataError(f"data.source = {data.source!r} needs data.path")
    match data.source:
        case "folder":
            return read_folder(path, **how, max_unreadable=data.max_unreadable)
        case "npz":
            return read_npz(path, **how)
        case _:
            return read_saved(path, **how)


def batch_and_task(
    config: Config, images: ImageSet | None = None
) -> "tuple[Batch, Task, tuple[str, ...]]":
    """Return the batch that a search scores on, what networks are built for, and notes.

    With a benchmark, or where images are made up, ``space.dataset`` decides; else the images do.

    Args:
        config: Of the search.
        images: Its images, if they have been read already.

    Raises:
        DataError: The images cannot be had.
    """
    data = config.data
    if not config.data_decides:
        from zc_search.images import load_batch

        batch = load_batch(
            data.source,
            dataset=config.space.dataset,
            batch_size=data.batch_size,
            seed=data.seed,
            path=data.path,
        )
        return batch, task_of(config.space.dataset), ()
    images = images or open_images(data)
    batch = images.batch(data.batch_size, data.seed, data.validation)
    return batch, images.task, (images.described() + ".", *images.notes)
