from .conversion import Conversion, convert
from .official import load_official, open_api, trained_network

__all__ = [
    "Conversion",
    "convert",
    "load_official",
    "open_api",
    "trained_network",
]
