"""What may be searched: architectures as values, and the spaces they come from. No torch."""

from zc_search.spaces.base import AnyArchitecture, AnySpace, SearchSpace
from zc_search.spaces.catalogue import SPACES, make_space, read_architecture
from zc_search.spaces.nasbench101.architecture import ModelSpec, ModelSpecSpace
from zc_search.spaces.nasbench201.architecture import Architecture, CellSpace, all_architectures
from zc_search.spaces.nasbench201.graph import EDGES, OPERATIONS, PARAMETERS
from zc_search.spaces.nats_sss.architecture import SizeArchitecture, SizeSpace

__all__ = [
    "EDGES",
    "OPERATIONS",
    "PARAMETERS",
    "SPACES",
    "AnyArchitecture",
    "AnySpace",
    "Architecture",
    "CellSpace",
    "ModelSpec",
    "ModelSpecSpace",
    "SearchSpace",
    "SizeArchitecture",
    "SizeSpace",
    "all_architectures",
    "make_space",
    "read_architecture",
]
