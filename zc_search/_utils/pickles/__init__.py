"""Pickles that others wrote, read without giving them a way to run code."""

from zc_search._utils.pickles.numpy_arrays import NUMPY_ARRAYS
from zc_search._utils.pickles.restricted import load_restricted

__all__ = ["NUMPY_ARRAYS", "load_restricted"]
