"""Fitting: known weights come back, bounds hold, and every oddity is said in a sentence."""

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ensemble_tables import INTERCEPT, WEIGHTS, linear_table
from scipy import stats
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import RepeatedKFold

from zc_search.ensemble import (
    DEFAULT_AGGREGATE,
    Ensemble,
    EnsembleSpec,
    aggregate,
    fit_ensemble,
    fit_pipeline,
    held_out_predictions,
    ranking,
)
from zc_search.ensemble.models import FittedRegressor, _resampled, least_squares_errors
from zc_search.ensemble.scores import check_applicable
from zc_search.ensemble.validation import resampled_interval
from zc_search.errors import EnsembleError
from zc_search.scoring.scores_file import Provenance, accuracy_directions
from zc_search.spaces import Architecture
from zc_search.spaces.nasbench201.structure import FLOW_FEATURES

PROXIES = list(WEIGHTS)


def fit(table: pd.DataFrame, proxies: list[str] = PROXIES, **options: Any) -> Ensemble:
    defaults: dict[str, Any] = {"fit_on": "all", "folds": 2, "repeats": 1, "n_bootstrap": 20}
    return fit_ensemble(table, proxies, **(defaults | options))


@cache
def usual(rows: int = 30, **options: Any) -> Ensemble:
    """A fit to `linear_table`, once for all tests that only look at it."""
    return fit(linear_table(rows), **options)


def note(ensemble: Ensemble, part: str) -> str:
    found = [sentence for sentence in ensemble.notes if part in sentence]
    assert len(found) == 1, ensemble.notes
    return found[0]


# Weights --------------------------------------------------------------------------------------


def test_known_weights_come_back_within_their_standard_errors() -> None:
    table = linear_table(400)
    weights = fit(table, feature_set="standard", n_bootstrap=200).weights.set_index("feature")
    for name, truth in WEIGHTS.items():
        # Standardised: a weight is per standard deviation of its proxy.
        row, expected = weights.loc[name], truth * table[name].std(ddof=0)
        assert abs(row["weight"] - expected) < 3 * row["standard_error"]
        assert row["standard_error"] == pytest.approx(1 / np.sqrt(400), rel=0.15)
        assert row["low"] < row["weight"] < row["high"]


def test_without_noise_the_prediction_is_the_truth() -> None:
    table = linear_table(60, noise=0.0)
    ensemble = fit(table, feature_set="standard")
    np.testing.assert_allclose(ensemble.predict(table), table["val_accuracy"])
    centre = sum(weight * table[name].mean() for name, weight in WEIGHTS.items())
    assert ensemble.intercept == pytest.approx(INTERCEPT + centre)
    assert ensemble.unit == "percent accuracy, for a standard deviation of the feature"
    assert ensemble.predict(table).name == "predicted_val_accuracy"


def test_standard_errors_are_those_of_the_textbook() -> None:
    random = np.random.default_rng(1)
    columns = random.normal(size=(30, 3)) @ random.normal(size=(3, 3))
    target = columns @ [1.0, 2.0, 0.5] + random.normal(size=30)
    design = np.column_stack([np.ones(30), columns])
    solution = np.linalg.inv(design.T @ design) @ design.T @ target
    residuals = target - design @ solution
    variance = (residuals**2).sum() / (30 - 4)
    expected = np.sqrt(variance * np.diag(np.linalg.inv(design.T @ design)))
    errors = least_squares_errors(columns, residuals)
    np.testing.assert_allclose(errors, expected)

    line = stats.linregress(columns[:, 0], target)
    single = LinearRegression().fit(columns[:, :1], target)
    errors = least_squares_errors(columns[:, :1], target - single.predict(columns[:, :1]))
    assert errors is not None
    assert errors[::-1] == pytest.approx([line.stderr, line.intercept_stderr])


@pytest.mark.parametrize(("rows", "features"), [(30, 3), (8, 12)])
def test_resampled_weights_are_scikit_learns(rows: int, features: int) -> None:
    random = np.random.default_rng(0)
    columns = pd.DataFrame(random.normal(size=(rows, features)))
    target = random.normal(size=rows)
    drawn = _resampled(columns.to_numpy(), target, EnsembleSpec(("a",), n_bootstrap=5))
    random = np.random.default_rng(0)
    for found in drawn:
        chosen = random.integers(rows, size=rows)
        fitted = LinearRegression().fit(columns.iloc[chosen], target[chosen])
        np.testing.assert_allclose(found, [fitted.intercept_, *fitted.coef_], atol=1e-12)


