"""From a configuration to its images: the batch that is scored, and the whole set to train on."""

from typing import TYPE_CHECKING

from zc_search.config import Config, Data
from zc_search.images import ImageSet, load_batch, read_images
from zc_search.images.datasets import Task, task_of

if TYPE_CHECKING:
    from zc_search.images import Batch


def open_images(data: Data) -> ImageSet:
    """Read all images that a section ``data`` names."""
    return read_images(
        data.source,
        data.path,
        max_unreadable=data.max_unreadable,
        resolution=data.resolution,
        color=data.color,
        fit=data.fit,
    )


def batch_and_task(
    config: Config, images: ImageSet | None = None
) -> "tuple[Batch, Task, tuple[str, ...]]":
    """Return the batch that a search scores on, what networks are built for, and notes.

    `images` are those of the search, if they have been read already. With a benchmark, or where
    images are made up, ``space.dataset`` decides; else the images do.
    """
    data, task = config.data, task_of(config.space.dataset)
    if config.data_decides:
        images = images or open_images(data)
        batch = images.batch(data.batch_size, data.seed, data.validation)
        return batch, images.task, (images.described() + ".", *images.notes)
    batch = load_batch(data.source, task.name, data.batch_size, data.seed, data.path)
    return batch, task, ()
