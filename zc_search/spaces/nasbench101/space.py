"""NAS-Bench-101 as a search space: a bit for each possible edge, an operation for each vertex.

Most of these points are no cells of the benchmark, as input and output are not connected or the
edges are too many; a trial of such a point is told to Optuna as infeasible.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any, ClassVar

import numpy as np

from zc_search.errors import ArchitectureError, unknown_name
from zc_search.spaces.nasbench101.architecture import INPUT, MAX_VERTICES, OUTPUT, ModelSpec
from zc_search.spaces.vocabulary import VERTEX_OPERATIONS

CELLS = 423_624
"""Different cells of up to 7 vertices and 9 edges with three operations (the paper's count)."""


@dataclass(frozen=True)
class ModelSpecSpace:
    """The cells that a search may visit.

    Attributes:
        vertices: Of a cell before pruning, input and output included, 2 to 7.
        operations: What an inner vertex may be.

    Raises:
        ArchitectureError: Too few or too many vertices, no operation or an unknown one.
    """

    vertices: int = MAX_VERTICES
    operations: tuple[str, ...] = VERTEX_OPERATIONS

    name: ClassVar[str] = "nasbench101"

    def __post_init__(self) -> None:
        if self.vertices not in range(2, MAX_VERTICES + 1):
            raise ArchitectureError(f"vertices: {self.vertices!r}; Allowed: 2 to {MAX_VERTICES}")
        for operation in self.operations:
            if operation not in VERTEX_OPERATIONS:
                raise ArchitectureError(unknown_name("operation", operation, VERTEX_OPERATIONS))
        if not self.operations or len(set(self.operations)) < len(self.operations):
            raise ArchitectureError(
                f"operations: {self.operations!r} is given; Allowed: one or more, each once"
            )

    @cached_property
    def choices(self) -> dict[str, tuple[str | int, ...]]:
        """An edge's bit for each two vertices, ``edge_0_1``, and ``op_1`` for an inner vertex."""
        edges = {f"edge_{s}_{t}": (0, 1) for s, t in combinations(range(self.vertices), 2)}
        return edges | {f"op_{v}": self.operations for v in range(1, self.vertices - 1)}

    @property
    def size(self) -> int | None:
        """How many different cells it has, where the paper says it; else None."""
        everything = self.vertices == MAX_VERTICES and set(self.operations) == set(
            VERTEX_OPERATIONS
        )
        return CELLS if everything else None

    def architecture(self, parameters: Mapping[str, Any]) -> ModelSpec:
        """Return the cell that an Optuna trial's parameters name; it may be infeasible.

        Raises:
            ArchitectureError: A parameter is missing.
        """
        missing = [name for name in self.choices if name not in parameters]
        if missing:
            raise ArchitectureError(f"no value given for {', '.join(missing)}")
        size = range(self.vertices)
        return ModelSpec(
            tuple(tuple(parameters[f"edge_{s}_{t}"] if s < t else 0 for t in size) for s in size),
            (INPUT, *(parameters[f"op_{v}"] for v in size[1:-1]), OUTPUT),
        )

    def parameters(self, architecture: ModelSpec) -> dict[str, Any]:
        """Return Optuna parameters of a cell; one with fewer vertices gets unconnected ones.

        Raises:
            ArchitectureError: It is not in this space.
        """
        if architecture not in self:
            raise ArchitectureError(f"{architecture} is outside the search space")
        inner = len(architecture.ops) - 2
        # The output's place in the space, and an inner vertex's, which it keeps.
        place = {**{v: v for v in range(inner + 1)}, inner + 1: self.vertices - 1}
        parameters: dict[str, Any] = {
            name: 0 if name.startswith("edge") else self.operations[0] for name in self.choices
        }
        for s, row in enumerate(architecture.matrix):
            for t, edge in enumerate(row):
                if edge:
                    parameters[f"edge_{place[s]}_{place[t]}"] = 1
        for v, operation in enumerate(architecture.ops[1:-1], start=1):
            parameters[f"op_{v}"] = operation
        return parameters

    def sample(self, rng: np.random.Generator) -> ModelSpec:
        """Draw bits and operations uniformly until they are a feasible cell, as the authors do."""
        while True:
            drawn = self.architecture(
                {name: values[rng.integers(len(values))] for name, values in self.choices.items()}
            )
            if drawn.infeasible is None:
                return drawn

    def mutate(
        self, architecture: ModelSpec, rng: np.random.Generator, rate: float = 1.0
    ) -> ModelSpec:
        """Return a feasible cell near another one, as the authors' evolution does.

        Each edge is flipped with probability rate / vertices, each operation changed to another
        one with rate / inner vertices, until the cell is feasible.

        Args:
            architecture: The parent.
            rng: Of all random choices.
            rate: How many operations change on average; above 0.

        Raises:
            ArchitectureError: The parent is not in this space.
            ValueError: The rate is not above 0.
        """
        if not rate > 0:
            raise ValueError(f"rate={rate!r}: Allowed: above 0")
        parent = self.parameters(architecture)
        while True:
            child = dict(parent)
            for name, values in self.choices.items():
                places = self.vertices if name.startswith("edge") else self.vertices - 2
                others = [value for value in values if value != parent[name]]
                if others and rng.random() < rate / places:
                    child[name] = others[rng.integers(len(others))]
            mutated = self.architecture(child)
            if mutated.infeasible is None:
                return mutated

    def neighbours(self, architecture: ModelSpec) -> Iterator[ModelSpec]:
        """Yield feasible cells that differ in one edge or operation and in what they compute.

        Raises:
            ArchitectureError: `architecture` itself is not in this space.
        """
        here = self.parameters(architecture)
        seen = {architecture.function_key}
        for name, values in self.choices.items():
            for value in values:
                neighbour = self.architecture({**here, name: value})
                if neighbour.infeasible is None and neighbour.function_key not in seen:
                    seen.add(neighbour.function_key)
                    yield neighbour

    def __contains__(self, architecture: object) -> bool:
        return (
            isinstance(architecture, ModelSpec)
            and len(architecture.ops) <= self.vertices
            and set(architecture.ops[1:-1]) <= set(self.operations)
        )
