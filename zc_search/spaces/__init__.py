"""What may be searched: architectures as values, and the spaces they come from. No torch."""

from zc_search.spaces.base import (
    PLUGIN,
    SPACES,
    AnyArchitecture,
    AnySpace,
    SearchSpace,
    compact,
    legend,
    make_space,
    read_architecture,
    space_named,
)
from zc_search.spaces.define_by_run.architecture import (
    FunctionSpace,
    Parameters,
    ProductOfChoices,
    own_space,
)
from zc_search.spaces.mobilenet.architecture import MobileNet, MobileNetSpace
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
from zc_search.spaces.transnas_micro.architecture import MicroCell, MicroSpace

__all__ = [
    "EDGES",
    "OPERATIONS",
    "PARAMETERS",
    "PLUGIN",
    "SPACES",
    "AnyArchitecture",
    "AnySpace",
    "Architecture",
    "CellSpace",
    "FunctionSpace",
    "MicroCell",
    "MicroSpace",
    "MobileNet",
    "MobileNetSpace",
    "ModelSpec",
    "ModelSpecSpace",
    "Parameters",
    "ProductOfChoices",
    "SearchSpace",
    "SizeArchitecture",
    "SizeSpace",
    "all_architectures",
    "compact",
    "legend",
    "make_space",
    "own_space",
    "read_architecture",
    "space_named",
]

# The last is a user's own.
_ALL: tuple[type[AnySpace], ...] = (
    *(CellSpace, SizeSpace, ModelSpecSpace, MobileNetSpace, MicroSpace),
    FunctionSpace,
)
SPACES.update({space.name: space for space in _ALL})
