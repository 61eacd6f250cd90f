"""From an architecture to a torch module, exactly as the benchmark built it."""

from zc_search.networks.nasbench201 import CellNetwork, build_network

__all__ = ["CellNetwork", "build_network"]
