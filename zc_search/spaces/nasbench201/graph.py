"""The NAS-Bench-201 cell as a graph: its edges, which are live, when two cells are the same.

A cell has four nodes; node ``t`` is the sum of one operation applied to each earlier node ``s``
(Dong and Yang 2020, NAS-Bench-201, section 2.1). At initialisation a convolution of an all-zero
node is zero, because batch normalisation starts with a shift of zero; a cell's function is
therefore that of its live part.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import permutations, product, takewhile
from typing import Literal, NamedTuple, get_args

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
