"""Benchmark files read with torch: through their authors' package, and trained weights."""

from zc_search.archives.official import load_official, open_api
from zc_search.archives.weights import load_weights, trained_network

__all__ = ["load_official", "load_weights", "open_api", "trained_network"]
