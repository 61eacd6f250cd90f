"""Pickles that others wrote, read without giving them a way to run code."""

from zc_search.pickles.numpy_arrays import NUMPY_ARRAYS
from zc_search.pickles.restricted import load_restricted

__all__ = ["NUMPY_ARRAYS", "load_restricted"]
