"""The NAS-Bench-101 cell as a value: a small graph whose inner vertices are operations."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from typing import Any, ClassVar, Self

from zc_search.errors import ArchitectureError, unknown_name
from zc_search.spaces.nasbench101.graph import (
    Matrix,
    edge_bits,
    first_isomorph,
    graph_hash,
    is_upper_triangular,
    live_vertices,
    submatrix,
)
from zc_search.spaces.vocabulary import VERTEX_OPERATIONS

INPUT, OUTPUT = "input", "output"
MAX_VERTICES = 7
MAX_EDGES = 9

_STRING = re.compile(r"([01]+(?:\.[01]+)*):([^:{}]*)")
EXAMPLE = "11.1:conv3x3-bn-relu"
_SPELLINGS = ("matrix", "ops"), ("module_adjacency", "module_operations")


@dataclass(frozen=True)
class ModelSpec:
    """A cell of NAS-Bench-101 (Ying et al. 2019): a frozen, hashable value.

    It may be infeasible: without a path from input to output, or with too many edges.

    Attributes:
        matrix: Entry [s][t] is 1 where vertex s feeds vertex t; upper triangular, 2 to 7 vertices.
        ops: ``input``, an operation for each inner vertex (`VERTEX_OPERATIONS`), ``output``.

    Raises:
        ArchitectureError: Another matrix, or operations that do not fit it or are unknown.
    """

    matrix: Matrix
    ops: tuple[str, ...]

    space: ClassVar[str] = "nasbench101"

    def __post_init__(self) -> None:
        matrix = _checked_matrix(self.matrix)
        ops = tuple(self.ops) if _is_row(self.ops) else ()
        if len(ops) != len(matrix):
            raise ArchitectureError(
                f"ops: {self.ops!r} is given; Allowed: {len(matrix)} names, as many as the matrix "
                "has rows"
            )
        for vertex, end in ((0, INPUT), (-1, OUTPUT)):
            if ops[vertex] != end:
                raise ArchitectureError(f"ops[{vertex}]: {ops[vertex]!r} is given; Allowed: {end}")
        for vertex, operation in enumerate(ops[1:-1], start=1):
            if operation not in VERTEX_OPERATIONS:
                what = unknown_name("operation", operation, VERTEX_OPERATIONS)
                raise ArchitectureError(f"ops[{vertex}]: {what}")
        object.__setattr__(self, "matrix", matrix)
        object.__setattr__(self, "ops", ops)

    # Text -------------------------------------------------------------------------------------

    @classmethod
    def is_written(cls, text: str) -> bool:
        """Whether a text has the form of a spec, whatever it says."""
        text = text.strip()
        return text.startswith("{") or _STRING.fullmatch(text) is not None

    @classmethod
    def from_string(cls, text: str) -> Self:
        """Read ``<rows>:<operations>``, or JSON with the keys ``matrix`` and ``ops``.

        The rows are those of the matrix right of its diagonal, with dots between them, the
        operations those of the inner vertices, with commas: ``110.01.1:maxpool3x3,...``.

        Raises:
            ArchitectureError: Another form, or one that is no cell.
        """
        match = _STRING.fullmatch(text.strip()) if isinstance(text, str) else None
        if match is None:
            return cls._from_json(text)
        rows = match[1].split(".")
        size = len(rows) + 1
        if [len(row) for row in rows] != list(range(size - 1, 0, -1)):
            raise ArchitectureError(
                f"{text!r}: the rows of a cell of {size} vertices have {size - 1} digits, then one "
                f"less each; such as {EXAMPLE}"
            )
        matrix = tuple((0,) * (size - len(row)) + tuple(map(int, row)) for row in (*rows, ""))
        inner = [name.strip() for name in match[2].split(",")] if match[2].strip() else []
        return cls(matrix, (INPUT, *inner, OUTPUT))

    @classmethod
    def _from_json(cls, text: object) -> Self:
        try:
            spec = json.loads(text) if isinstance(text, str) else None
        except (ValueError, RecursionError):
            spec = None
        for matrix, ops in _SPELLINGS:
            if isinstance(spec, dict) and {matrix, ops} <= spec.keys():
                return cls(spec[matrix], spec[ops])
        raise ArchitectureError(
            f"not a cell of NAS-Bench-101: {text!r}; such as {EXAMPLE}, or "
            '{"matrix": [[0, 1], [0, 0]], "ops": ["input", "output"]}'
        )

    def to_string(self) -> str:
        """Write rows and operations; the inverse of `from_string`."""
        rows = ["".join(map(str, row[s + 1 :])) for s, row in enumerate(self.matrix[:-1])]
        return f"{'.'.join(rows)}:{','.join(self.ops[1:-1])}"

    def __str__(self) -> str:
        return self.to_string()

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


def _checked_matrix(given: Any) -> Matrix:
    rows = [list(row) if _is_row(row) else [] for row in given] if _is_row(given) else []
    if not 2 <= len(rows) <= MAX_VERTICES or any(len(row) != len(rows) for row in rows):
        raise ArchitectureError(
            f"matrix: {_shown(given)} is given; Allowed: a square matrix of 2 to {MAX_VERTICES} "
            "rows"
        )
    if any(not isinstance(e, Real) or e not in (0, 1) for row in rows for e in row):
        raise ArchitectureError(f"matrix: {_shown(given)} is given; Allowed: zeros and ones")
    matrix = tuple(tuple(int(entry) for entry in row) for row in rows)
    if not is_upper_triangular(matrix):
        raise ArchitectureError(
            f"matrix: {_shown(given)} is given; Allowed: ones right of the diagonal only, so that "
            "every edge goes to a later vertex"
        )
    return matrix


def _is_row(value: Any) -> bool:
    return not isinstance(value, str | bytes) and (
        isinstance(value, Sequence) or hasattr(value, "__array__")
    )


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