def test_no_closed_form_where_the_rows_do_not_settle_the_weights() -> None:
    random = np.random.default_rng(0)
    column = random.normal(size=(10, 1))
    assert least_squares_errors(np.hstack([column, 2 * column]), random.normal(size=10)) is None
    assert least_squares_errors(random.normal(size=(4, 3)), np.zeros(4)) is None


def test_an_interval_holds_its_weight_where_the_rows_do_not_settle_it() -> None:
    random = np.random.default_rng(0)
    names = [f"p{i}" for i in range(12)]
    table = linear_table(12).assign(**dict(zip(names, random.normal(size=(12, 12)), strict=True)))
    weights = fit_ensemble(table, names, model="linear", fit_on="all", n_bootstrap=50).weights
    assert weights["weight"].between(weights["low"], weights["high"]).all()
    assert ((weights["low"] <= 0) & (weights["high"] >= 0)).all()  # their signs are open


def test_a_gap_regression_in_a_pipeline_and_in_an_ensemble_agree() -> None:
    table = linear_table(80)
    ensemble = fit(table, model="gap", feature_set="rank+structure")
    pipeline = fit_pipeline(table, PROXIES, model="gap", feature_set="rank+structure")
    np.testing.assert_allclose(ensemble.predict(table), pipeline.predict(table))


def test_imported_regressor_has_importances_in_place_of_weights() -> None:
    table = linear_table(60)
    ensemble = fit(
        table, model="sklearn.tree:DecisionTreeRegressor", feature_set="standard+structure"
    )
    assert isinstance(ensemble.predictor, FittedRegressor)
    importances = ensemble.weights.set_index("feature")["importance"]
    assert list(importances.index) == [*PROXIES, "architecture"]
    assert importances.idxmax() == "alpha"
    broken = table.assign(alpha=[np.nan, *table["alpha"][1:]])
    predicted = ensemble.predict_interval(broken)
    assert predicted.isna().all(axis=1).tolist() == [True] + [False] * 59
    with pytest.raises(EnsembleError, match="has no weights, and so no intercept"):
        _ = ensemble.intercept


def test_importances_of_very_few_rows_rest_on_all_of_them() -> None:
    ensemble = fit(linear_table(5), model="sklearn.neighbors:KNeighborsRegressor")
    assert list(ensemble.weights["feature"]) == PROXIES


# Intervals ------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["linear", "ridge"])
def test_intervals_hold_their_share_of_new_architectures(model: str) -> None:
    ensemble = fit(linear_table(100), model=model, folds=5)
    new = linear_table(3000, seed=1)
    interval = ensemble.predict_interval(new, level=0.8)
    inside = new["val_accuracy"].between(interval["low"], interval["high"])
    assert 0.72 < inside.mean() < 0.88
    assert (interval["low"] < interval["prediction"]).all()
    pd.testing.assert_series_equal(interval["prediction"], ensemble.predict(new), check_names=False)
    wider = ensemble.predict_interval(new, level=0.95)
    assert (wider["high"] - wider["low"] > interval["high"] - interval["low"]).all()


def test_intervals_widen_away_from_the_training_rows() -> None:
    ensemble = usual()
    table = pd.DataFrame({"alpha": [0.0, 4.0], "beta": 0.0, "gamma": 0.0})
    width = ensemble.predict_interval(table).eval("high - low")
    assert width[1] > width[0]


def test_spread_is_what_the_covariance_has_beyond_that_of_the_rows_fitted_to() -> None:
    ensemble = fit(linear_table(40))
    matrix = ensemble.features.matrix(linear_table(5, seed=3))
    lower = ensemble.predictor.covariance
    covariance = np.array(
        [[lower[max(i, j)][min(i, j)] for j in range(len(lower))] for i in range(len(lower))]
    )
    fitted = ensemble.features.matrix(linear_table(40))
    typical = np.mean([np.array([1.0, *row]) @ covariance @ [1.0, *row] for row in fitted])
    for row, down in zip(matrix, ensemble.predictor.spread(matrix, 2.0)[0], strict=True):
        design = np.array([1.0, *row])
        beyond = max(design @ covariance @ design - typical, 0.0)
        assert down == pytest.approx(2 * np.sqrt(beyond))


