"""What may be searched: architectures as values, and the spaces they come from. No torch."""

from zc_search.spaces.base import (
    SPACES,
    AnyArchitecture,
    AnySpace,
    SearchSpace,
    compact,
    legend,
    make_space,
    read_architecture,
)
from zc_search.spaces.nasbench101.architecture import ModelSpec, ModelSpecSpace
from zc_search.spaces.nasbench201.architecture import (
    EDGES,
    OPERATIONS,
    PARAMETERS,
    Architecture,
    CellSpace,
    all_architectures,
)
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
    "compact",
    "legend",
    "make_space",
    "read_architecture",
]

SPACES.update({space.name: space for space in (CellSpace, SizeSpace, ModelSpecSpace)})
