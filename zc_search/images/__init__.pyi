from .batch import Batch
from .sources import SOURCES, load_batch

__all__ = [
    "SOURCES",
    "Batch",
    "load_batch",
]