@pytest.mark.parametrize("level", [0.0, 1.0, -1, 90])
def test_a_level_outside_0_and_1_is_refused(level: float) -> None:
    with pytest.raises(EnsembleError, match=rf"level {level} is not between 0 and 1"):
        usual().predict_interval(linear_table(5), level)


def test_corrected_resampled_interval_by_hand() -> None:
    values = np.array([0.5, 0.6, 0.7, 0.4])
    mean, low, high = resampled_interval(values, 0.25)
    error = np.sqrt(values.var(ddof=1) * (1 / 4 + 0.25))
    assert mean == pytest.approx(0.55)
    assert [low, high] == pytest.approx(stats.t.interval(0.9, 3, 0.55, error))


# Quality --------------------------------------------------------------------------------------


def test_quality_stands_beside_its_baselines_and_says_that_it_is_held_out() -> None:
    table = linear_table(60).assign(flops=1.0)
    quality = fit(table, folds=5, repeats=2).quality
    names = ["ensemble", "best single proxy", "aggregate", "params", "flops"]
    assert quality["predictor"].tolist() == names
    assert (quality["judged"] == "held out: 5-fold cross-validation, 2 times").all()
    assert (quality["rows"] == 60).all()
    row = quality.set_index("predictor").loc["ensemble"]
    assert row["kendall_tau_low"] < row["kendall_tau"] < row["kendall_tau_high"]
    assert row["kendall_tau"] > quality.set_index("predictor").loc["params", "kendall_tau"]
    # A constant has no order.
    assert quality.set_index("predictor").loc["flops", "kendall_tau":"spearman_high"].isna().all()


def test_the_regret_of_a_fold_looks_at_its_first_tenth() -> None:
    table = linear_table(60, noise=0.0)
    quality = fit(table, ["alpha"], folds=3, repeats=1).quality.set_index("predictor")
    assert (quality["top_k"] == 2).all()  # folds of 20
    regrets = []
    for _, held_out in RepeatedKFold(n_splits=3, n_repeats=1, random_state=0).split(table):
        fold = table.iloc[held_out].sort_values("alpha", ascending=False)
        regrets.append(fold["val_accuracy"].max() - fold["val_accuracy"][:2].max())
    assert quality.loc["ensemble", "top_k_regret"] == pytest.approx(np.mean(regrets))
    assert quality.loc["ensemble", "top_k_regret_low"] >= 0


def test_a_fold_without_anything_to_fit_predicts_its_mean() -> None:
    table = linear_table(12).assign(alpha=0.0)
    table.loc[5, "alpha"] = 1.0  # constant in the folds that row 5 is not fitted to
    ensemble = fit(table, ["alpha"], folds=4, repeats=2)
    assert ensemble.rows == 12
    assert not ensemble.quality.empty


# Architectures that took no part ------------------------------------------------------------------


def test_unseen_architectures_judge_by_hand() -> None:
    table = linear_table(80, noise=2.0)
    twins = table[:10].assign(architecture=table["architecture"][10:20].to_numpy())
    population = pd.concat([table, twins])  # isomorphs of rows fitted to
    ensemble = fit(table[:30], judge_on=population, judge_on_name="the space", seed=3)
    rest = table[30:]
    quality = ensemble.unseen_quality.set_index("predictor")
    assert list(quality.index) == ["ensemble", "best single proxy", "aggregate", "params"]
    assert (quality["judged"] == "not fitted to: 50 architectures of the space").all()
    true = rest["val_accuracy"]
    predicted = ensemble.score(rest)
    row = quality.loc["ensemble"]
    assert row["kendall_tau"] == stats.kendalltau(predicted, true).statistic
    assert row["spearman"] == pytest.approx(stats.spearmanr(predicted, true).statistic)
    best = true[predicted.nlargest(10).index].max()
    assert (row["top_k"], row["top_k_regret"]) == (10, pytest.approx(true.max() - best))
    interval = stats.bootstrap(
        (predicted, true),
        lambda x, y: stats.kendalltau(x, y).statistic,
        n_resamples=400,
        paired=True,
        confidence_level=0.9,
        method="percentile",
        random_state=np.random.default_rng(0),
        vectorized=False,
    ).confidence_interval
    assert [row["kendall_tau_low"], row["kendall_tau_high"]] == pytest.approx(interval, abs=0.05)
    single = stats.kendalltau(rest["alpha"], true).statistic
    assert quality.loc["best single proxy", "kendall_tau"] == single
    assert ensemble.best_proxy is not None
    assert (ensemble.best_proxy.proxy, ensemble.best_proxy.sign) == ("alpha", 1.0)


