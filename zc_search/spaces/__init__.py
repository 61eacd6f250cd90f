"""What may be searched: architectures as values, and the spaces they come from. No torch."""

from zc_search.spaces.base import AnyArchitecture, AnySpace, SearchSpace
from zc_search.spaces.nasbench101.architecture import ModelSpec
from zc_search.spaces.nasbench101.space import ModelSpecSpace
from zc_search.spaces.nasbench201.architecture import Architecture, all_architectures
from zc_search.spaces.nasbench201.space import CellSpace
from zc_search.spaces.nats_sss.architecture import SizeArchitecture, SizeSpace
from zc_search.spaces.reading import read_architecture
from zc_search.spaces.vocabulary import EDGES, OPERATIONS, PARAMETERS

__all__ = [
    "EDGES",
    "OPERATIONS",
    "PARAMETERS",
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
    "read_architecture",
]
