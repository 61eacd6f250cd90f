"""The NAS-Bench-201 cell as a graph: its edges, which are live, when two cells are the same.

A cell has four nodes; node ``t`` is the sum of one operation applied to each earlier node ``s``
(Dong and Yang 2020, NAS-Bench-201, section 2.1). At initialisation a convolution of an all-zero
node is zero, because batch normalisation starts with a shift of zero; a cell's function is
therefore that of its live part.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
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
    """What a cell computes, whatever its nodes are called.

    Attributes:
        key: The output as an expression of the input ``x``; empty if the output is always zero.
        convolutions: For each of the six edges, the expression that its convolution computes in
            `key`, or None where the edge is no convolution or plays no part in the output.
    """

    key: str
    convolutions: tuple[str | None, ...]


def pruned_form(ops: Sequence[str]) -> str:
    """Return the benchmark's string for isomorphic cells, zeros dropped and skips spliced in.

    4,930 of the 15,625 cells differ. The empty string is the cell whose output is always zero.
    """
    nodes: list[tuple[str, ...]] = [("x",)]
    for incoming in _by_node(ops):
        terms: list[str] = []
        for _, source, op in incoming:
            if op == "none" or not nodes[source]:
                continue
            if op == "skip_connect":
                terms += nodes[source]
            else:
                terms.append(f"{op}({'+'.join(nodes[source])})")
        nodes.append(tuple(sorted(terms)))
    return "+".join(nodes[-1])


def function_form(ops: Sequence[str]) -> FunctionForm:
    """Return what a cell computes, as an expression that names shared convolutions.

    Two differences from `pruned_form`, which looks at expressions as trees: a convolution whose
    result is used twice is told from two convolutions of the same kind (``c + c`` from
    ``c#0 + c#1``), and average pooling, being linear, is distributed over sums.
    """
    output = _summands(ops)
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
        {
            edge: label
            for edges, order in zip(twins, orders, strict=True)
            for label, edge in enumerate(order)
        }
        for orders in product(*(permutations(edges) for edges in twins))
    ]
    key, labels = min(
        ((_sum(output, labels), labels) for labels in labelings), key=lambda pair: pair[0]
    )
    return FunctionForm(
        key,
        tuple(
            _expression(live[edge], labels) if edge in live else None for edge in range(len(ops))
        ),
    )


class _Term(NamedTuple):
    """A summand of a node: the input, a convolution (of an edge), or a pooled summand."""

    op: str
    edge: int
    inputs: tuple["_Term", ...]


def _by_node(ops: Sequence[str]) -> Iterator[list[tuple[int, int, str]]]:
    """Yield, for nodes 1 to 3, its (edge, source, operation) triples."""
    for node in (1, 2, 3):
        yield [
            (edge, source, ops[edge])
            for edge, (target, source) in enumerate(EDGES)
            if target == node
        ]


def _summands(ops: Sequence[str]) -> tuple[_Term, ...]:
    nodes: list[tuple[_Term, ...]] = [(_Term("x", -1, ()),)]
    for incoming in _by_node(ops):
        terms: list[_Term] = []
        for edge, source, op in incoming:
            if op == "none" or not nodes[source]:
                continue
            if op == "skip_connect":
                terms += nodes[source]
            elif op == "avg_pool_3x3":
                terms += [_Term(op, -1, (term,)) for term in nodes[source]]
            else:
                terms.append(_Term(op, edge, nodes[source]))
        nodes.append(tuple(terms))
    return nodes[-1]


def _collect(term: _Term, live: dict[int, _Term]) -> None:
    if term.edge >= 0:
        live[term.edge] = term
    for summand in term.inputs:
        _collect(summand, live)


def _expression(term: _Term, labels: dict[int, int]) -> str:
    if not term.inputs:
        return term.op
    label = f"#{labels[term.edge]}" if term.edge in labels else ""
    return f"{term.op}{label}({_sum(term.inputs, labels)})"


def _sum(terms: tuple[_Term, ...], labels: dict[int, int]) -> str:
    return "+".join(sorted(_expression(term, labels) for term in terms))