def test_a_fit_worse_than_its_best_proxy_on_unseen_architectures_says_so() -> None:
    random = np.random.default_rng(1)
    table = linear_table(200, noise=0.5)
    names = [f"noise {i}" for i in range(15)]
    for name in names:
        table[name] = random.normal(size=len(table))
    ensemble = fit(table[:20], ["alpha", *names], judge_on=table)
    assert note(ensemble, "On architectures not fitted to").endswith("(alpha).")


def test_where_all_were_fitted_to_nothing_is_left_to_judge() -> None:
    table = linear_table(30)
    ensemble = fit(table, judge_on=table)
    assert ensemble.unseen_quality.empty
    assert note(ensemble, "No architectures are left") == (
        "No architectures are left beside those fitted to, to judge on."
    )
    assert fit(table).unseen_quality.empty


# Bounds -----------------------------------------------------------------------------------------


def test_predictions_of_percentages_stay_between_0_and_100() -> None:
    table = linear_table(60, noise=0.0)
    ensemble = fit(table, feature_set="standard")
    far = pd.DataFrame({"alpha": [-50.0, 40.0, 50.0], "beta": 0.0, "gamma": 0.0})
    wide = ensemble.features.model_copy(
        update={
            "proxies": tuple(
                scale.model_copy(update={"low": -99.0, "high": 99.0})
                for scale in ensemble.features.proxies
            )
        }
    )
    ensemble = ensemble.model_copy(update={"features": wide})
    assert ensemble.bounds == (0.0, 100.0)
    assert ensemble.predict(far).tolist() == [0.0, 100.0, 100.0]
    score = ensemble.score(far)
    assert score[2] > score[1] > 100
    interval = ensemble.predict_interval(far)
    assert interval.min(axis=None) == 0.0
    assert interval.max(axis=None) == 100.0
    ranked = ranking(ensemble, far)
    assert ranked["predicted_rank"].tolist() == [1, 2, 3]  # by what is beyond the bounds
    assert ranked.index.tolist() == [2, 1, 0]


def test_targets_that_are_no_percentages_have_no_bounds() -> None:
    table = linear_table(60)
    assert fit(table.assign(val_accuracy=table["val_accuracy"] - 60)).bounds is None
    assert fit(table.assign(val_accuracy=2 * table["val_accuracy"])).bounds is None


def test_quality_of_noise_is_none() -> None:
    table = linear_table(100)
    shuffled = np.random.default_rng(0).permutation(table["val_accuracy"])
    quality = fit(table.assign(val_accuracy=shuffled), feature_set="rank", folds=5).quality
    row = quality.set_index("predictor").loc["ensemble"]
    assert row["kendall_tau_low"] < 0 < row["kendall_tau_high"]


def test_the_same_seed_gives_the_same_ensemble() -> None:
    table = linear_table(30)
    assert fit(table, seed=3) == usual(seed=3) != usual()


def test_an_ensemble_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        usual().rows = 3  # type: ignore[misc]


# Rows -----------------------------------------------------------------------------------------


def test_the_pareto_front_is_fitted_when_it_is_large_enough() -> None:
    table = linear_table(27)
    ensemble = fit(table, fit_on="pareto")
    assert (ensemble.fit_on, ensemble.rows) == ("pareto", 9)
    ensemble = fit(table[:26].assign(pareto=table["pareto"] & (table.index > 0)), fit_on="pareto")
    assert (ensemble.fit_on, ensemble.rows) == ("all", 26)
    assert note(ensemble, "Pareto") == (
        "The Pareto front has 8 distinct rows, fewer than three for each of the 3 proxies: fitted "
        "on all 26 distinct rows."
    )
    ensemble = fit(table.drop(columns="pareto"), fit_on="pareto")
    assert note(ensemble, "pareto") == "The table has no column 'pareto': fitted on all rows."


