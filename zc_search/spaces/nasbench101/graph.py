"""Directed graphs with labelled vertices: pruning, the paper's hash, its choice among isomorphs.

Vertices are in topological order, so a graph is an upper-triangular matrix of zeros and ones; the
first vertex is the input and the last one the output (Ying et al. 2019, NAS-Bench-101, section 2).
"""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations, permutations

Matrix = tuple[tuple[int, ...], ...]
"""Entry [s][t] is 1 where an edge goes from vertex s to vertex t."""

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

    Each vertex starts with the MD5 of its degrees and label; as many times as there are vertices,
    it is hashed anew with the sorted hashes of those before it and of those behind it; the sorted
    hashes of all are hashed in the end. The authors checked that no two of their graphs that are
    not isomorphic share a hash.
    The graph is pruned, and labels are places in `VERTEX_OPERATIONS`.
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
