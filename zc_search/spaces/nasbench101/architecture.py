"""The NAS-Bench-101 cell as a value, a small graph whose inner vertices are operations; the space.

The space has a bit for each possible edge and an operation for each vertex (Ying et al. 2019,
NAS-Bench-101, section 2). Most of its points are no cells of the benchmark, as input and output are
not connected or the edges are too many; a trial of such a point is told to Optuna as infeasible.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import combinations, permutations
from textwrap import shorten
from typing import Any, ClassVar, Literal, Self, get_args

import numpy as np

from zc_search.errors import ArchitectureError
from zc_search.spaces.base import (
    AnyArchitecture,
    SearchSpace,
    check_choices,
    path_features,
    require,
)

VertexOperation = Literal["conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3"]

VERTEX_OPERATIONS: tuple[VertexOperation, ...] = get_args(VertexOperation)
"""The operations of NAS-Bench-101 in its order, which its hash depends on."""

INPUT, OUTPUT = "input", "output"
MAX_VERTICES = 7
MAX_EDGES = 9

CELLS = 423_624
"""Different cells of up to 7 vertices and 9 edges with three operations (the paper's count)."""

_STRING = re.compile(r"([01]+(?:\.[01]+)*):([^:{}]*)")
_EXAMPLE = "11.1:conv3x3-bn-relu"


# The graph --------------------------------------------------------------------------------------

Matrix = tuple[tuple[int, ...], ...]
"""Entry [s][t] is 1 where an edge goes from vertex s to vertex t, t > s as vertices are in
topological order; the first one is the input, the last one the output."""

_INPUT, _OUTPUT = -1, -2  # the labels that the paper's hash gives to them


def live_vertices(matrix: Matrix) -> tuple[int, ...]:
    """Return the vertices on a path from input to output, ascending; none if there is no path."""
    last = len(matrix) - 1
    edges = [(s, t) for s, t in combinations(range(len(matrix)), 2) if matrix[s][t]]
    from_input, to_output = {0}, {last}
    for source, target in edges:  # ascending sources
        if source in from_input:
            from_input.add(target)
    for source, target in reversed(edges):
        if target in to_output:
            to_output.add(source)
    return tuple(sorted(from_input & to_output))


def submatrix(matrix: Matrix, vertices: Sequence[int]) -> Matrix:
    """Return the graph of some vertices, numbered in the order given."""
    return tuple(tuple(matrix[source][target] for target in vertices) for source in vertices)


@lru_cache(maxsize=2**16)
def graph_hash(matrix: Matrix, labels: tuple[int, ...]) -> str:
    """Return the hash that NAS-Bench-101 finds a graph by: equal for isomorphic graphs.

    As many times as there are vertices, each is hashed anew with the sorted hashes of those before
    it and of those behind it. The authors checked that no two of their graphs that are not
    isomorphic share a hash. The graph is pruned, labels are places in `VERTEX_OPERATIONS`.
    """
    size = range(len(matrix))
    before = [[s for s in size if matrix[s][v]] for v in size]
    behind = [[t for t in size if matrix[v][t]] for v in size]
    hashes = [
        _md5(f"({len(behind[v])}, {len(before[v])}, {label})")
        for v, label in enumerate((_INPUT, *labels, _OUTPUT))
    ]

    def joined(vertices: Sequence[int]) -> str:
        return "".join(sorted(hashes[v] for v in vertices))

    for _ in size:
        hashes = [_md5(f"{joined(before[v])}|{joined(behind[v])}|{hashes[v]}") for v in size]
    return _md5(str(sorted(hashes)))


@lru_cache(maxsize=2**16)
def first_isomorph(matrix: Matrix, labels: tuple[int, ...]) -> tuple[Matrix, tuple[int, ...]]:
    """Return the isomorphic graph that NAS-Bench-101 trained.

    Its graphs were generated in the order of `edge_bits`, those of one matrix in the order of their
    labels, and the first one of each hash was kept.
    """
    last = len(matrix) - 1
    _, found, first = min(
        (edge_bits(permuted), tuple(labels[v - 1] for v in order), permuted)
        for order in permutations(range(1, last))
        if is_upper_triangular(permuted := submatrix(matrix, (0, *order, last)))
    )
    return first, found


def is_upper_triangular(matrix: Matrix) -> bool:
    """Whether every edge goes from a lower to a higher vertex."""
    return not any(matrix[s][t] for s in range(len(matrix)) for t in range(s + 1))


def edge_bits(matrix: Matrix) -> int:
    """Return the edges as one number: column by column, the first edge the lowest bit."""
    pairs = ((s, t) for t in range(len(matrix)) for s in range(t))
    return sum(matrix[s][t] << place for place, (s, t) in enumerate(pairs))


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


# The cell ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ModelSpec(AnyArchitecture):
    """A cell of NAS-Bench-101 (Ying et al. 2019): a frozen, hashable value.

    It may be infeasible: without a path from input to output, or with too many edges.
    """

    matrix: Matrix
    """Entry [s][t] is 1 where vertex s feeds vertex t; upper triangular, 2 to 7 vertices."""

    ops: tuple[str, ...]
    """``input``, an operation for each inner vertex (`VERTEX_OPERATIONS`), ``output``."""

    space: ClassVar[str] = "nasbench101"
    legend: ClassVar[str] = (
        "cell: operation/sources of vertices 1|2|..., then the output's sources, 0 being the "
        "input; 3 conv3x3-bn-relu, 1 conv1x1-bn-relu, p maxpool3x3"
    )
    written: ClassVar = re.compile(
        rf"{_STRING.pattern}|\{{.*(matrix|module_adjacency).*", re.DOTALL
    )

    def __post_init__(self) -> None:
        matrix = _checked_matrix(self.matrix)
        ops = tuple(self.ops) if isinstance(self.ops, list | tuple) else ()
        if len(ops) != len(matrix) or (ops[0], ops[-1]) != (INPUT, OUTPUT):
            message = (
                f"ops: {self.ops!r} is given; Allowed: {len(matrix)} names, as many as the matrix "
                f"has rows, the first {INPUT} and the last {OUTPUT}"
            )
            raise ArchitectureError(message, key="ops", given=self.ops)
        for vertex, operation in enumerate(ops[1:-1], start=1):
            if operation not in VERTEX_OPERATIONS:
                key = f"ops[{vertex}]"
                raise ArchitectureError.unknown("operation", operation, VERTEX_OPERATIONS, key=key)
        object.__setattr__(self, "matrix", matrix)
        object.__setattr__(self, "ops", ops)

    # Text -------------------------------------------------------------------------------------

    @classmethod
    def from_string(cls, text: str) -> Self:
        """Read ``<rows>:<operations>``, or JSON with the keys ``matrix`` and ``ops``.

        The rows are those of the matrix right of its diagonal, with dots between them, the
        operations those of the inner vertices, with commas: ``110.01.1:maxpool3x3,...``.
        """
        match = _STRING.fullmatch(text.strip()) if isinstance(text, str) else None
        if match is None:
            return cls._from_json(text)
        rows = match[1].split(".")
        size = len(rows) + 1
        if [len(row) for row in rows] != list(range(size - 1, 0, -1)):
            such = f"have {size - 1} digits, then one less each; such as {_EXAMPLE}"
            raise ArchitectureError(f"{text!r}: the rows of a cell of {size} vertices {such}")
        matrix = tuple((0,) * (size - len(row)) + tuple(map(int, row)) for row in (*rows, ""))
        inner = match[2].split(",") if match[2].strip() else ()
        return cls(matrix, (INPUT, *map(str.strip, inner), OUTPUT))

    @classmethod
    def _from_json(cls, text: object) -> Self:
        try:
            spec = json.loads(text) if isinstance(text, str) else None
        except (ValueError, RecursionError):
            spec = None
        for matrix, ops in ("matrix", "ops"), ("module_adjacency", "module_operations"):
            if isinstance(spec, dict) and {matrix, ops} <= spec.keys():
                return cls(spec[matrix], spec[ops])
        raise ArchitectureError(
            f"not a cell of NAS-Bench-101: {text!r}; such as {_EXAMPLE}, or "
            '{"matrix": [[0, 1], [0, 0]], "ops": ["input", "output"]}'
        )

    def to_string(self) -> str:
        """Write rows and operations; the inverse of `from_string`."""
        rows = ["".join(map(str, row[s + 1 :])) for s, row in enumerate(self.matrix[:-1])]
        return f"{'.'.join(rows)}:{','.join(self.ops[1:-1])}"

    def compact(self) -> str:
        """Write each live vertex as ``operation/sources``, the output without an operation."""
        spec = self.pruned or self
        codes = [*("31p"[label] for label in spec.labels), ""]
        columns = list(zip(*spec.matrix, strict=True))[1:]
        return "|".join(
            f"{code}/{''.join(str(s) for s, edge in enumerate(column) if edge)}"
            for code, column in zip(codes, columns, strict=True)
        )

    # What the cell computes -------------------------------------------------------------------

    @cached_property
    def pruned(self) -> "ModelSpec | None":
        """The cell without the vertices off any path from input to output; None without a path."""
        live = live_vertices(self.matrix)
        if not live:
            return None
        if len(live) == len(self.matrix):
            return self
        return ModelSpec(submatrix(self.matrix, live), tuple(self.ops[v] for v in live))

    @property
    def edges(self) -> int:
        """How many edges the matrix has."""
        return sum(map(sum, self.matrix))

    @property
    def infeasible(self) -> str | None:
        """Why NAS-Bench-101 has no such cell, after pruning; None where it has."""
        if self.pruned is None:
            return "the input does not reach the output"
        if self.pruned.edges > MAX_EDGES:
            return f"{self.pruned.edges} edges, at most {MAX_EDGES} are allowed"
        return None

    @cached_property
    def function_key(self) -> str:
        """The paper's hash of the pruned cell, equal for isomorphic ones; empty without a path."""
        return graph_hash(self.pruned.matrix, self.pruned.labels) if self.pruned else ""

    def representative(self) -> "ModelSpec":
        """Return the isomorphic cell, without dead vertices, that NAS-Bench-101 trained.

        Where channels cannot be divided equally, the order of the vertices decides who gets more,
        so isomorphic cells may differ by a few parameters. Without a path the cell stands for
        itself.
        """
        if self.pruned is None:
            return self
        matrix, labels = first_isomorph(self.pruned.matrix, self.pruned.labels)
        return ModelSpec(matrix, (INPUT, *(VERTEX_OPERATIONS[label] for label in labels), OUTPUT))

    @property
    def labels(self) -> tuple[int, ...]:
        """The inner vertices' operations as places in `VERTEX_OPERATIONS`."""
        names: tuple[str, ...] = VERTEX_OPERATIONS
        return tuple(names.index(operation) for operation in self.ops[1:-1])

    @property
    def index(self) -> int:
        """What cells are sorted by: vertices, edges, operations; no number of the benchmark."""
        value = len(self.ops) << MAX_VERTICES * (MAX_VERTICES - 1) // 2 | edge_bits(self.matrix)
        for label in (*self.labels, *(0,) * (MAX_VERTICES - len(self.ops))):
            value = value * len(VERTEX_OPERATIONS) + label
        return value


def _paths(matrix: Matrix, ops: Sequence[str], first: int = 0) -> Iterator[tuple[str, ...]]:
    """Yield the operations on each path from a vertex, its own left out, to the output."""
    if first == len(ops) - 1:
        yield ()
    for target in range(first + 1, len(ops)):
        if matrix[first][target]:
            own = ops[target : target + 1] if target < len(ops) - 1 else ()
            yield from ((*own, *rest) for rest in _paths(matrix, ops, target))


def _checked_matrix(given: Any) -> Matrix:
    try:
        bits = np.array(given)
    except ValueError:  # rows of different lengths
        bits = np.empty(0)
    square = bits.ndim == 2 and bits.shape[0] == bits.shape[1] in range(2, MAX_VERTICES + 1)
    if square and bits.dtype.kind in "biuf" and ((bits == 0) | np.triu(bits == 1, 1)).all():
        return tuple(map(tuple, bits.astype(int).tolist()))
    message = (
        f"matrix: {shorten(repr(given), 120)} is given; Allowed: a square matrix of 2 to "
        f"{MAX_VERTICES} rows, zeros and ones, ones right of the diagonal only, so that every edge "
        "goes to a later vertex"
    )
    raise ArchitectureError(message, key="matrix", given=given)


@dataclass(frozen=True)
class ModelSpecSpace(SearchSpace[ModelSpec]):
    """The cells that a search may visit."""

    vertices: int = MAX_VERTICES
    """Of a cell before pruning, input and output included, 2 to 7."""

    operations: tuple[str, ...] = VERTEX_OPERATIONS
    """What an inner vertex may be."""

    choices: Mapping[str, tuple[str | int, ...]] = field(init=False, compare=False, repr=False)
    """A bit for each two vertices, ``edge_0_1``, and ``op_1`` for an inner vertex."""

    name, kind, example = "nasbench101", ModelSpec, _EXAMPLE
    settings: ClassVar = {"channels": 128, "cells": 3, "vertices": MAX_VERTICES}
    settings |= {"operations": VERTEX_OPERATIONS}

    def __post_init__(self) -> None:
        if self.vertices not in range(2, MAX_VERTICES + 1):
            message = f"vertices: {self.vertices!r}; Allowed: 2 to {MAX_VERTICES}"
            raise ArchitectureError(message, key="vertices", given=self.vertices)
        check_choices("operations", self.operations, VERTEX_OPERATIONS)
        choices: dict[str, tuple[str | int, ...]] = {
            f"edge_{s}_{t}": (0, 1) for s, t in combinations(range(self.vertices), 2)
        }
        choices |= {f"op_{v}": self.operations for v in range(1, self.vertices - 1)}
        object.__setattr__(self, "choices", choices)

    @classmethod
    def from_settings(cls, section: Any) -> Self:
        """Return the space that ``[space]`` describes."""
        return cls(section.vertices, section.operations)

    @property
    def size(self) -> int | None:
        """How many different cells it has, where the paper says it; else None."""
        whole = (self.vertices, len(self.operations)) == (MAX_VERTICES, len(VERTEX_OPERATIONS))
        return CELLS if whole else None

    def architecture(self, parameters: Mapping[str, Any]) -> ModelSpec:
        """Return the cell that an Optuna trial's parameters name; it may be infeasible."""
        require(self.choices, parameters)
        size = range(self.vertices)
        return ModelSpec(
            tuple(tuple(parameters[f"edge_{s}_{t}"] if s < t else 0 for t in size) for s in size),
            (INPUT, *(parameters[f"op_{v}"] for v in size[1:-1]), OUTPUT),
        )

    def parameters(self, architecture: ModelSpec) -> dict[str, Any]:
        """Return Optuna parameters of a cell; one with fewer vertices gets unconnected ones."""
        self._require_inside(architecture)
        last = len(architecture.ops) - 1
        parameters: dict[str, Any] = {
            name: 0 if name.startswith("edge") else self.operations[0] for name in self.choices
        }
        for s, t in combinations(range(last + 1), 2):
            if architecture.matrix[s][t]:  # inner vertices keep their places, the output moves
                parameters[f"edge_{s}_{t if t < last else self.vertices - 1}"] = 1
        for v, operation in enumerate(architecture.ops[1:-1], start=1):
            parameters[f"op_{v}"] = operation
        return parameters

    def sample(self, rng: np.random.Generator) -> ModelSpec:
        """Draw bits and operations uniformly until they are a feasible cell, as the authors do."""
        while (drawn := super().sample(rng)).infeasible is not None:
            pass
        return drawn

    def neighbours(self, architecture: ModelSpec) -> Iterator[ModelSpec]:
        """Yield feasible cells that differ in one edge or operation and in what they compute."""
        seen = {architecture.function_key}
        for neighbour in super().neighbours(architecture):
            if neighbour.infeasible is None and neighbour.function_key not in seen:
                seen.add(neighbour.function_key)
                yield neighbour

    def structure(self, architecture: ModelSpec) -> dict[str, float]:
        """Return what the live part of a cell holds: operations, degrees and paths.

        Equal for isomorphic cells; without a path all are 0.
        """
        live = architecture.pruned
        matrix, ops = (live.matrix, live.ops) if live else (((0,),), ())
        into, out = [*map(sum, zip(*matrix, strict=True))], [*map(sum, matrix)]
        counts = {
            **{f"live {op}": ops.count(op) for op in VERTEX_OPERATIONS},
            "vertices": len(ops),
            "edges": sum(out),
            "out of the input": out[0],
            "into the output": into[-1],
            "most into a vertex": max(into),
            "most out of a vertex": max(out),
            "input to output": matrix[0][-1],
        }
        paths = path_features([*_paths(matrix, ops)] if live else [], VERTEX_OPERATIONS)
        return {name: float(count) for name, count in counts.items()} | paths

    def __contains__(self, architecture: object) -> bool:
        return (
            isinstance(architecture, ModelSpec)
            and len(architecture.ops) <= self.vertices
            and set(architecture.ops[1:-1]) <= set(self.operations)
        )