def test_each_function_counts_once_and_infeasible_rows_never() -> None:
    table = linear_table(30)
    twice = pd.concat([table, table.assign(pareto=True)])
    assert fit(pd.concat([table, table])) == usual()
    assert fit(twice, fit_on="pareto").rows == 30  # a function on the front is on the front
    infeasible = table.assign(feasible=table.index > 4)
    assert fit(infeasible).rows == 25
    missing = infeasible.astype({"feasible": "boolean"})
    missing.loc[6, "feasible"] = pd.NA
    assert fit(missing).rows == 24
    assert fit(table.drop(columns=["function_key", "feasible"])).rows == 30  # by architecture


@pytest.mark.parametrize("broken", [-np.inf, None])
def test_rows_with_a_proxy_that_is_not_finite_are_left_out(broken: float | None) -> None:
    table = linear_table(30)
    table["beta"] = table["beta"].astype(object)
    table.loc[[2, 3], "beta"] = broken
    ensemble = fit(table)
    assert ensemble.rows == 28
    assert note(ensemble, "finite") == (
        "2 of 30 rows with an accuracy were left out: beta is not finite there."
    )
    predicted = ensemble.predict(table)
    assert predicted.isna().sum() == 2
    assert predicted[[2, 3]].isna().all()


def test_rows_without_an_accuracy_are_left_out() -> None:
    table = linear_table(30)
    table.loc[:4, "val_accuracy"] = np.nan
    ensemble = fit(table)
    assert (ensemble.rows, ensemble.notes) == (25, fit(table[5:]).notes)


def test_another_finite_row_of_a_function_stands_in() -> None:
    table = linear_table(30)
    broken = table[:1].assign(alpha=np.nan)
    assert fit(pd.concat([broken, table])).rows == 30


def test_the_index_of_the_table_does_not_matter() -> None:
    table = linear_table(30)
    assert fit(table.set_axis([0] * 30)) == usual()


# Sentences ------------------------------------------------------------------------------------


def test_a_good_fit_has_nothing_to_say() -> None:
    assert fit(linear_table(100), directions={"alpha": "maximize", "beta": "minimize"}).notes == []


def test_collinear_proxies_are_named_with_the_closest_pair() -> None:
    table = linear_table(50)
    table["delta"] = table["alpha"] + 0.01 * np.random.default_rng(1).normal(size=50)
    sentence = note(fit(table, [*PROXIES, "delta"]), "Collinear")
    assert "alpha (" in sentence
    assert "beta (" not in sentence
    assert "the closest pair is alpha and delta, correlation 1.00" in sentence


def test_constant_and_duplicated_columns_are_dropped_with_a_word() -> None:
    table = linear_table(50).assign(still=7.0)
    table["minus"] = -2 * table["alpha"] + 1
    ensemble = fit(table, [*PROXIES, "still", "minus"], feature_set="standard")
    assert ensemble.proxies == tuple(PROXIES)
    assert note(ensemble, "still") == "Constant over the 50 rows, and left out: still."
    assert note(ensemble, "minus") == (
        "Left out, as the same values stand in another column: minus (as alpha)."
    )
    assert ensemble.predict(table).equals(fit(table, feature_set="standard").predict(table))


def test_dropped_features_of_the_cell_are_counted() -> None:
    table = linear_table(50)
    table["architecture"] = table["architecture"].iloc[0]
    ensemble = fit(table, feature_set="standard+structure")
    assert note(ensemble, "Constant").endswith(
        f"left out: {len(FLOW_FEATURES)} features of the cell."
    )
    assert list(ensemble.weights["feature"]) == PROXIES


def test_a_weight_against_its_direction_is_named() -> None:
    table = linear_table(100)
    ensemble = fit(table, directions={"alpha": "minimize"})
    assert "alpha (minimize): beside the other features" in note(ensemble, "directions of")
    unsettled = fit(table, directions={"gamma": "maximize"})
    if unsettled.weights.set_index("feature").loc["gamma", "weight"] > 0:
        unsettled = fit(table, directions={"gamma": "minimize"})
    assert "the 90 % interval includes 0, so that even the sign is open" in note(
        unsettled, "directions of gamma"
    )
    ranked = fit(table, directions={"alpha": "minimize"}, feature_set="rank")
    assert "alpha (minimize): beside the other features" in note(ranked, "directions of")


def test_a_fit_worse_than_its_best_proxy_says_so() -> None:
    random = np.random.default_rng(0)
    names = [f"noise {i}" for i in range(12)]
    table = linear_table(18, noise=0.0)
    for name in names:
        table[name] = random.normal(size=18)
    table["val_accuracy"] = np.exp(table["alpha"] * 3)
    sentence = note(fit(table, ["alpha", *names]), "below that of the best single proxy")
    assert sentence.endswith("1.000 (alpha on all rows): rank by that proxy instead.")


