from .datasets import DATASETS, SOURCES, Task, task_of
from .image_set import Batch, ImageSet, image_set
from .sources import load_batch, read_images

__all__ = [
    "DATASETS",
    "SOURCES",
    "Batch",
    "ImageSet",
    "Task",
    "image_set",
    "load_batch",
    "read_images",
    "task_of",
]
