"""Features: what each scale does to a proxy, what a cell's structure says, what is left out."""

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ensemble_tables import flow_features, linear_table
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats
from sklearn.linear_model import LinearRegression

from zc_search.ensemble import Ensemble, fit_ensemble
from zc_search.ensemble.features import (
    DEFAULT_AGGREGATE,
    FeatureMap,
    Features,
    RankScale,
    ValueScale,
)
from zc_search.ensemble.tables import FeatureSet, parse_feature_set
from zc_search.errors import EnsembleError
from zc_search.spaces import (
    Architecture,
    MicroSpace,
    MobileNetSpace,
    ModelSpecSpace,
    SearchSpace,
    SizeSpace,
)
from zc_search.spaces.nasbench201.architecture import live_edges
from zc_search.spaces.nasbench201.structure import FLOW_FEATURES

SCALES: list[Any] = [ValueScale, RankScale]

VALUES = st.lists(st.floats(-1e100, 1e100, allow_subnormal=False), min_size=1, max_size=30).map(
    np.array
)


# Scales ---------------------------------------------------------------------------------------


def test_a_logarithm_is_taken_where_a_proxy_spans_decades() -> None:
    decades = 10.0 ** np.linspace(0, 40, 41)
    scale = ValueScale.fit("synflow", decades)
    assert scale.kind == "log"
    column = scale.column(decades)
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
    assert ValueScale.fit("x", values).kind == "raw"


def test_a_signed_logarithm_keeps_sign_and_order() -> None:
    values = np.array([-1e6, -1e3, -1.0, -0.1, 0.0, 0.1, 1.0, 1e3, 1e6])
    scale = ValueScale(kind="log", proxy="grasp", unit=1.0, low=-100, high=100)
    column = scale.column(values)
    np.testing.assert_allclose(column, np.sign(values) * np.log1p(np.abs(values)))


def test_outliers_are_clipped_at_the_far_fences() -> None:
    values = np.array([*np.arange(100.0, 201.0), 1e6])
    scale = ValueScale.fit("x", values)
    quartiles = np.quantile(values, [0.25, 0.75])
    reach = 3 * stats.iqr(values)
    assert (scale.low, scale.high) == pytest.approx((quartiles[0] - reach, quartiles[1] + reach))
    assert scale.column(values).tolist() == [*np.arange(100.0, 201.0), scale.high]


def test_bounds_are_the_extremes_where_most_values_are_equal() -> None:
    scale = ValueScale.fit("x", np.array([1.0, 2, 2, 2, 2, 2, 9]))
    assert (scale.low, scale.high) == (1.0, 9.0)


def test_ranks_are_mid_ranks_interpolated_between_and_held_beyond() -> None:
    values = np.array([1.0, 3.0, 3.0, 7.0])
    scale = RankScale.fit("x", values)
    expected = (stats.rankdata(values) - 0.5) / 4
    np.testing.assert_allclose(scale.column(values), expected)
    assert scale.column(np.array([-9.0, 2.0, 99.0])).tolist() == [0.125, 0.3125, 0.875]


def test_ranks_of_many_values_need_101_knots() -> None:
    values = np.random.default_rng(0).lognormal(sigma=3, size=5000)
    scale = RankScale.fit("x", values)
    assert len(scale.knots) == 101
    expected = (stats.rankdata(values) - 0.5) / 5000
    np.testing.assert_allclose(scale.column(values), expected, atol=0.01)


@given(VALUES, VALUES, st.sampled_from(SCALES))
def test_every_scale_keeps_the_order_and_gives_finite_numbers(
    training: np.ndarray, values: np.ndarray, kind: Any
) -> None:
    scale = kind.fit("x", training)
    column = scale.column(np.sort(values))
    assert np.isfinite(column).all()
    assert (np.diff(column) >= 0).all()
    assert type(scale).model_validate_json(scale.model_dump_json()) == scale


@pytest.mark.parametrize("kind", SCALES)
def test_what_is_missing_stays_missing(kind: Any) -> None:
    scale = kind.fit("x", np.arange(1.0, 500.0))
    assert np.isnan(scale.column(np.array([np.nan, 1.0]))).tolist() == [True, False]


# Maps -----------------------------------------------------------------------------------------


def test_names_of_feature_sets() -> None:
    assert parse_feature_set("standard") == FeatureSet("standard")
    assert parse_feature_set("standard+structure") == FeatureSet("standard", structure=True)
    assert parse_feature_set("rank+interactions+structure") == FeatureSet("rank", True, True)
    assert parse_feature_set("rank+structure+aggregate") == FeatureSet(
        "rank", structure=True, aggregate=True
    )
    assert parse_feature_set("structure+aggregate") == FeatureSet(
        "structure", structure=True, aggregate=True
    )
    assert parse_feature_set("rank+operations") == FeatureSet(
        "rank", structure=True, operations=True
    )


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("rang", "rank"),
        ("rank+structures", "rank+structure"),
        ("standard+aggregate", "rank+aggregate"),
        ("structure+structure", "standard+structure"),
    ],
)
def test_an_unknown_feature_set_is_refused(name: str, hint: str) -> None:
    with pytest.raises(EnsembleError) as refused:
        parse_feature_set(name)
    assert (refused.value.given, refused.value.hint) == (name, hint)
    assert "rank+aggregate" in refused.value.allowed


