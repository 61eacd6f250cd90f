"""A search space of NAS-Bench-201 cells: which operations each edge may hold."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from math import prod
from typing import ClassVar

import numpy as np

from zc_search.errors import ArchitectureError, unknown_name
from zc_search.spaces.nasbench201 import Architecture
from zc_search.vocabulary import OPERATIONS, PARAMETERS


def _everything() -> dict[str, tuple[str, ...]]:
    return dict.fromkeys(PARAMETERS, OPERATIONS)


@dataclass(frozen=True)
class CellSpace:
    """The cells that a search may visit.

    Attributes:
        choices: For each edge (`PARAMETERS`), the operations it may hold; all five by default.

    Raises:
        ArchitectureError: An edge is missing or unknown, has no choice or an unknown one.
    """

    choices: Mapping[str, tuple[str, ...]] = field(default_factory=_everything)

    name: ClassVar[str] = "nasbench201"

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

    @property
    def size(self) -> int:
        """How many cells it has."""
        return len(self)

    def architecture(self, parameters: Mapping[str, str]) -> Architecture:
        """Return the cell that an Optuna trial's parameters name.

        Raises:
            ArchitectureError: An edge is missing.
        """
        missing = [edge for edge in PARAMETERS if edge not in parameters]
        if missing:
            raise ArchitectureError(f"no operations given for {', '.join(missing)}")
        return Architecture(tuple(parameters[edge] for edge in PARAMETERS))

    def parameters(self, architecture: Architecture) -> dict[str, str]:
        """Return the Optuna parameters of a cell; the inverse of `architecture`.

        Raises:
            ArchitectureError: The cell is not in this space.
        """
        if architecture not in self:
            raise ArchitectureError(f"{architecture} is outside the search space")
        return dict(zip(PARAMETERS, architecture.ops, strict=True))

    def sample(self, rng: np.random.Generator) -> Architecture:
        """Draw a cell, each edge's operation uniformly and independently."""
        return Architecture(
            tuple(allowed[rng.integers(len(allowed))] for allowed in self.choices.values())
        )

    def neighbours(self, architecture: Architecture) -> Iterator[Architecture]:
        """Yield the cells of this space that differ from `architecture` in one operation.

        Raises:
            ArchitectureError: `architecture` itself is not in this space.
        """
        ops = tuple(self.parameters(architecture).values())
        for edge, allowed in enumerate(self.choices.values()):
            for operation in allowed:
                if operation != ops[edge]:
                    yield Architecture((*ops[:edge], operation, *ops[edge + 1 :]))

    def __contains__(self, architecture: object) -> bool:
        if not isinstance(architecture, Architecture):
            return False
        pairs = zip(architecture.ops, self.choices.values(), strict=True)
        return all(operation in allowed for operation, allowed in pairs)

    def __iter__(self) -> Iterator[Architecture]:
        return map(Architecture, product(*self.choices.values()))

    def __len__(self) -> int:
        return prod(len(allowed) for allowed in self.choices.values())
