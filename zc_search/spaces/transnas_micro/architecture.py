"""The micro cells of TransNAS-Bench-101 (Duan et al. 2021, section 3.1): 4,096 of six edges.

Nodes and edges are those of NAS-Bench-201, and so are the operations, but that there is no pooling,
and that a skip where the cell halves its maps is a factorised reduction, with weights.
"""

import re
from dataclasses import dataclass
from typing import ClassVar, Literal, Self, get_args

from zc_search.errors import ArchitectureError
from zc_search.spaces.base import ProductArchitecture, ProductSpace, path_features
from zc_search.spaces.nasbench201.architecture import (
    OPERATIONS,
    PARAMETERS,
    live_edges,
    live_paths,
    operations_on_edges,
)

TaskName = Literal[
    "class_scene",
    "class_object",
    "room_layout",
    "jigsaw",
    "segmentsemantic",
    "normal",
    "autoencoder",
]
TASKS: tuple[TaskName, ...] = get_args(TaskName)
"""What the benchmark trained the cells for, in its names and order."""

_EXAMPLE = "64-41414-1_02_333"
_SWAPPED = (1, 0, 2, 3, 5, 4)  # the edges where nodes 1 and 2 change their names


@dataclass(frozen=True)
class MicroCell(ProductArchitecture):
    """One of the 4,096 cells: a frozen, hashable value."""

    ops: tuple[str, ...]
    """Six operation names, in the order of `zc_search.spaces.EDGES`."""

    space: ClassVar[str] = "transnas_micro"

    legend: ClassVar[str] = (
        "cell: edges into node 1|2|3 from nodes 0, 1, 2; 0 none, 1 skip, 2 conv 1x1, 3 conv 3x3"
    )
    written: ClassVar = re.compile(r"64-41414-(\d)_(\d)(\d)_(\d)(\d)(\d)", re.ASCII)
    everything: ClassVar = dict.fromkeys(PARAMETERS, OPERATIONS[:4])
    value: ClassVar[str] = "operation"

    @classmethod
    def from_string(cls, text: str) -> Self:
        """Read the benchmark's notation, such as ``64-41414-1_02_333``."""
        match = cls.written.fullmatch(text.strip()) if isinstance(text, str) else None
        if match is None:
            message = f"no micro cell of TransNAS-Bench-101: {text!r}; such as {_EXAMPLE}"
            raise ArchitectureError(message, given=text)
        return cls(tuple(OPERATIONS[int(c)] if c in "0123" else c for c in match.groups()))

    def to_string(self) -> str:
        """Write the benchmark's notation; the inverse of `from_string`."""
        return f"64-41414-{self.compact().replace('|', '_')}"

    def compact(self) -> str:
        """Write each operation as one digit."""
        codes = "".join(str(OPERATIONS.index(op)) for op in self.ops)
        return f"{codes[0]}|{codes[1:3]}|{codes[3:]}"

    @property
    def infeasible(self) -> str | None:
        """Why there is nothing to score; None where the input reaches the output."""
        return None if live_edges(self.ops) else "the input does not reach the output"

    def representative(self) -> "MicroCell":
        """Return the first, by `index`, of the cells without dead edges that compute the same."""
        live = live_edges(self.ops)
        ops = tuple(op if edge in live else OPERATIONS[0] for edge, op in enumerate(self.ops))
        # Between nodes 1 and 2 there is an order only if an edge leads from one to the other.
        names = (ops,) if ops[2] != OPERATIONS[0] else (ops, tuple(ops[e] for e in _SWAPPED))
        return min(map(MicroCell, names), key=lambda cell: cell.index)

    @property
    def function_key(self) -> str:
        """Equal for two cells that differ in dead edges and names of nodes alone."""
        return f"micro {self.representative().compact()}"


class MicroSpace(ProductSpace[MicroCell]):
    """The micro cells that a search may visit: for each edge, ``op_1_0`` to ``op_3_2``, some."""

    name, kind, example, parameter = "transnas_micro", MicroCell, _EXAMPLE, "edge"

    def structure(self, architecture: MicroCell) -> dict[str, float]:
        """Return the operations by their places, and what live edges and paths hold."""
        ops = architecture.ops
        paths = [[ops[edge] for edge in edges] for edges in live_paths(ops).values()]
        live = [ops[edge] for edge in live_edges(ops)]
        counts = {f"live {op}": float(live.count(op)) for op in OPERATIONS[1:4]}
        return super().structure(architecture) | counts | path_features(paths, OPERATIONS[1:4])

    def live_operations(self, architecture: MicroCell) -> dict[str, float]:
        """Return which operation lies on which live edge."""
        return operations_on_edges(architecture.ops, OPERATIONS[1:4])
