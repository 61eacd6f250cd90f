from .conversion import convert
from .official import load_official, open_api, trained_network
from .table import Conversion

__all__ = [
    "Conversion",
    "convert",
    "load_official",
    "open_api",
    "trained_network",
]
