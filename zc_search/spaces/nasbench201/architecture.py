"""The NAS-Bench-201 cell: as a value, in every way that the field writes it; as a graph; its space.

A cell has four nodes; node ``t`` is the sum of one operation applied to each earlier node ``s``
(Dong and Yang 2020, NAS-Bench-201, section 2.1). At initialisation a convolution of an all-zero
node is zero, because batch normalisation starts with a shift of zero; a cell's function is
therefore that of its live part.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
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


class FunctionForm(NamedTuple):
    """What a cell computes, whatever its nodes are called."""

    key: str
    """The output as an expression of the input ``x``; empty if the output is always zero."""

    convolutions: tuple[str | None, ...]
    """What the convolution of each edge computes in `key`; None without one, or a part in it."""


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
    labelings: list[dict[int, int]] = [
        {edge: label for order in orders for label, edge in enumerate(order)}
        for orders in product(*map(permutations, twins))
    ]
    labels = min(labelings, key=lambda labels: _sum(output, labels))
    convolutions = (
        _expression(live[edge], labels) if edge in live else None for edge in range(len(ops))
    )
    return FunctionForm(_sum(output, labels), tuple(convolutions))


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


_CHOICES = dict.fromkeys(PARAMETERS, OPERATIONS)


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
    everything: ClassVar = _CHOICES
    value: ClassVar[str] = "operation"

    def __post_init__(self) -> None:
        object.__setattr__(self, "ops", self._checked(self.ops))

    @property
    def values(self) -> tuple[str, ...]:
        """Its operations."""
        return self.ops

    # Text -------------------------------------------------------------------------------------

    @classmethod
    def is_written(cls, text: str) -> bool:
        """Whether a text has the form of such a cell, whatever its operations are."""
        return text.strip().startswith("|")

    @classmethod
    def from_string(cls, text: str) -> Self:
        """Read the benchmark's notation, such as ``|nor_conv_3x3~0|+|none~0|...~1|+|...~2|``."""
        match = _STRING.fullmatch(text.strip()) if isinstance(text, str) else None
        if match is None:
            raise ArchitectureError(
                f"not an architecture string: {text!r}; such as {_EXAMPLE}", given=text
            )
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
        """Read six integers of one of `NOTATIONS`, in the order of the architecture string.

        NASLib's edges are by source instead: (1,2) (1,3) (1,4) (2,3) (2,4) (3,4).
        """
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
        """Equal for two cells exactly if they compute the same function at initialisation.

        Finer than `canonical`: it tells one convolution used twice from two convolutions.
        """
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
        """Return the first cell, by `index`, that is isomorphic to this one.

        Isomorphic by the benchmark's rule on strings with ``none`` and ``skip_connect`` resolved
        and dead edges removed; 4,930 of the 15,625 cells are their own canonical form.
        """
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


@dataclass(frozen=True)
class CellSpace(ProductSpace[Architecture]):
    """The cells that a search may visit."""

    choices: Mapping[str, tuple[str, ...]] = field(default_factory=_CHOICES.copy)
    """For each edge (`PARAMETERS`), the operations it may hold; all five by default."""

    name: ClassVar[str] = "nasbench201"
    kind = Architecture
    example = _EXAMPLE
    settings: ClassVar = {"channels": 16, "cells": 5, **_CHOICES}
    parameter = "edge"

    __hash__ = ProductSpace.__hash__

    def costs(
        self, architecture: Architecture, task: Any, **sizes: int | None
    ) -> Mapping[str, float]:
        """Return ``params`` and ``flops``: each edge adds what its operation costs."""
        known = {key: n for key, n in sizes.items() if n is not None}
        found: Mapping[str, float] = self._part("network").costs(architecture, task, **known)
        return found

    def structure(self, architecture: Architecture) -> Mapping[str, float]:
        """Return how a signal flows through a cell; see `structure.flow_features`."""
        table = self._part("structure").flow_features([architecture.to_string()])
        return {str(name): float(value) for name, value in table.iloc[0].items()}

    def draw(self, architecture: Architecture) -> str:
        """Return the cell as an SVG graph, dead edges faint."""
        return str(self._part("drawing").draw_cell(architecture))