def test_a_fit_worse_than_what_saw_no_accuracy_says_so() -> None:
    table = linear_table(40, noise=0.0).drop(columns=["params", "flops"], errors="ignore")
    known = aggregate(table, [name for name in DEFAULT_AGGREGATE if name != "meco"])
    random = np.random.default_rng(0)
    table = table.assign(val_accuracy=80 + 5 * known, gamma=random.normal(size=40))
    ensemble = fit(table, ["gamma"])
    assert "orders better, 1.000 against" in note(ensemble, "the aggregate, which saw no accuracy")
    agreeing = table.assign(gamma=known)
    assert not any("saw no accuracy" in text for text in fit(agreeing, ["gamma"]).notes)


def test_few_rows_are_said_to_be_few() -> None:
    assert note(usual(8), "fewer than") == ("8 rows for 3 features, fewer than three for each.")
    assert "cross-validated in 2 folds, not 5" in note(fit(linear_table(8), folds=5), "folds")
    ensemble = usual(4)
    assert "4 rows for 3 features and an intercept" in note(ensemble, "intercept")
    assert "4 rows are too few to hold any out" in note(ensemble, "hold")
    assert ensemble.quality.empty
    assert not ensemble.residuals_held_out
    assert ensemble.predict_interval(linear_table(3)).notna().all().tolist() == [True, False, False]
    assert np.isfinite(ensemble.weights["standard_error"]).all()


def test_two_rows_can_be_fitted() -> None:
    table = linear_table(2)
    assert np.isfinite(fit(table).predict(table)).all()


# Refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t[:1], r"at least 2 distinct feasible .* the table's 1 rows hold 1"),
        (lambda t: t[:0], r"the table's 0 rows hold 0"),
        (lambda t: t.assign(feasible=False), r"the table's 30 rows hold 0"),
        (lambda t: t.assign(alpha=np.nan), r"finite proxies \(alpha, beta, gamma\).* hold 0"),
        (lambda t: t.assign(function_key="one"), r"the table's 30 rows hold 1"),
        (lambda t: t.assign(val_accuracy=90.0), r"all 30 .* the same val_accuracy, 90"),
        (
            lambda t: t.rename(columns={"beta": "bta"}),
            r"column 'beta'; did you mean 'bta'\?",
        ),
        (lambda t: t.drop(columns="val_accuracy"), r"unknown column 'val_accuracy'"),
        (lambda t: t.assign(beta="high"), r"column 'beta' does not hold numbers"),
        (lambda t: t.assign(alpha=1, beta=2, gamma=3), r"alpha, beta, gamma is constant over"),
        (
            lambda t: t.drop(columns=["function_key", "architecture"]),
            r"unknown column 'architecture'",
        ),
    ],
)
def test_a_table_that_cannot_be_fitted_is_refused(change: Any, message: str) -> None:
    with pytest.raises(EnsembleError, match=message):
        fit(change(linear_table(30)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "liner"}, r"unknown model 'liner'; did you mean 'linear'\? .*module:Class"),
        ({"model": "sklearn.nothing:Here"}, r"cannot import 'sklearn.nothing'"),
        ({"model": "sklearn.svm:SVC"}, r"'sklearn.svm:SVC' cannot be made: it is no sci"),
        ({"model": "collections:namedtuple"}, r"model 'collections:namedtuple' cannot be made"),
        ({"model": ":x"}, r"unknown model ':x'"),
        ({"feature_set": "standart"}, r"unknown feature set 'standart'; did you mean 'standard'"),
        ({"feature_set": "rank+structur"}, r"did you mean 'rank\+structure'"),
        ({"fit_on": "parto"}, r"unknown fit_on 'parto'; did you mean 'pareto'\?"),
        ({"folds": 1}, r"folds: 1 is given; allowed are 2 and more"),
        ({"repeats": 0}, r"repeats: 0 is given; allowed are 1 and more"),
        ({"n_bootstrap": 1}, r"n_bootstrap: 1 is given; allowed are 2 and more"),
        ({"directions": {"alpha": "up"}}, r"alpha: unknown direction 'up'"),
        ({"proxies": []}, r"at least one proxy, got none"),
        ({"proxies": ["alpha", "beta", "alpha"]}, r"proxies: alpha named twice"),
        ({"metadata": {"a": float("nan")}}, r"metadata holds what no file can keep"),
        ({"metadata": {"a": object()}}, r"metadata holds what no file can keep"),
        ({"metadata": {"a": {"b": [1, None]}}}, r"no file can keep: a list with None in it"),
        ({"metadata": {"a": "\ud800"}}, r"metadata holds what no file can keep"),
    ],
)
def test_a_wrong_argument_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(EnsembleError, match=message):
        fit(linear_table(30), **options)


