"""The NAS-Bench-201 cell: as a value, in every notation of the field; as a graph; drawn; its space.

A cell has four nodes; node ``t`` is the sum of one operation applied to each earlier node ``s``
(Dong and Yang 2020, NAS-Bench-201, section 2.1). At initialisation a convolution of an all-zero
node is zero, because batch normalisation starts with a shift of zero; a cell's function is
therefore that of its live part.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from html import escape
from itertools import permutations, product, takewhile
from numbers import Integral
from operator import itemgetter
from typing import Any, ClassVar, Literal, NamedTuple, Self, get_args

from zc_search.errors import ArchitectureError
from zc_search.spaces.base import ProductArchitecture, ProductSpace

Operation = Literal["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"]

OPERATIONS: tuple[Operation, ...] = get_args(Operation)
"""The operations in the benchmark's order, which is also that of `Architecture.index`."""

EDGES = ((1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2))
"""(target, source) of each operation, in the order of the architecture string."""

PARAMETERS = tuple(f"op_{target}_{source}" for target, source in EDGES)
"""The names of the edges in a configuration and in an Optuna trial."""

PATHS = {"0-3": (3,), "0-1-3": (0, 4), "0-2-3": (1, 5), "0-1-2-3": (0, 2, 5)}
"""The edges of each path from input to output, by the nodes it visits."""


