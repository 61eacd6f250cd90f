from .datasets import DATASETS, SOURCES, Task, task_of
from .image_set import ImageSet, image_set
from .sources import Batch, batch_of, load_batch, read_images

__all__ = [
    "DATASETS",
    "SOURCES",
    "Batch",
    "ImageSet",
    "Task",
    "batch_of",
    "image_set",
    "load_batch",
    "read_images",
    "task_of",
]
