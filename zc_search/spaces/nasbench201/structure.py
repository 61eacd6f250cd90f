"""How a signal flows through a NAS-Bench-201 cell, told from its string: no network, no torch.

Only what can reach the output counts: an operation on an edge that no path from input to output
uses is treated as absent, because it has no part in what the network computes.

At initialisation every convolution ends in a batch normalisation, so that each adds a fresh signal
of energy one, whatever its input; a skip hands signals on unchanged, and pooling damps them. From
that alone follows how much of the output is still the input, and how many convolutions and
poolings the rest has passed, which a count of operations cannot say.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from zc_search.spaces.nasbench201.architecture import EDGES, Architecture, live_edges, live_paths

POOLING_AMPLITUDE = 0.8
"""What average pooling leaves of a signal's amplitude; a constant keeps 1, white noise 1/3."""

CELLS = 5
"""Cells in a stage of the benchmark's network."""

_INPUT = -1  # a source beside the convolutions, which are known by their edge
_POINTWISE, _KERNEL = _CONVOLUTIONS = ("nor_conv_1x1", "nor_conv_3x3")

Node = Counter[tuple[int, int]]
"""A node as a sum: over how many paths each source reaches it, by the poolings passed since."""


class Signal(NamedTuple):
    """A signal and what it has passed; a mixture holds means, weighted by energy."""

    energy: float = 1.0  # mean square
    depth: float = 0.0  # convolutions passed
    kernels: float = 0.0  # 3x3 convolutions passed
    pools: float = 0.0  # poolings passed


def features(cell: Architecture) -> dict[str, float]:
    """Describe a cell by what its output is made of, in numbers by name, see `FLOW_FEATURES`.

    Signals of two convolutions are taken as uncorrelated: their energies add; copies of one signal
    that meet add their amplitudes. All are zero for a cell without a live path.

    - ``flow depth``, ``flow 3x3 depth``, ``flow deepest``: convolutions that the output has passed
      and 3x3 convolutions among them, weighted by energy; the former for its deepest summand.
    - ``flow input share``, ``flow 3x3 share``: shares of the output's energy that are the input
      itself, and that left a 3x3 convolution last.
    - ``flow early pools``: poolings before the last convolution, weighted by energy.
    - ``stage log energy``, ``stage 3x3 depth``, ``stage pools``, ``stage input share``: of the
      output of five such cells in a row, the input share that of the fifth.
    - ``skip paths``, ``paths without convolution``, ``paths of one 1x1``, ``paths of one 3x3``:
      live paths that hold skips alone; no convolution; that one beside skips.
    - ``fewest convolutions``, ``fewest pools``, ``most 3x3``: on a live path.
    - ``live 1x1``, ``live 3x3``: convolutions on live paths.
    """
    found = _flow(cell.ops) if cell.reaches_output else dict.fromkeys(FLOW_FEATURES, 0.0)
    return {name: float(value) for name, value in found.items()}


def spread(ops: Sequence[str], incoming: Signal) -> tuple[Node, dict[int, Signal]]:
    """Follow a signal through a cell.

    Returns the output as a sum of sources, empty if nothing reaches it, and every source's signal:
    that of a convolution by its edge, the input's as -1.
    """
    sources = {_INPUT: incoming}
    nodes = [Node({(_INPUT, 0): 1}), Node(), Node(), Node()]
    for edge, ((target, start), op) in enumerate(zip(EDGES, ops, strict=True)):
        if op == "none" or not nodes[start]:
            continue
        if op in _CONVOLUTIONS:
            entering, _ = mix(nodes[start], sources)
            depth, kernels = entering.depth + 1, entering.kernels + (op == _KERNEL)
            sources[edge] = Signal(1.0, depth, kernels, entering.pools)
            nodes[target][edge, 0] += 1
        else:
            pooled = op == "avg_pool_3x3"
            for (source, pools), paths in nodes[start].items():
                nodes[target][source, pools + pooled] += paths
    return nodes[-1], sources


def mix(node: Node, sources: Mapping[int, Signal]) -> tuple[Signal, dict[int, float]]:
    """Return the sum of a node that something reaches, and each source's share of its energy."""
    amplitudes: defaultdict[int, float] = defaultdict(float)
    pooled: defaultdict[int, float] = defaultdict(float)
    for (source, pools), paths in node.items():
        amplitude = paths * POOLING_AMPLITUDE**pools
        amplitudes[source] += amplitude
        pooled[source] += amplitude * pools
    energies = {source: amplitudes[source] ** 2 * sources[source].energy for source in amplitudes}
    energy = sum(energies.values())
    shares = {source: part / energy for source, part in energies.items()}
    depth = sum(share * sources[source].depth for source, share in shares.items())
    kernels = sum(share * sources[source].kernels for source, share in shares.items())
    pooling = sum(
        share * (sources[source].pools + pooled[source] / amplitudes[source])
        for source, share in shares.items()
    )
    return Signal(energy, depth, kernels, pooling), shares


def _flow(ops: tuple[str, ...]) -> dict[str, float]:
    node, sources = spread(ops, Signal())
    output, shares = mix(node, sources)
    early = {source: share for source, share in shares.items() if source != _INPUT}
    stage, stage_shares = output, shares
    for _ in range(CELLS - 1):
        stage, stage_shares = mix(*spread(ops, stage))
    edges = live_paths(ops).values()
    paths = [[ops[edge] for edge in held if ops[edge] != "skip_connect"] for held in edges]
    convolutions = [sum(op in _CONVOLUTIONS for op in path) for path in paths]
    live = [ops[edge] for edge in live_edges(ops)]
    return {
        "flow depth": output.depth,
        "flow 3x3 depth": output.kernels,
        "flow deepest": max(sources[source].depth for source in shares),
        "flow input share": shares.get(_INPUT, 0.0),
        "flow 3x3 share": sum(s for edge, s in early.items() if ops[edge] == _KERNEL),
        "flow early pools": sum(share * sources[edge].pools for edge, share in early.items()),
        "stage log energy": float(np.log(stage.energy)),
        "stage 3x3 depth": stage.kernels,
        "stage pools": stage.pools,
        "stage input share": stage_shares.get(_INPUT, 0.0),
        "skip paths": paths.count([]),
        "paths without convolution": convolutions.count(0),
        "paths of one 1x1": paths.count([_POINTWISE]),
        "paths of one 3x3": paths.count([_KERNEL]),
        "fewest convolutions": min(convolutions),
        "fewest pools": min(path.count("avg_pool_3x3") for path in paths),
        "most 3x3": max(path.count(_KERNEL) for path in paths),
        "live 1x1": live.count(_POINTWISE),
        "live 3x3": live.count(_KERNEL),
    }


FLOW_FEATURES = tuple(_flow(("skip_connect",) * len(EDGES)))
"""The names of `features`, in order.

Chosen among 57 such quantities for how well models of them rank half of the space's functions by
their accuracy on CIFAR-10; the other half and the other data sets had no say.
"""