def live_paths(ops: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Return the paths that hold no ``none``: over these the input reaches the output."""
    return {name: edges for name, edges in PATHS.items() if all(ops[e] != "none" for e in edges)}


def live_edges(ops: Sequence[str], *, trained: bool = False) -> tuple[int, ...]:
    """Return the edges that have a part in the output: those on live paths, ascending.

    Once a network is ``trained``, an edge on an all-zero node has a part too, as its batch
    normalisation may shift the zero: then all count that reach the output themselves.
    """
    live: set[int] = set()
    for edges in PATHS.values():
        reaching = list(takewhile(lambda edge: ops[edge] != "none", reversed(edges)))
        if trained or len(reaching) == len(edges):
            live.update(reaching)
    return tuple(sorted(live))


def operations_on_edges(ops: Sequence[str], allowed: Sequence[str]) -> dict[str, float]:
    """Return for each edge and each of the allowed operations whether it is live and has it."""
    live = live_edges(ops)
    return {
        f"{op} on {target}<-{source}": float(edge in live and ops[edge] == op)
        for edge, (target, source) in enumerate(EDGES)
        for op in allowed
    }


class FunctionForm(NamedTuple):
    """What a cell computes, whatever its nodes are called."""

    key: str  # the output as an expression of the input ``x``; empty if it is always zero
    convolutions: tuple[str | None, ...]  # of each edge, what it computes if it has a part in `key`


class _Term(NamedTuple):
    """A summand of a node: the input, a convolution (of an edge), or a pooled summand."""

    op: str
    edge: int
    inputs: tuple["_Term", ...]


def pruned_form(ops: Sequence[str]) -> str:
    """Return the benchmark's string for isomorphic cells, zeros dropped and skips spliced in.

    4,930 of the 15,625 cells differ. The empty string is the cell whose output is always zero.
    """
    return _sum(_summands(ops, distribute=False), {})


def function_form(ops: Sequence[str]) -> FunctionForm:
    """Return what a cell computes, as an expression that names shared convolutions.

    Two differences from `pruned_form`, which looks at expressions as trees: a convolution whose
    result is used twice is told from two convolutions of the same kind (``c + c`` from
    ``c#0 + c#1``), and average pooling, being linear, is distributed over sums.
    """
    output = _summands(ops, distribute=True)
    live: dict[int, _Term] = {}
    for term in output:
        _collect(term, live)
    # Convolutions that look alike as trees are told apart by a label; of all ways to hand out
    # the labels, the one with the least expression is canonical.
    alike: dict[str, list[int]] = defaultdict(list)
    for edge, term in live.items():
        alike[_expression(term, {})].append(edge)
    twins = [edges for edges in alike.values() if len(edges) > 1]
    labelings = (
        {edge: label for order in orders for label, edge in enumerate(order)}
        for orders in product(*map(permutations, twins))
    )
    labels = min(labelings, key=lambda labels: _sum(output, labels))
    edges = (live.get(edge) for edge in range(len(ops)))
    convolutions = tuple(term and _expression(term, labels) for term in edges)
    return FunctionForm(_sum(output, labels), convolutions)


def _summands(ops: Sequence[str], *, distribute: bool) -> tuple[_Term, ...]:
    nodes: list[list[_Term]] = [[_Term("x", -1, ())], [], [], []]
    for edge, ((target, source), op) in enumerate(zip(EDGES, ops, strict=True)):
        if op == "skip_connect":
            nodes[target] += nodes[source]
        elif op == "avg_pool_3x3" and distribute:
            nodes[target] += [_Term(op, -1, (term,)) for term in nodes[source]]
        elif op != "none" and nodes[source]:
            nodes[target].append(_Term(op, edge, tuple(nodes[source])))
    return tuple(nodes[-1])


def _collect(term: _Term, live: dict[int, _Term]) -> None:
    if term.edge >= 0:
        live[term.edge] = term
    for summand in term.inputs:
        _collect(summand, live)


def _expression(term: _Term, labels: Mapping[int, int]) -> str:
    if not term.inputs:
        return term.op
    label = f"#{labels[term.edge]}" if term.edge in labels else ""
    return f"{term.op}{label}({_sum(term.inputs, labels)})"


def _sum(terms: Sequence[_Term], labels: Mapping[int, int]) -> str:
    return "+".join(sorted(_expression(term, labels) for term in terms))


_NONE, _SKIP, _CONV1, _CONV3, _POOL = OPERATIONS

NOTATIONS: Mapping[str, tuple[str, ...]] = {
    "benchmark": OPERATIONS,
    "mase": (_NONE, _SKIP, _CONV3, _CONV1, _POOL),
    "naslib": (_SKIP, _NONE, _CONV3, _CONV1, _POOL),
}
"""What the integers 0 to 4 mean to whom; note the order of the convolutions."""

_STRING = re.compile(
    r"\|([^|~]+)~0\|\+\|([^|~]+)~0\|([^|~]+)~1\|\+\|([^|~]+)~0\|([^|~]+)~1\|([^|~]+)~2\|"
)
_EXAMPLE = "|nor_conv_3x3~0|+|nor_conv_3x3~0|skip_connect~1|+|none~0|avg_pool_3x3~1|nor_conv_1x1~2|"


@dataclass(frozen=True)
class Architecture(ProductArchitecture):
    """One of the 15,625 cells: a frozen, hashable value.

    Its `index` is not the benchmark's own numbering, which `Benchmark.index` knows.
    """

    ops: tuple[str, ...]
    """Six operation names, in the order of the architecture string (`EDGES`)."""

    space: ClassVar[str] = "nasbench201"

    legend: ClassVar[str] = (
        "cell: edges into node 1|2|3 from nodes 0, 1, 2; 3 nor_conv_3x3, 1 nor_conv_1x1, "
        "p avg_pool_3x3, s skip_connect, - none"
    )
    written: ClassVar = re.compile(r"\|.*", re.DOTALL)
    everything: ClassVar = dict.fromkeys(PARAMETERS, OPERATIONS)
    value: ClassVar[str] = "operation"

    # Text -------------------------------------------------------------------------------------

    @classmethod
    def from_string(cls, text: str) -> Self:
        """Read the benchmark's notation, such as ``|nor_conv_3x3~0|+|none~0|...~1|+|...~2|``."""
        match = _STRING.fullmatch(text.strip()) if isinstance(text, str) else None
        if match is None:
            message = f"not an architecture string: {text!r}; such as {_EXAMPLE}"
            raise ArchitectureError(message, given=text)
        return cls(match.groups())

    def to_string(self) -> str:
        """Write the benchmark's notation; the inverse of `from_string`."""
        a, b, c, d, e, f = self.ops
        return f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|"

    def compact(self) -> str:
        """Write each operation as one character: nine in all."""
        codes = "".join("-s13p"[OPERATIONS.index(operation)] for operation in self.values)
        return f"{codes[:1]}|{codes[1:3]}|{codes[3:]}"

    @classmethod
    def from_codes(cls, codes: Sequence[int], notation: str = "benchmark") -> Self:
        """Read six integers of one of `NOTATIONS`; edges as in the string, NASLib's by source."""
        codes, operations = tuple(codes), NOTATIONS[notation]
        whole = all(isinstance(code, Integral) and not isinstance(code, bool) for code in codes)
        if len(codes) != len(EDGES) or not whole or not set(codes) <= set(range(len(operations))):
            meaning = ", ".join(f"{code} {name}" for code, name in enumerate(operations))
            message = f"{notation} codes are six integers ({meaning}), got {codes!r}"
            raise ArchitectureError(message, given=codes)
        order = sorted(EDGES, key=itemgetter(1)) if notation == "naslib" else EDGES
        named = dict(zip(order, (operations[code] for code in codes), strict=True))
        return cls(tuple(named[edge] for edge in EDGES))

    # What the cell computes -------------------------------------------------------------------

    @cached_property
    def form(self) -> FunctionForm:
        """What the cell computes at initialisation, and which convolution plays which part."""
        return function_form(self.ops)

    @property
    def function_key(self) -> str:
        """Equal for two cells exactly if they compute the same function at initialisation."""
        return self.form.key

    @property
    def reaches_output(self) -> bool:
        """Whether the cell's input influences its output at all."""
        return bool(live_edges(self.ops))

    @property
    def infeasible(self) -> str | None:
        """Why there is nothing to score; None where the input reaches the output."""
        return None if self.reaches_output else "the input does not reach the output"

    def canonical(self) -> "Architecture":
        """Return the first cell, by `index`, of the same `pruned_form`."""
        return _first(pruned_form)[pruned_form(self.ops)]

    def representative(self) -> "Architecture":
        """Return the first cell, by `index`, with this cell's `function_key`; there are 5,044.

        It has no dead edge, so it is the cheapest network to score on behalf of all of them.
        """
        return _first(_function_key)[self.function_key]


def all_architectures() -> Iterator[Architecture]:
    """Yield all 15,625 cells in the order of `Architecture.index`."""
    return map(Architecture, product(OPERATIONS, repeat=len(EDGES)))


def _function_key(ops: Sequence[str]) -> str:
    return function_form(ops).key


@cache
def _first(form: Callable[[Sequence[str]], str]) -> dict[str, Architecture]:
    # The first of several goes last into the dictionary.
    return {form(cell.ops): cell for cell in reversed([*all_architectures()])}


# Drawing ------------------------------------------------------------------------------------------

NAMES = {
    "none": "none",
    "skip_connect": "skip",
    "nor_conv_1x1": "conv 1\N{MULTIPLICATION SIGN}1",
    "nor_conv_3x3": "conv 3\N{MULTIPLICATION SIGN}3",
    "avg_pool_3x3": "pool 3\N{MULTIPLICATION SIGN}3",
}
"""What an edge is labelled with."""

# In the order of EDGES: the curve, the triangle at its end, and the middle, where the label sits.
_ARCS = (
    ("M45,128C70,128 110,128 152,128", "156,128 144,134 144,122", 92.125, 128),
    ("M35,110C70,30 270,30 318,104", "320.2,107.4 308.6,100.6 318.7,94.02", 171.625, 49.25),
    ("M197,128C230,128 270,128 304,128", "308,128 296,134 296,122", 250.125, 128),
    ("M27,108C40,-34 468,-34 481,101", "481.4,105 474.3,93.61 486.2,92.46", 254, 0.625),
    ("M190,144C236,222 430,222 469,152", "470.9,148.5 470.3,161.9 459.9,156.1", 332.125, 203.5),
    ("M349,128C380,128 420,128 456,128", "460,128 448,134 448,122", 400.625, 128),
)
_NODES = {"in": 26, "1": 178, "2": 330, "out": 482}
"""How far to the right each is."""

_STYLE = """
.zc-cell{font:600 14px Inter,system-ui,-apple-system,"Segoe UI",Roboto,"Liberation Sans",sans-serif}
.zc-cell .node text{font-size:12px}
.zc-cell .node circle{fill:var(--cell-ink,#1c2128)}
.zc-cell .node text{fill:var(--cell-paper,#fff);text-anchor:middle;dominant-baseline:central}
.zc-cell .edge path{fill:none;stroke:var(--op);stroke-width:3}
.zc-cell .edge polygon{fill:var(--op)}
.zc-cell .edge rect{fill:var(--cell-paper,#fff);stroke:var(--op);stroke-width:1.5}
.zc-cell .edge text{fill:var(--cell-ink,#1c2128);text-anchor:middle;dominant-baseline:central}
.zc-cell [data-op=none]{--op:#8a929c}
.zc-cell [data-op=skip_connect]{--op:#009E73}
.zc-cell [data-op=nor_conv_1x1]{--op:#56B4E9}
.zc-cell [data-op=nor_conv_3x3]{--op:#0072B2}
.zc-cell [data-op=avg_pool_3x3]{--op:#E69F00}
.zc-cell [data-dead] path{stroke-dasharray:4 5;stroke-width:1.5;opacity:.45}
.zc-cell [data-dead] polygon{opacity:.45}
.zc-cell [data-dead] rect{stroke-dasharray:3 3;stroke-opacity:.5}
.zc-cell [data-dead] text{opacity:.55;font-weight:400}
.zc-cell [data-op=none] polygon{display:none}
""".strip()


class CellDrawing(str):
    """An SVG drawing, which a notebook shows."""

    __slots__ = ()

    def _repr_svg_(self) -> str:
        return str(self)


def dead_edges(architecture: Architecture) -> tuple[bool, ...]:
    """Return which edges carry nothing from the input to the output, in the string's order."""
    live = live_edges(architecture.ops)
    return tuple(edge not in live for edge in range(len(EDGES)))


def describe_cell(architecture: Architecture | str) -> str:
    """Say in words what `draw_cell` draws."""
    cell = Architecture.from_string(str(architecture))
    edges = [
        f"node {source} to node {target} {NAMES[operation]}"
        + (", no effect" if dead and operation != "none" else "")
        for (target, source), operation, dead in zip(EDGES, cell.ops, dead_edges(cell), strict=True)
    ]
    return f"Cell from node 0, its input, to node 3, its output: {'; '.join(edges)}."


def draw_cell(architecture: Architecture | str) -> CellDrawing:
    """Draw a NAS-Bench-201 cell as SVG, with a description for screen readers.

    Edges are named by operation; those without influence on the output are faint: ``none``, and
    what hangs on a node that the input does not reach or that does not reach the output. On a
    page, the variables ``--cell-ink`` and ``--cell-paper`` set its colours.
    """
    cell = Architecture.from_string(str(architecture))
    parts, dead = [], dead_edges(cell)
    for (target, source), operation, arc, faint in zip(EDGES, cell.ops, _ARCS, dead, strict=True):
        name, (path, head, x, y) = NAMES[operation], arc
        mark = ' data-dead=""' if faint else ""
        width = 20 + 8.4 * len(name)
        parts.append(
            f'<g class="edge" data-op="{operation}"{mark}>'
            f"<title>{source} to {target}: {operation}</title>"
            f'<path d="{path}"/><polygon points="{head}"/>'
            f'<rect x="{x - width / 2:.1f}" y="{y - 13:.1f}" width="{width:.1f}" height="26" '
            f'rx="13"/><text x="{x:.1f}" y="{y:.1f}">{name}</text></g>'
        )
    parts += [
        f'<g class="node"><circle cx="{x}" cy="128" r="19"/><text x="{x}" y="128">{name}</text></g>'
        for name, x in _NODES.items()
    ]
    return CellDrawing(
        '<svg xmlns="http://www.w3.org/2000/svg" class="zc-cell" viewBox="0 -14 508 232" '
        f'role="img" aria-label="{escape(describe_cell(cell))}"><style>{_STYLE}</style>'
        f"{''.join(parts)}</svg>"
    )


def drawing_or_none(architecture: str) -> CellDrawing | None:
    """Return `draw_cell` of a text, or None where it is of a space whose cells are not drawn."""
    try:
        return draw_cell(architecture)
    except ArchitectureError:
        return None


class CellSpace(ProductSpace[Architecture]):
    """The cells that a search may visit: for each edge (`PARAMETERS`) some operations."""

    name, kind, example, parameter = "nasbench201", Architecture, _EXAMPLE, "edge"
    settings: ClassVar = {"channels": 16, "cells": 5, **Architecture.everything}

    def costs(
        self, architecture: Architecture, task: Any, **sizes: int | None
    ) -> Mapping[str, float]:
        """Return ``params`` and ``flops``: each edge adds what its operation costs."""
        found: Mapping[str, float] = self._part("network").costs(architecture, task, **sizes)
        return found

    def structure(self, architecture: Architecture) -> dict[str, float]:
        """Return how a signal flows through a cell; see `structure.features`."""
        found: dict[str, float] = self._part("structure").features(architecture)
        return found

    def live_operations(self, architecture: Architecture) -> dict[str, float]:
        """Return which operation lies on which live edge."""
        return operations_on_edges(architecture.ops, OPERATIONS[1:])

    def draw(self, architecture: Architecture) -> str:
        """Return the cell as an SVG graph, dead edges faint."""
        return str(draw_cell(architecture))