@pytest.mark.parametrize(
    "name",
    [
        "standard",
        "rank",
        "standard+structure+interactions",
        "rank+structure+aggregate+interactions",
        "structure+aggregate+interactions",
        "rank+operations+aggregate+interactions",
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
    columns = Features(["alpha", "beta"], "standard+interactions").fit(table).transform(table)
    assert list(columns) == ["alpha", "beta", "alpha * beta"]
    product = columns["alpha"] * columns["beta"]
    expected = (product - product.mean()) / product.std(ddof=0)
    pd.testing.assert_series_equal(columns["alpha * beta"], expected, check_names=False)


def test_an_interaction_finds_what_single_proxies_cannot() -> None:
    table = linear_table(60)
    wanted = table["alpha"] * table["beta"]
    plain = Features(["alpha", "beta"], "standard").fit_transform(table)
    product = Features(["alpha", "beta"], "standard+interactions").fit_transform(table)
    assert LinearRegression().fit(plain, wanted).score(plain, wanted) < 0.2
    assert LinearRegression().fit(product, wanted).score(product, wanted) > 0.99


def test_with_the_flow_products_are_of_proxies_and_flow_and_squares_of_the_flow() -> None:
    table = linear_table(60)
    features = Features(["alpha", "beta"], "standard+structure+interactions").fit(table)
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
    columns = Features(["alpha"], "standard+structure").fit(table).transform(table)
    plain = flow_features(table["architecture"])
    kept = [name for name in FLOW_FEATURES if name in columns]
    assert len(kept) > 10
    for name in kept:
        assert np.corrcoef(plain[name], columns[name])[0, 1] == pytest.approx(1)
    with pytest.raises(EnsembleError, match="unknown column 'architecture'"):
        Features(["alpha"], "standard+structure").fit(table).map_.matrix(table[["alpha"]])


def test_the_aggregate_is_the_mean_of_log_ranks_in_the_proxies_directions() -> None:
    table = linear_table(50).assign(still=1.0)
    features = Features(["alpha", "still", "beta"], "rank+aggregate", {"beta": "minimize"})
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


def test_the_aggregate_ranks_among_a_population_without_accuracies() -> None:
    population = linear_table(80).drop(columns="val_accuracy", errors="ignore")
    population.loc[3, "alpha"] = np.nan  # takes no part
    table = linear_table(80).iloc[10:30]
    features = Features(["alpha", "beta"], "rank+aggregate").fit(table, population=population)
    known = population.dropna(subset=["alpha", "beta"])
    ranks = known[["alpha", "beta"]].rank() - 0.5
    expected = np.log(ranks / len(known)).mean(axis=1).loc[table.index]
    expected = (expected - expected.mean()) / expected.std(ddof=0)
    np.testing.assert_allclose(features.transform(table)["aggregate"], expected)
    # The proxies themselves are on the scale of the rows fitted to.
    alone = Features(["alpha", "beta"], "rank+aggregate").fit_transform(table)
    pd.testing.assert_series_equal(features.transform(table)["alpha"], alone["alpha"])


def test_operations_come_with_the_structure_and_have_no_products() -> None:
    table = linear_table(50)
    features = Features(["alpha"], "rank+operations+interactions").fit(table)
    columns = features.transform(table)
    found = columns["nor_conv_3x3 on 2<-1"]
    cells = map(Architecture.from_string, table["architecture"])
    has = np.array([2 in live_edges(cell.ops) and cell.ops[2] == "nor_conv_3x3" for cell in cells])
    np.testing.assert_allclose(found, (has - has.mean()) / has.std())
    others = columns.drop(columns=[name for name in columns if "<-" in name])
    without = Features(["alpha"], "rank+structure+interactions").fit_transform(table)
    pd.testing.assert_frame_equal(others, without)
    again = FeatureMap.model_validate_json(features.map_.model_dump_json())
    np.testing.assert_array_equal(again.matrix(table), columns)


def test_operations_are_of_spaces_that_place_them() -> None:
    with pytest.raises(EnsembleError, match="Allowed: without \\+operations"):
        Features(["alpha"], "rank+operations").fit(
            linear_table(2).assign(architecture=["8:8:8:8:8", "8:8:8:8:16"])
        )


def test_structure_alone_sees_the_proxies_in_the_aggregate_or_not_at_all() -> None:
    table = linear_table(50)
    whole = Features(["alpha", "beta"], "rank+structure+aggregate").fit(table).transform(table)
    features = Features(["alpha", "beta"], "structure+aggregate").fit(table)
    columns = whole.drop(columns=["alpha", "beta"])
    pd.testing.assert_frame_equal(features.transform(table), columns)
    without = Features(["alpha", "beta"], "structure").fit(table)
    flow = without.transform(table.assign(alpha=np.nan, beta=np.nan))
    pd.testing.assert_frame_equal(flow, columns.drop(columns="aggregate"))


def test_of_cells_the_aggregate_is_the_default_one_as_far_as_it_is_there() -> None:
    table = linear_table(50).assign(meco=lambda rows: -rows["alpha"])
    flow = flow_features(table["architecture"])

    def expected(columns: list[pd.Series]) -> np.ndarray:
        ranks = [np.log((stats.rankdata(column) - 0.5) / len(table)) for column in columns]
        mean = np.mean(ranks, axis=0)
        return (mean - mean.mean()) / mean.std()

    ways = {name: way for name, way in DEFAULT_AGGREGATE.items() if name != "meco"}
    known = [flow[name] if way == "maximize" else -flow[name] for name, way in ways.items()]
    for proxies, directions, columns in (
        (["beta", "meco"], {}, [*known, table["meco"]]),
        (["beta", "meco"], {"meco": "minimize", "beta": "minimize"}, [*known, -table["meco"]]),
        (["beta"], {}, known),
    ):
        features = Features(proxies, "rank+structure+aggregate", directions).fit(table)
        found = features.transform(table)["aggregate"]
        np.testing.assert_allclose(found, expected(columns), atol=1e-12)
        again = FeatureMap.model_validate_json(features.map_.model_dump_json())
        np.testing.assert_array_equal(again.matrix(table), features.transform(table))
    assert features.map_.ranks[0].proxy == "flow depth"


@pytest.mark.parametrize("name", ["aggregate", "live 3x3", "flow depth"])
def test_a_proxy_named_like_a_feature_is_refused(name: str) -> None:
    table = linear_table(30).assign(**{name: 1.0})
    with pytest.raises(EnsembleError, match=f"'{name}' is a feature's name"):
        Features(["alpha", name], "rank").fit(table)


def test_an_aggregate_of_one_proxy_repeats_nothing_and_is_kept() -> None:
    table = linear_table(30)
    features = Features(["alpha"], "rank+aggregate").fit(table)
    assert list(features.transform(table)) == ["alpha", "aggregate"]


def test_a_map_survives_json_and_knows_its_directions() -> None:
    features = Features(["alpha"], "rank+structure+aggregate").fit(linear_table(30))
    document = features.map_.model_dump(mode="json")
    assert FeatureMap.model_validate_json(json.dumps(document)) == features.map_
    changed = document | {"aggregate": [["alpha", "more"]]}
    with pytest.raises(ValidationError, match="'maximize' or 'minimize'"):
        FeatureMap.model_validate_json(json.dumps(changed))


def test_a_table_without_rows_has_no_columns_to_compute() -> None:
    table = linear_table(20)
    features = Features(["alpha"], "rank+structure").fit(table)
    assert features.transform(table[:0]).shape == (0, len(features.map_.names))


@given(
    st.lists(st.floats(-1e100, 1e100), min_size=2, max_size=20),
    st.sampled_from(["standard", "rank"]),
)
def test_any_finite_proxy_is_standardised_or_left_out(values: list[float], name: str) -> None:
    table = linear_table(len(values)).assign(wild=values)
    features = Features(["alpha", "wild"], name).fit(table)
    columns = features.transform(table)
    assert np.isfinite(columns.to_numpy()).all()
    kept, left_out = "wild" in columns, "wild" in [*features.constant_, *features.duplicates_]
    assert kept != left_out


@pytest.mark.parametrize(
    ("space", "feature"),
    [
        (SizeSpace(), "sum of squares"),
        (ModelSpecSpace(), "edges"),
        (MicroSpace(), "live nor_conv_3x3"),
        (MobileNetSpace(), "blocks"),
    ],
)
def test_structure_is_that_of_the_architectures_space(
    space: SearchSpace[Any], feature: str, tmp_path: Path
) -> None:
    """A target that only the structure tells is learnt, in a file too, and of this space alone."""
    drawn = np.random.default_rng(0)
    found = (space.sample(drawn) for _ in range(400))
    architectures = [a for a in found if a.infeasible is None][:120]
    truth = np.array([space.structure(a)[feature] for a in architectures])
    table = pd.DataFrame(
        {
            "architecture": [str(a) for a in architectures],
            "alpha": np.random.default_rng(0).normal(size=len(truth)),
            "val_accuracy": 50 + 10 * truth / truth.max(),
        }
    )
    ensemble = fit_ensemble(table[:80], proxies=["alpha"], feature_set="standard+structure")
    ensemble.save(tmp_path / "ensemble.toml")
    read = Ensemble.load(tmp_path / "ensemble.toml")
    predicted = read.predict(table)
    assert stats.kendalltau(predicted[80:], truth[80:]).statistic > 0.8
    with pytest.raises(EnsembleError, match="of another space than those fitted to"):
        read.predict(table[:1].assign(architecture=str(Architecture.from_index(5))))
