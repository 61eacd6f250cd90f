"""What may be searched: architectures as values, and the spaces they come from. No torch."""

from zc_search.spaces.cell_space import CellSpace
from zc_search.spaces.nasbench201 import Architecture, all_architectures
from zc_search.vocabulary import EDGES, OPERATIONS, PARAMETERS

__all__ = ["EDGES", "OPERATIONS", "PARAMETERS", "Architecture", "CellSpace", "all_architectures"]