@pytest.mark.parametrize("column", ["alpha", "gamma"])
def test_applying_without_a_proxy_is_refused(column: str) -> None:
    table = linear_table(30)
    with pytest.raises(EnsembleError, match=f"unknown column .{column}."):
        usual().predict(table.drop(columns=column))


def test_cell_features_need_the_architecture() -> None:
    table = linear_table(30)
    with pytest.raises(EnsembleError, match="unknown column 'architecture'"):
        usual(feature_set="rank+structure").predict(table.drop(columns="architecture"))


def applicable(ensemble: Ensemble, definitions: dict[str, str] | None) -> list[str]:
    scores = Provenance("it", {}, definitions)
    return check_applicable(ensemble, "nasbench201", [*PROXIES], scores, "it")


def test_a_proxy_of_another_definition_is_refused() -> None:
    definitions = {name: f"{name}, version 1" for name in PROXIES}
    ensemble = fit(linear_table(30), metadata={"definitions": definitions})
    assert applicable(ensemble, {**definitions, "other": "2"}) == []
    with pytest.raises(EnsembleError, match="'beta' is not the one") as refused:
        applicable(ensemble, {**definitions, "beta": "beta, version 2"})
    assert refused.value.key == "beta"
    assert refused.value.given == "beta, version 2"
    assert refused.value.allowed == ("beta, version 1",)
    text = "not say how beta is defined, so it could not be checked that the proxies mean the same"
    del definitions["beta"]
    assert f"The scores do {text}" in applicable(ensemble, definitions)[0]
    assert applicable(ensemble, None)[0].startswith("The scores do not say how alpha, beta,")
    silent = usual()
    assert applicable(silent, definitions)[0].startswith("The ensemble does not say how")


def test_a_missing_proxy_is_refused_with_the_nearest_name() -> None:
    ensemble, scores = usual(), Provenance("it", {})
    with pytest.raises(EnsembleError, match="it lacks beta") as refused:
        check_applicable(ensemble, "nasbench201", ["alpha", "gamma", "bta"], scores, "it")
    assert (refused.value.given, refused.value.hint) == ("beta", "bta")


def test_structure_is_of_cells_alone() -> None:
    ensemble = usual(feature_set="rank+structure")
    with pytest.raises(EnsembleError, match=r"without \+structure") as refused:
        check_applicable(ensemble, "nats_sss", PROXIES, Provenance("it", {}), "it")
    assert refused.value.key == "space.name"


def test_an_option_in_a_proxys_name_never_changes_its_direction() -> None:
    for cost in ("params", "flops", "latency", "latency[images=1]"):  # no proxy to be minimised
        assert accuracy_directions({cost: "minimize"}) == {}
    for name in ("jacov", "jacov[mode=eval]"):
        assert accuracy_directions({name: ""}) == {name: "maximize"}
    mine = {"mine": "minimize", "mine[depth=2]": "minimize"}
    assert accuracy_directions(mine) == mine


def test_rows_that_were_fitted_to_are_known_by_function() -> None:
    table = linear_table(30)
    cells = [Architecture.from_string(text) for text in table["architecture"]]
    table["function_key"] = [cell.function_key for cell in cells]
    table = table.drop_duplicates("function_key")
    fitted, others = table[:10], table[10:]
    ensemble = fit(fitted)
    assert ensemble.fitted_to == tuple(
        sorted(Architecture.from_string(text).index for text in fitted["architecture"])
    )
    expected = [True] * len(fitted) + [False] * len(others)
    assert ensemble.in_sample(table).tolist() == expected
    assert ensemble.in_sample(table.drop(columns="architecture")).tolist() == expected
    # Of another space the functions are known.
    for other in (fitted.drop(columns="architecture"), fitted.assign(architecture="of another")):
        ensemble = fit(other)
        assert ensemble.fitted_to == tuple(sorted(fitted["function_key"]))
        assert ensemble.in_sample(table.drop(columns="architecture")).tolist() == expected


