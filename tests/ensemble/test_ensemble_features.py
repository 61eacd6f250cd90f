"""Features: what each scale does to a proxy, what a cell's structure says, what is left out."""

import json
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ensemble_tables import linear_table
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats
from sklearn.linear_model import LinearRegression

from zc_search.ensemble import CELL_FEATURES, Features, cell_features
from zc_search.ensemble.features import FeatureMap, FeatureSet, parse_feature_set
from zc_search.ensemble.scales import FIT_SCALE, LogScale, RankScale, RawScale, SplineScale
from zc_search.errors import ArchitectureError, EnsembleError
from zc_search.spaces import OPERATIONS, Architecture
from zc_search.spaces.nasbench201.structure import FLOW_FEATURES, flow_features

VALUES = st.lists(st.floats(-1e100, 1e100, allow_subnormal=False), min_size=1, max_size=30).map(
    np.array
)


# Scales ---------------------------------------------------------------------------------------


def test_a_logarithm_is_taken_where_a_proxy_spans_decades() -> None:
    decades = 10.0 ** np.linspace(0, 40, 41)
    scale = LogScale.fit("synflow", decades)
    assert isinstance(scale, LogScale)
    (column,) = scale.columns(decades)
    # Far above the unit the steps of a power of ten are all the same.
    np.testing.assert_allclose(np.diff(column)[8:], np.log(10), rtol=1e-3)


@pytest.mark.parametrize(
    "values",
    [
        np.linspace(5, 40, 50),
        -np.linspace(5, 40, 50),
        np.random.default_rng(0).normal(size=100),
        np.zeros(5),
        np.array([3.0]),
    ],
)
def test_no_logarithm_is_taken_within_a_decade_or_around_zero(values: np.ndarray) -> None:
    assert isinstance(LogScale.fit("x", values), RawScale)


def test_a_signed_logarithm_keeps_sign_and_order() -> None:
    values = np.array([-1e6, -1e3, -1.0, -0.1, 0.0, 0.1, 1.0, 1e3, 1e6])
    scale = LogScale(proxy="grasp", unit=1.0, low=-100, high=100)
    (column,) = scale.columns(values)
    np.testing.assert_allclose(column, np.sign(values) * np.log1p(np.abs(values)))


def test_outliers_are_clipped_at_the_far_fences() -> None:
    values = np.array([*np.arange(101.0), 1e6])
    scale = RawScale.fit("x", values)
    quartiles = np.quantile(values, [0.25, 0.75])
    reach = 3 * stats.iqr(values)
    assert (scale.low, scale.high) == pytest.approx((quartiles[0] - reach, quartiles[1] + reach))
    assert scale.columns(values)[0].tolist() == [*np.arange(101.0), scale.high]


def test_bounds_are_the_extremes_where_most_values_are_equal() -> None:
    scale = RawScale.fit("x", np.array([1.0, 2, 2, 2, 2, 2, 9]))
    assert (scale.low, scale.high) == (1.0, 9.0)


def test_ranks_are_mid_ranks_interpolated_between_and_held_beyond() -> None:
    values = np.array([1.0, 3.0, 3.0, 7.0])
    scale = RankScale.fit("x", values)
    expected = (stats.rankdata(values) - 0.5) / 4
    np.testing.assert_allclose(scale.columns(values)[0], expected)
    assert scale.columns(np.array([-9.0, 2.0, 99.0]))[0].tolist() == [0.125, 0.3125, 0.875]


def test_ranks_of_many_values_need_101_knots() -> None:
    values = np.random.default_rng(0).lognormal(sigma=3, size=5000)
    scale = RankScale.fit("x", values)
    assert len(scale.knots) == 101
    expected = (stats.rankdata(values) - 0.5) / 5000
    np.testing.assert_allclose(scale.columns(values)[0], expected, atol=0.01)


def test_ramps_sum_to_a_piecewise_linear_function_of_the_rank() -> None:
    values = np.linspace(0, 1, 1001)
    scale = SplineScale.fit("x", values)
    assert scale.names() == ["x[0-0.25]", "x[0.25-0.5]", "x[0.5-0.75]", "x[0.75-1]"]
    ramps = np.column_stack(scale.columns(values))
    rank = scale.rank(values)
    np.testing.assert_allclose(ramps.mean(axis=1), rank)
    np.testing.assert_array_equal(ramps[rank >= 0.5][:, :2], 1.0)
    np.testing.assert_array_equal(ramps[rank <= 0.5][:, 2:], 0.0)
    hinges = np.column_stack([np.maximum(rank - t, 0) for t in (0, 0.25, 0.5, 0.75)])
    wanted = hinges @ [2.0, -1.0, 3.0, -5.0]
    fitted = LinearRegression().fit(ramps, wanted).predict(ramps)
    np.testing.assert_allclose(fitted, wanted, atol=1e-12)


