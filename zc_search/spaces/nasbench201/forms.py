"""When two NAS-Bench-201 cells are the same: three rules on strings and one on functions.

At initialisation a convolution of an all-zero node is zero, because batch normalisation starts
with a shift of zero; a cell's function is therefore that of its live part.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import permutations, product
from typing import NamedTuple

_SOURCES = ((0,), (0, 1), (0, 1, 2))  # of nodes 1, 2 and 3, in the order of the string


class FunctionForm(NamedTuple):
    """What a cell computes, whatever its nodes are called.

    Attributes:
        key: The output as an expression of the input ``x``; empty if the output is always zero.
        convolutions: For each of the six edges, the expression that its convolution computes in
            `key`, or None where the edge is no convolution or plays no part in the output.
    """

    key: str
    convolutions: tuple[str | None, ...]


def _by_node(ops: Sequence[str]) -> Iterator[list[tuple[int, int, str]]]:
    """Yield, for nodes 1 to 3, its (edge, source, operation) triples."""
    edge = 0
    for sources in _SOURCES:
        yield [(edge + i, source, ops[edge + i]) for i, source in enumerate(sources)]
        edge += len(sources)


def string_form(ops: Sequence[str], *, resolve_none: bool) -> str:
    """Return the benchmark's own string for isomorphic cells.

    Its notation matters: a skipped node's sum is sorted as one text, so the counts depend on it.

    Args:
        ops: Six operation names.
        resolve_none: Whether a ``none``, and any operation on a node written ``#``, becomes ``#``.
            Without it 12,751 of the 15,625 cells differ, with it 6,466 (Dong and Yang 2020,
            section 2.1, which counts the latter).
    """
    nodes = ["x"]
    for incoming in _by_node(ops):
        terms = []
        for _, source, op in incoming:
            if resolve_none and (op == "none" or nodes[source] == "#"):
                terms.append("#")
            elif op == "skip_connect":
                terms.append(nodes[source])
            else:
                terms.append(f"({nodes[source]})@{op}")
        nodes.append("+".join(sorted(terms)))
    return nodes[-1]


def pruned_form(ops: Sequence[str]) -> str:
    """Return `string_form` with zeros dropped from sums and the sum behind a skip spliced in.

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


class _Term(NamedTuple):
    """A summand of a node: the input, a convolution (of an edge), or a pooled summand."""

    op: str
    edge: int
    inputs: tuple["_Term", ...]


_INPUT = _Term("x", -1, ())


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


def _summands(ops: Sequence[str]) -> tuple[_Term, ...]:
    nodes: list[tuple[_Term, ...]] = [(_INPUT,)]
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
