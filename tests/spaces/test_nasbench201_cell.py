"""What a cell's live edges and paths say of it."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zc_search.errors import ArchitectureError
from zc_search.spaces import OPERATIONS, Architecture
from zc_search.spaces.nasbench201.structure import CELL_FEATURES, cell_features


def of(*ops: str) -> pd.Series:
    short = {"n": "none", "s": "skip_connect", "1": "nor_conv_1x1", "3": "nor_conv_3x3"}
    named = tuple(short.get(op, "avg_pool_3x3") for op in ops)
    return cell_features([Architecture(named).to_string()]).iloc[0]


def test_features_of_a_cell_by_hand() -> None:
    # 1<-0 3x3, 2<-0 skip, 2<-1 1x1, 3<-0 skip, 3<-1 none, 3<-2 pool
    cell = of("3", "s", "1", "s", "n", "p")
    assert cell["paths"] == 3  # 0-3, 0-2-3 and 0-1-2-3
    assert cell["path 0-1-3"] == 0
    assert cell["path 0-1-2-3 convolutions"] == 2
    assert cell["path 0-1-2-3 avg_pool_3x3"] == 1
    assert (cell["depth"], cell["least depth"], cell["mean depth"]) == (2, 0, 2 / 3)
    assert cell["depth 3x3"] == 1
    assert (cell["depth>=2"], cell["depth>=3"]) == (1, 0)
    assert (cell["convolutions>=2"], cell["convolutions>=3"], cell["3x3>=1"]) == (1, 0, 1)
    assert cell["live skip_connect"] == 2
    assert cell["op_2_1=nor_conv_1x1"] == 1
    assert (cell["op_3_1 live"], cell["op_3_2 live"]) == (0, 1)
    assert (cell["skip path"], cell["pool path"]) == (1, 1)


def test_what_reaches_no_output_does_not_count() -> None:
    # Node 1 feeds nothing, so that its convolution is dead.
    dead = of("3", "n", "n", "s", "n", "n")
    pd.testing.assert_series_equal(dead, of("n", "3", "n", "s", "n", "n"))
    assert dead["live nor_conv_3x3"] == 0
    assert (dead["paths"], dead["depth"], dead["skip path"]) == (1, 0, 1)


def test_a_cell_without_a_path_has_no_features() -> None:
    assert (of("3", "3", "3", "n", "n", "n") == 0).all()


@given(st.lists(st.sampled_from(OPERATIONS), min_size=6, max_size=6))
def test_counts_agree_among_each_other(ops: list[str]) -> None:
    cell = cell_features([Architecture(tuple(ops)).to_string()]).iloc[0]
    live = [name for name in CELL_FEATURES if name.endswith(" live")]
    counts = ["live skip_connect", "live nor_conv_1x1", "live nor_conv_3x3", "live avg_pool_3x3"]
    assert cell[live].sum() == cell[counts].sum() <= 6
    assert cell[[name for name in CELL_FEATURES if "=nor" in name]].sum() == cell[counts[1:3]].sum()
    assert cell["paths"] == cell[["path 0-3", "path 0-1-3", "path 0-2-3", "path 0-1-2-3"]].sum()
    assert cell["least depth"] <= cell["mean depth"] <= cell["depth"] <= 3
    assert (cell["paths"] > 0) == Architecture(tuple(ops)).reaches_output


def test_features_of_no_cell_and_of_no_architecture() -> None:
    assert cell_features([]).shape == (0, len(CELL_FEATURES))
    with pytest.raises(ArchitectureError, match="not an architecture string: 'conv'"):
        cell_features(["conv"])
