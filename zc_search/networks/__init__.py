"""From an architecture to a torch module, exactly as the benchmark built it."""

from zc_search.networks.building import build_network
from zc_search.networks.nasbench101 import SpecNetwork
from zc_search.networks.nasbench201 import CellNetwork
from zc_search.networks.nats_sss import SizeNetwork

__all__ = ["CellNetwork", "SizeNetwork", "SpecNetwork", "build_network"]