# Held out -------------------------------------------------------------------------------------


def test_held_out_predictions_are_those_of_the_first_repeat() -> None:
    table = linear_table(40).set_index(pd.RangeIndex(100, 140))
    ensemble = fit(
        table, model="ridge", folds=4, repeats=3, seed=5, directions={"beta": "minimize"}
    )
    found = held_out_predictions(ensemble, table)
    assert (found["how"] == "cross-validated").all()
    assert found.index.equals(table.index)
    for train, test in RepeatedKFold(n_splits=4, n_repeats=1, random_state=5).split(table):
        expected = fit_pipeline(table.iloc[train], PROXIES, model="ridge").predict(table.iloc[test])
        np.testing.assert_array_equal(found["predicted"].iloc[test], expected)
    assert (found["low"] < found["predicted"]).all()
    assert (found["predicted"] < found["high"]).all()
    inside = found["true"].between(found["low"], found["high"])
    assert inside.mean() == pytest.approx(0.9, abs=0.08)


def test_held_out_predictions_are_the_same_after_a_file() -> None:
    """Nothing but the file and the table is needed: directions and seeds are in it."""
    table = linear_table(60, noise=3.0)
    table["still"] = 1.0
    table.loc[3, "still"] = np.nan  # a proxy that is left out says still which rows were fitted
    proxies = [*PROXIES, "still"]
    for feature_set, model, fit_on in (
        ("rank+structure+aggregate", "gap", "all"),
        ("standard", "linear", "pareto"),
    ):
        directions = {"alpha": "minimize", "beta": "minimize"}
        options = {"feature_set": feature_set, "model": model, "directions": directions, "seed": 4}
        ensemble = fit(table, proxies, **options, fit_on=fit_on)
        loaded = Ensemble.from_dict(ensemble.to_dict())
        assert loaded.cross_validated is None
        expected = held_out_predictions(ensemble, table)
        pd.testing.assert_frame_equal(held_out_predictions(loaded, table), expected)


def test_a_repeated_trial_counts_once_among_the_held_out() -> None:
    table = linear_table(40).assign(number=range(40))
    trials = pd.concat([table, table[30:], table[30:]], ignore_index=True)
    trials["pareto"] = trials.index < 20
    ensemble = fit(trials, fit_on="pareto")
    found = held_out_predictions(ensemble, trials)
    assert found["how"].value_counts().to_dict() == {"cross-validated": 20, "not fitted to": 20}
    assert list(found) == [
        *("number", "architecture", "function_key"),
        *("true", "predicted", "low", "high", "how"),
    ]
    others = found[20:]
    pd.testing.assert_series_equal(
        others["predicted"], ensemble.predict(trials[20:40]), check_names=False
    )


def test_where_nothing_can_be_held_out_it_is_said() -> None:
    table = linear_table(4)
    with pytest.raises(EnsembleError, match="fitted to all 4 architectures"):
        held_out_predictions(usual(4), table)


def test_a_spec_is_the_same_as_its_settings() -> None:
    table = linear_table(30)
    spec = EnsembleSpec(tuple(PROXIES), model="ridge", fit_on="all", folds=2, repeats=1)
    assert fit_ensemble(table, spec) == fit(table, model="ridge", n_bootstrap=200)
    with pytest.raises(TypeError, match="model"):
        fit_ensemble(table, spec, model="gap")


@pytest.mark.parametrize(
    ("settings", "hint"),
    [
        ({"model": "nonnegative"}, "ridge"),
        ({"model": "rank"}, "gap"),
        ({"feature_set": "raw"}, "standard"),
        ({"feature_set": "spline+aggregate"}, "rank"),
        ({"feature_set": "rank+cell"}, "structure"),
        ({"feature_set": "rank+flow+aggregate"}, "structure"),
    ],
)
def test_what_is_retired_says_what_replaces_it(settings: dict[str, str], hint: str) -> None:
    with pytest.raises(EnsembleError) as refused:
        EnsembleSpec(tuple(PROXIES), **settings)  # type: ignore[arg-type]
    assert refused.value.given in settings.values()
    assert refused.value.hint == hint
    assert refused.value.allowed
