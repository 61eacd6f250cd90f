"""What may be searched: architectures as values, and the spaces they come from. No torch."""

from zc_search.spaces.base import AnyArchitecture, AnySpace, SearchSpace
from zc_search.spaces.cell_space import CellSpace
from zc_search.spaces.nasbench101 import ModelSpec
from zc_search.spaces.nasbench101_space import ModelSpecSpace
from zc_search.spaces.nasbench201 import Architecture, all_architectures
from zc_search.spaces.nats_sss import SizeArchitecture, SizeSpace
from zc_search.spaces.reading import read_architecture
from zc_search.vocabulary import EDGES, OPERATIONS, PARAMETERS

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