@settings(deadline=None)
@given(VALUES, VALUES, st.sampled_from(list(FIT_SCALE)))
def test_every_scale_keeps_the_order_and_gives_finite_numbers(
    training: np.ndarray, values: np.ndarray, name: str
) -> None:
    scale = FIT_SCALE[name]("x", training)
    columns = scale.columns(np.sort(values))
    assert len(columns) == len(scale.names())
    for column in columns:
        assert np.isfinite(column).all()
        assert (np.diff(column) >= 0).all()
    assert type(scale).model_validate_json(scale.model_dump_json()) == scale


@pytest.mark.parametrize("name", list(FIT_SCALE))
def test_what_is_missing_stays_missing(name: str) -> None:
    scale = FIT_SCALE[name]("x", np.arange(1.0, 500.0))
    for column in scale.columns(np.array([np.nan, 1.0])):
        assert np.isnan(column).tolist() == [True, False]


# Cells ----------------------------------------------------------------------------------------


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


@settings(deadline=None)
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


# Maps -----------------------------------------------------------------------------------------


def test_names_of_feature_sets() -> None:
    assert parse_feature_set("standard") == FeatureSet("standard")
    assert parse_feature_set("spline+cell") == FeatureSet("spline", cell=True)
    assert parse_feature_set("rank+interactions+cell") == FeatureSet("rank", True, True)
    assert parse_feature_set("rank+flow+aggregate") == FeatureSet("rank", flow=True, aggregate=True)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("rang", "unknown feature set 'rang'; did you mean 'rank'"),
        ("rank+flows", r"may be followed by \+cell and \+interactions and \+flow and \+aggregate"),
        (
            "raw+aggregate",
            r"'raw\+aggregate': .* allowed are rank\+aggregate and spline\+aggregate",
        ),
    ],
)
def test_an_unknown_feature_set_is_refused(name: str, message: str) -> None:
    with pytest.raises(EnsembleError, match=message):
        parse_feature_set(name)


@pytest.mark.parametrize(
    "name",
    [
        "raw",
        "rank",
        "spline+cell",
        "standard+cell+interactions",
        "rank+flow+aggregate+interactions",
        "spline+cell+flow+aggregate+interactions",
    ],
)
def test_training_columns_are_standardised_and_new_ones_by_the_same_constants(name: str) -> None:
    table = linear_table(60)
    features = Features(["alpha", "beta", "gamma"], name).fit(table)
    columns = features.transform(table)
    np.testing.assert_allclose(columns.mean(), 0, atol=1e-12)
    np.testing.assert_allclose(columns.std(ddof=0), 1)
    # A row's columns do not depend on the rows beside it.
    pd.testing.assert_frame_equal(features.transform(table[7:9]), columns[7:9])
    again = FeatureMap.model_validate_json(features.map_.model_dump_json())
    np.testing.assert_array_equal(again.matrix(table), columns)


def test_an_interaction_is_the_product_of_the_standardised_proxies() -> None:
    table = linear_table(60)
    columns = Features(["alpha", "beta"], "raw+interactions").fit(table).transform(table)
    assert list(columns) == ["alpha", "beta", "alpha * beta"]
    product = columns["alpha"] * columns["beta"]
    expected = (product - product.mean()) / product.std(ddof=0)
    pd.testing.assert_series_equal(columns["alpha * beta"], expected, check_names=False)


def test_an_interaction_finds_what_single_proxies_cannot() -> None:
    table = linear_table(60)
    wanted = table["alpha"] * table["beta"]
    plain = Features(["alpha", "beta"], "raw").fit_transform(table)
    product = Features(["alpha", "beta"], "raw+interactions").fit_transform(table)
    assert LinearRegression().fit(plain, wanted).score(plain, wanted) < 0.2
    assert LinearRegression().fit(product, wanted).score(product, wanted) > 0.99


def test_with_the_flow_products_are_of_proxies_and_flow_and_squares_of_the_flow() -> None:
    table = linear_table(60)
    features = Features(["alpha", "beta"], "raw+flow+interactions").fit(table)
    columns = features.transform(table)
    flow = [name for name in columns if name in FLOW_FEATURES]
    assert {"flow depth", "live 3x3"} <= set(flow)
    single = ["alpha", "beta", *flow]
    pairs = {f"{a} * {b}" for a, b in combinations(single, 2)} | {f"{a} * {a}" for a in flow}
    left_out = {name for name in [*features.constant_, *features.duplicates_] if " * " in name}
    assert set(columns) == {*single, *(pairs - left_out)}
    for a, b in (("alpha", "beta"), ("alpha", "flow depth"), ("live 3x3", "live 3x3")):
        product = columns[a] * columns[b]
        expected = (product - product.mean()) / product.std(ddof=0)
        np.testing.assert_allclose(columns[f"{a} * {b}"], expected, atol=1e-12)


