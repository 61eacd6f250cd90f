"""A search space of NAS-Bench-201 cells: which operations each edge may hold."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from zc_search.errors import ArchitectureError, unknown_name
from zc_search.spaces.nasbench201.architecture import Architecture
from zc_search.spaces.product_space import ProductSpace
from zc_search.spaces.vocabulary import OPERATIONS, PARAMETERS


def _everything() -> dict[str, tuple[str, ...]]:
    return dict.fromkeys(PARAMETERS, OPERATIONS)


@dataclass(frozen=True)
class CellSpace(ProductSpace[Architecture]):
    """The cells that a search may visit.

    Attributes:
        choices: For each edge (`PARAMETERS`), the operations it may hold; all five by default.

    Raises:
        ArchitectureError: An edge is missing or unknown, has no choice or an unknown one.
    """

    choices: Mapping[str, tuple[str, ...]] = field(default_factory=_everything)

    name: ClassVar[str] = "nasbench201"
    kind = Architecture

    def __post_init__(self) -> None:
        for edge, allowed in self.choices.items():
            if edge not in PARAMETERS:
                raise ArchitectureError(unknown_name("edge", edge, PARAMETERS))
            if not allowed:
                raise ArchitectureError(f"{edge}: no operation to choose from")
            for operation in allowed:
                if operation not in OPERATIONS:
                    raise ArchitectureError(
                        f"{edge}: {unknown_name('operation', operation, OPERATIONS)}"
                    )
            if len(set(allowed)) < len(allowed):
                raise ArchitectureError(f"{edge}: an operation is named twice in {allowed!r}")
        missing = [edge for edge in PARAMETERS if edge not in self.choices]
        if missing:
            raise ArchitectureError(f"no operations given for {', '.join(missing)}")
        ordered = {edge: tuple(self.choices[edge]) for edge in PARAMETERS}
        object.__setattr__(self, "choices", ordered)

    def __hash__(self) -> int:
        return hash(tuple(self.choices.values()))

    def architecture(self, parameters: Mapping[str, str]) -> Architecture:
        """Return the cell that an Optuna trial's parameters name.

        Raises:
            ArchitectureError: An edge is missing.
        """
        missing = [edge for edge in PARAMETERS if edge not in parameters]
        if missing:
            raise ArchitectureError(f"no operations given for {', '.join(missing)}")
        return Architecture(tuple(parameters[edge] for edge in PARAMETERS))

    @staticmethod
    def values(architecture: Architecture) -> tuple[str, ...]:
        """Return the operations of a cell's edges."""
        return architecture.ops
