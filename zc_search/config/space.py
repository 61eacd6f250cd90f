"""The section of a configuration that says what is searched: one model for all search spaces.

A key that only some spaces have is absent for the others, so that it is neither written nor allowed
there.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from zc_search.config.sections import Section
from zc_search.config.types import Channels, Count, Operations, VertexOperations
from zc_search.images.datasets import DatasetName
from zc_search.spaces import PARAMETERS, SPACES
from zc_search.spaces.nats_sss.architecture import STAGES

if TYPE_CHECKING:
    SpaceName = str
else:
    SpaceName = Literal[tuple(SPACES)]

SPACE_KEYS: Mapping[str, Mapping[str, Any]] = {
    name: space.settings for name, space in SPACES.items()
}
"""The keys of `Space` that not every space has, by space, with their defaults."""

BENCHMARKS_OF: Mapping[str, tuple[str, ...]] = {name: (name,) for name in SPACES}
"""The tabular benchmarks that know the architectures of a space."""

_OWN_KEYS = frozenset(key for keys in SPACE_KEYS.values() for key in keys)


class Space(Section):
    """Which architectures may be visited, and the network they are built into.

    Attributes:
        name: The search space.
        dataset: Sets classes, resolution, and the benchmark's figures; without a benchmark, images
            that are read say themselves how they are.
        channels: Output channels of the first of the three stages (C in NAS-Bench-201), or of
            the stem (NAS-Bench-101); by default the benchmark's. The size space searches them.
        cells: Cells a stage (N in NAS-Bench-201, modules a stack in NAS-Bench-101); by default
            the benchmark's. The size space has one.
        op_1_0: Operations that the edge from node 0 to node 1 may hold.
        op_2_0: From node 0 to node 2.
        op_2_1: From node 1 to node 2.
        op_3_0: From node 0 to node 3.
        op_3_1: From node 1 to node 3.
        op_3_2: From node 2 to node 3.
        stage_1: Channels that the stem and the first cell of the size space may have.
        stage_2: Those of its first down-sampling.
        stage_3: Those of its second cell.
        stage_4: Those of its second down-sampling.
        stage_5: Those of its third cell.
        vertices: Of a NAS-Bench-101 cell before pruning, input and output included.
        operations: What an inner vertex of it may be.
    """

    name: SpaceName = "nasbench201"
    dataset: DatasetName = "cifar10"
    channels: Count | None = None
    cells: Count | None = None
    op_1_0: Operations | None = None
    op_2_0: Operations | None = None
    op_2_1: Operations | None = None
    op_3_0: Operations | None = None
    op_3_1: Operations | None = None
    op_3_2: Operations | None = None
    stage_1: Channels | None = None
    stage_2: Channels | None = None
    stage_3: Channels | None = None
    stage_4: Channels | None = None
    stage_5: Channels | None = None
    vertices: int | None = Field(default=None, ge=2, le=7)
    operations: VertexOperations | None = None

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_space(cls, given: Any) -> Any:
        """Fill in what a space has a default for; what belongs to another one stays absent."""
        if not isinstance(given, Mapping):
            return given
        name = given.get("name", "nasbench201")
        defaults = SPACE_KEYS.get(name if isinstance(name, str) else "", {})
        return {**defaults, **{key: value for key, value in given.items() if value is not None}}

    @field_validator("*")
    @classmethod
    def _belongs_to_the_space(cls, value: Any, info: ValidationInfo) -> Any:
        name, key = info.data.get("name"), info.field_name
        if value is not None and key in _OWN_KEYS and name and key not in SPACE_KEYS[name]:
            owners = " and ".join(repr(o) for o, keys in SPACE_KEYS.items() if key in keys)
            raise ValueError(
                f"has no meaning for name = {name!r}, only for {owners}; "
                f"Allowed: {', '.join(SPACE_KEYS[name])}"
            )
        return value

    @field_validator("channels")
    @classmethod
    def _can_be_divided(cls, channels: int | None, info: ValidationInfo) -> int | None:
        if channels is not None and channels < 5 and info.data.get("name") == "nasbench101":
            raise ValueError(
                f"{channels} is given; Allowed: at least 5, as up to five vertices share them"
            )
        return channels

    @property
    def choices(self) -> dict[str, tuple[str, ...]]:
        """The operations of each edge of NAS-Bench-201, in the order of the architecture string."""
        return {edge: getattr(self, edge) for edge in PARAMETERS}

    @property
    def stage_channels(self) -> dict[str, tuple[int, ...]]:
        """The channels of each stage of the size space."""
        return {stage: getattr(self, stage) for stage in STAGES}