def test_structure_is_that_of_the_architecture_column() -> None:
    table = linear_table(60)
    columns = Features(["alpha"], "raw+cell+flow").fit(table).transform(table)
    for names, describe in ((CELL_FEATURES, cell_features), (FLOW_FEATURES, flow_features)):
        plain = describe(table["architecture"])
        kept = [name for name in names if name in columns]
        assert len(kept) > 10
        for name in kept:
            assert np.corrcoef(plain[name], columns[name])[0, 1] == pytest.approx(1)
    with pytest.raises(EnsembleError, match="no column 'architecture'"):
        Features(["alpha"], "raw+flow").fit(table).map_.matrix(table[["alpha"]])


@pytest.mark.parametrize("scale", ["rank", "spline"])
def test_the_aggregate_is_the_mean_of_log_ranks_in_the_proxies_directions(scale: str) -> None:
    table = linear_table(50).assign(still=1.0)
    features = Features(["alpha", "still", "beta"], f"{scale}+aggregate", {"beta": "minimize"})
    columns = features.fit(table).transform(table)
    ranks = [stats.rankdata(table["alpha"]), stats.rankdata(-table["beta"])]
    expected = np.mean([np.log((rank - 0.5) / 50) for rank in ranks], axis=0)
    expected = (expected - expected.mean()) / expected.std()
    np.testing.assert_allclose(columns["aggregate"], expected)
    assert features.map_.aggregate == (("alpha", "maximize"), ("beta", "minimize"))
    # New values are ranked among the training rows, and those beyond as the last of them.
    beyond = features.transform(table.assign(alpha=99.0, beta=-99.0))["aggregate"]
    assert beyond.nunique() == 1
    assert beyond.iloc[0] >= columns["aggregate"].max()


@pytest.mark.parametrize("name", ["aggregate", "live 3x3", "depth"])
def test_a_proxy_named_like_a_feature_is_refused(name: str) -> None:
    table = linear_table(30).assign(**{name: 1.0})
    with pytest.raises(EnsembleError, match=f"'{name}' is a feature's name"):
        Features(["alpha", name], "rank").fit(table)


def test_an_aggregate_of_one_proxy_repeats_nothing_and_is_kept() -> None:
    table = linear_table(30)
    features = Features(["alpha"], "rank+aggregate").fit(table)
    assert list(features.transform(table)) == ["alpha", "aggregate"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"aggregate": [["gamma", "maximize"]]}, "the aggregate names a proxy that has no ranks"),
        ({"aggregate": [["alpha", "more"]]}, "'maximize' or 'minimize'"),
        ({"aggregate": []}, "the columns do not match"),
        ({"cell": False}, "the columns do not match"),
        ({"interactions": [["alpha", "depth"]]}, "the columns do not match"),
    ],
)
def test_a_map_that_cannot_be_computed_is_refused(change: dict[str, Any], message: str) -> None:
    features = Features(["alpha"], "rank+flow+aggregate").fit(linear_table(30))
    document = features.map_.model_dump(mode="json")
    assert FeatureMap.model_validate_json(json.dumps(document)) == features.map_
    with pytest.raises(ValidationError, match=message):
        FeatureMap.model_validate_json(json.dumps(document | change))


def test_one_column_for_each_proxy() -> None:
    table = linear_table(60).assign(still=1.0)
    features = Features(["alpha", "still", "beta"], "spline+cell").fit(table)
    by_proxy = features.map_.by_proxy(table)
    assert list(by_proxy) == ["alpha", "beta"]
    own = features.transform(table).filter(like="alpha[")
    np.testing.assert_allclose(by_proxy["alpha"], own.mean(axis=1))


def test_a_table_without_rows_has_no_columns_to_compute() -> None:
    table = linear_table(20)
    features = Features(["alpha"], "spline+cell").fit(table)
    assert features.transform(table[:0]).shape == (0, len(features.map_.names))


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(-1e100, 1e100), min_size=2, max_size=20), st.sampled_from(["raw", "rank"])
)
def test_any_finite_proxy_is_standardised_or_left_out(values: list[float], name: str) -> None:
    table = linear_table(len(values)).assign(wild=values)
    features = Features(["alpha", "wild"], name).fit(table)
    columns = features.transform(table)
    assert np.isfinite(columns.to_numpy()).all()
    kept, left_out = "wild" in columns, "wild" in [*features.constant_, *features.duplicates_]
    assert kept != left_out
