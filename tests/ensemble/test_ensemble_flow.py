"""Features of the flow: signals followed by hand and by vectors, and what isomorphs share."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from ensemble_tables import flow_features
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from zc_search.ensemble.validation import aggregate
from zc_search.errors import EnsembleError
from zc_search.spaces import EDGES, OPERATIONS, Architecture, all_architectures
from zc_search.spaces.nasbench201.structure import (
    POOLING_AMPLITUDE,
    Signal,
    mix,
    spread,
)

OPS = st.lists(st.sampled_from(OPERATIONS), min_size=6, max_size=6)
SHORT = {
    "n": "none",
    "s": "skip_connect",
    "1": "nor_conv_1x1",
    "3": "nor_conv_3x3",
    "p": "avg_pool_3x3",
}


def of(ops: str) -> pd.Series:
    return flow_features([Architecture(tuple(SHORT[op] for op in ops)).to_string()]).iloc[0]


def orthogonal_signals(ops: Sequence[str]) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """Send vectors through a cell: each convolution emits an axis of its own, the input is axis 6.

    Returns the output, and what enters each convolution that anything reaches.
    """
    nodes = [np.eye(7)[6], *np.zeros((3, 7))]
    entering = {}
    for edge, ((target, source), op) in enumerate(zip(EDGES, ops, strict=True)):
        if op.startswith("nor_conv"):
            if nodes[source].any():
                entering[edge] = nodes[source]
                nodes[target] = nodes[target] + np.eye(7)[edge]
        elif op == "skip_connect":
            nodes[target] = nodes[target] + nodes[source]
        elif op == "avg_pool_3x3":
            nodes[target] = nodes[target] + POOLING_AMPLITUDE * nodes[source]
    return nodes[3], entering


def mean_depth(vector: np.ndarray, entering: dict[int, np.ndarray], kernel: str, ops: list[str]):
    """Weigh by energy what the sources of a vector have passed, source by source, recursively."""
    shares = vector**2 / (vector @ vector)
    return sum(
        share * (ops[edge].startswith(kernel) + mean_depth(entering[edge], entering, kernel, ops))
        for edge, share in enumerate(shares)
        if share and edge != 6
    )


@settings(deadline=None)
@given(OPS)
def test_shares_and_depths_are_those_of_orthogonal_vectors(ops: list[str]) -> None:
    output, entering = orthogonal_signals(ops)
    cell = flow_features([Architecture(tuple(ops)).to_string()]).iloc[0]
    assert Architecture(tuple(ops)).reaches_output == output.any()
    if not output.any():
        assert (cell == 0).all()
        return
    energy = output @ output
    assert cell["flow input share"] == pytest.approx(output[6] ** 2 / energy)
    three = [edge for edge, op in enumerate(ops) if op == "nor_conv_3x3"]
    assert cell["flow 3x3 share"] == pytest.approx((output[three] ** 2).sum() / energy)
    for column, kernel in (("flow depth", "nor_conv"), ("flow 3x3 depth", "nor_conv_3x3")):
        assert cell[column] == pytest.approx(mean_depth(output, entering, kernel, ops))
    deepest = max(
        (
            1 + mean_depth(entering[edge], entering, "nor_conv", ops)
            for edge in np.flatnonzero(output[:6])
        ),
        default=0,
    )
    assert cell["flow deepest"] == pytest.approx(deepest)


def test_a_cell_by_hand() -> None:
    # 1<-0 3x3, 2<-0 skip, 2<-1 1x1, 3<-0 skip, 3<-1 none, 3<-2 pool: x + pool(x + c), c = 1x1(3x3)
    cell = of("3s1snp")
    energy = 1.8**2 + 0.8**2
    share = 1.8**2 / energy
    assert cell["flow input share"] == pytest.approx(share)
    assert cell["flow depth"] == pytest.approx(2 * (1 - share))
    assert cell["flow 3x3 depth"] == pytest.approx(1 - share)
    assert cell["flow 3x3 share"] == 0
    assert (cell["flow deepest"], cell["flow early pools"]) == (2, 0)
    paths = ["skip paths", "paths without convolution", "paths of one 1x1", "paths of one 3x3"]
    assert cell[paths].tolist() == [1, 2, 0, 0]
    assert cell[["fewest convolutions", "fewest pools", "most 3x3"]].tolist() == [0, 0, 1]
    assert cell[["live 1x1", "live 3x3"]].tolist() == [1, 1]


def test_pools_are_counted_before_and_after_convolutions() -> None:
    # 3x3(pool(x)) twice pooled away: 1<-0 pool, 2<-1 3x3, 3<-2 pool
    ops = Architecture(tuple(SHORT[op] for op in "pn3nnp")).ops
    output, shares = mix(*spread(ops, Signal()))
    assert output == Signal(pytest.approx(0.64), 1, 1, 2)
    assert shares == {2: 1}
    cell = of("pn3nnp")
    assert (cell["flow early pools"], cell["fewest pools"]) == (1, 2)


def test_copies_add_their_amplitudes() -> None:
    # x three times over: by skip, by two skips, and pooled
    node, sources = spread(Architecture(tuple(SHORT[op] for op in "spnssn")).ops, Signal(2.0))
    assert node == {(-1, 0): 2}
    assert mix(node, sources)[0] == Signal(8.0, 0, 0, 0)
    node, sources = spread(Architecture(tuple(SHORT[op] for op in "spnsss")).ops, Signal(2.0))
    output, _ = mix(node, sources)
    assert output.energy == pytest.approx(2 * 2.8**2)
    assert output.pools == pytest.approx(0.8 / 2.8)  # by amplitude: it is one signal


def test_a_stage_of_five_residual_cells() -> None:
    # 3<-0 skip and 3<-1 of 3x3: out = x + c; energy grows by 1, and so does the depth of c
    cell = of("3nnssn")
    energy, depth = 1.0, 0.0
    for _ in range(5):
        energy, depth = energy + 1, (energy * depth + depth + 1) / (energy + 1)
    assert cell["stage log energy"] == pytest.approx(np.log(6))
    assert cell["stage 3x3 depth"] == pytest.approx(depth)
    assert cell["stage input share"] == pytest.approx(5 / 6)
    assert cell["stage pools"] == 0
    assert of("nnnpnn")["stage pools"] == pytest.approx(5)


@given(OPS)
def test_what_reaches_no_output_does_not_count(ops: list[str]) -> None:
    dead = [*ops[:4], "none", "none"]  # nodes 1 and 2 feed nothing
    cell = flow_features([Architecture(tuple(dead)).to_string()]).iloc[0]
    counts = [int(dead[3] == op) for op in ("nor_conv_1x1", "nor_conv_3x3")]
    assert cell[["live 1x1", "live 3x3"]].tolist() == counts
    assert cell["skip paths"] == (dead[3] == "skip_connect")


def test_cells_of_one_function_have_one_flow() -> None:
    cells = list(all_architectures())[::5]
    flow = flow_features(map(str, cells)).round(9)
    keys = [cell.function_key for cell in cells]
    assert len(set(keys)) < len(keys)
    assert (flow.groupby(keys).nunique() == 1).all(axis=None)


def test_the_default_aggregate_takes_its_structure_from_the_architecture() -> None:
    random = np.random.default_rng(0)
    cells = [Architecture.from_index(index).to_string() for index in range(0, 5**6, 311)]
    table = pd.DataFrame({"architecture": cells, "meco": random.normal(size=len(cells))})
    flow, more = flow_features(cells), ["flow depth", "most 3x3"]
    less = ["fewest convolutions", "fewest pools", "paths without convolution", "stage pools"]
    columns = [table["meco"], *(flow[name] for name in more), *(-flow[name] for name in less)]
    expected = np.mean([np.log(stats.rankdata(c) / len(cells)) for c in columns], axis=0)
    np.testing.assert_allclose(aggregate(table), expected)
    # A column of that name goes before what the string says, and a direction before the default.
    expected = np.log(stats.rankdata(table["meco"]) / len(cells))
    given = table.assign(**{"stage pools": table["meco"]})
    scores = aggregate(given, ["stage pools"], {"stage pools": "maximize"})
    np.testing.assert_allclose(scores, expected)
    with pytest.raises(EnsembleError, match="unknown column 'architecture'"):
        aggregate(table.drop(columns="architecture"))
    with pytest.raises(EnsembleError, match="unknown column 'meco'"):
        aggregate(table.drop(columns="meco"))


def test_az_nas_is_the_sum_of_four_log_ranks() -> None:
    random = np.random.default_rng(0)
    az_nas = ("az_expressivity", "az_progressivity", "az_trainability", "az_complexity")
    table = pd.DataFrame(random.normal(size=(30, 4)), columns=az_nas, index=range(5, 35))
    expected = sum(np.log(stats.rankdata(table[part]) / 30) for part in az_nas)
    np.testing.assert_allclose(4 * aggregate(table, az_nas), expected)
    with pytest.raises(EnsembleError, match="unknown column 'az_complexity'"):
        aggregate(table.drop(columns="az_complexity"), az_nas)
