"""Judging: nothing is judged on what it was fitted to, and baselines stand beside it."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from ensemble_tables import WEIGHTS, linear_table
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from zc_search.ensemble import (
    DEFAULT_AGGREGATE,
    EnsembleSpec,
    aggregate,
    aggregate_ranking,
    fit_ensemble,
    fit_pipeline,
    learning_curve,
    ranking,
)
from zc_search.ensemble.curve import compare_pareto, judge_split, summarise
from zc_search.ensemble.validation import SingleProxy, best_single_proxy
from zc_search.errors import EnsembleError

PROXIES = list(WEIGHTS)
SPEC = EnsembleSpec(tuple(PROXIES))


def judge(table: pd.DataFrame, size: int, n_draws: int, seed: int = 0) -> pd.DataFrame:
    curve = learning_curve(table, PROXIES, [size], n_draws, seed=seed)
    return curve.drop(columns=["model", "feature_set", "size"])


# Aggregate ------------------------------------------------------------------------------------


def test_aggregate_by_hand() -> None:
    table = pd.DataFrame(
        {"a": [1.0, 2.0, 3.0, 4.0], "b": [5.0, 5.0, np.nan, 0.0]}, index=list("wxyz")
    )
    scores = aggregate(table, ["a", "b"], {"b": "minimize"})
    a = np.log(np.array([1, 2, 3, 4]) / 4)
    # b: the missing one is worst; of the others 0 is best, and 5 and 5 share ranks 2 and 3.
    b = np.log(np.array([2.5, 2.5, 1, 4]) / 4)
    np.testing.assert_allclose(scores, (a + b) / 2)
    assert list(scores.index) == list("wxyz")


@given(st.lists(st.floats(allow_nan=True), min_size=1, max_size=20), st.booleans())
def test_aggregate_of_one_proxy_is_its_order(values: list[float], minimize: bool) -> None:
    table = pd.DataFrame({"a": values})
    scores = aggregate(table, ["a"], {"a": "minimize"} if minimize else None).to_numpy()
    known = np.isfinite(values)
    assert (scores <= 0).all()
    assert (scores[~known] == np.log(1 / len(values))).all()
    signed = np.array(values)[known] * (-1 if minimize else 1)
    expected = stats.rankdata(signed) + (~known).sum()
    np.testing.assert_allclose(np.exp(scores[known]) * len(values), expected)


def test_aggregate_beats_its_parts_when_their_errors_are_independent() -> None:
    random = np.random.default_rng(0)
    truth = random.normal(size=500)
    table = pd.DataFrame({name: truth + random.normal(size=500) for name in "abcd"})
    tau = stats.kendalltau(aggregate(table, list("abcd")), truth).statistic
    assert tau > 0.1 + max(stats.kendalltau(table[name], truth).statistic for name in "abcd")


def test_aggregate_refuses_what_it_cannot_rank() -> None:
    table = linear_table(5)
    with pytest.raises(EnsembleError, match="at least one proxy, got none"):
        aggregate(table, [])
    with pytest.raises(EnsembleError, match="unknown column 'alfa'; did you mean 'alpha'"):
        aggregate(table, ["alfa"])
    with pytest.raises(EnsembleError, match=r"unknown direction 'max'.*maximize, minimize"):
        aggregate(table, ["alpha"], {"alpha": "max"})


def test_best_single_proxy_comes_with_its_sign() -> None:
    table = pd.DataFrame({"a": [1, 2, 4, 3], "b": [9, 7, 5, 1], "still": 0, "acc": [1, 2, 3, 4]})
    assert best_single_proxy(table, ["still", "a", "b"], "acc") == SingleProxy(proxy="b", sign=-1)
    assert best_single_proxy(table, ["still", "a"], "acc") == SingleProxy(proxy="a", sign=1)


# Draws ----------------------------------------------------------------------------------------


def repeated(rows: int = 60) -> pd.DataFrame:
    """Return a table in which each function has three architectures with one accuracy."""
    table = linear_table(3 * rows)
    return table.assign(
        function_key=[f"function {row % rows}" for row in range(3 * rows)],
        val_accuracy=np.tile(table["val_accuracy"][:rows], 3),
        **{name: np.tile(table[name][:rows], 3) for name in WEIGHTS},
    )


def test_no_isomorph_of_a_training_architecture_is_judged() -> None:
    judged = judge(repeated(60), 20, 3)
    assert set(judged["fitted"]) == {20}
    assert set(judged["judged"]) == {3 * 40}


def test_an_architecture_that_is_there_often_judges_once() -> None:
    table = linear_table(60, noise=3.0)
    rows, rest = table[:20], table[20:]
    again = pd.concat([table, rest, rest[:9]], ignore_index=True)
    once = judge_split(rows, rest, table, [SPEC])
    often = judge_split(rows, again[20:], again, [SPEC])
    pd.testing.assert_frame_equal(once, often)
    assert set(once["judged"]) == {40}


def test_models_named_twice_are_fitted_once() -> None:
    options: dict[str, Any] = {"models": ["gap", "linear", "gap"], "feature_sets": ["rank"] * 2}
    found = learning_curve(linear_table(60), PROXIES, [20], 1, **options)
    assert found["model"].dropna().tolist() == ["gap", "linear"]


def test_figures_of_a_split_by_hand() -> None:
    table = linear_table(80, noise=3.0)
    rows, rest = table[:30], table[30:]
    found = judge_split(rows, rest, table, [SPEC]).set_index("predictor")
    true = rest["val_accuracy"].to_numpy()
    predicted = fit_pipeline(rows, PROXIES).predict(rest)
    best = np.argsort(-predicted)[:10]
    assert found.loc["ensemble", "kendall_tau"] == stats.kendalltau(predicted, true).statistic
    assert found.loc["ensemble", "spearman"] == stats.spearmanr(predicted, true).statistic
    assert found.loc["ensemble", "top_k_regret"] == pytest.approx(true.max() - true[best].max())
    single = stats.kendalltau(rest["alpha"], true).statistic
    assert found.loc["best single proxy", "kendall_tau"] == single
    of_all = aggregate(table, [n for n in DEFAULT_AGGREGATE if n != "meco"])[30:]
    assert found.loc["aggregate", "kendall_tau"] == stats.kendalltau(of_all, true).statistic
    assert found.loc["params", "kendall_tau"] == stats.kendalltau(rest["params"], true).statistic


def test_only_usable_rows_take_part() -> None:
    table = linear_table(60)
    table.loc[:9, "alpha"] = np.nan
    table.loc[10:14, "val_accuracy"] = np.nan
    table["feasible"] = table.index < 55
    judged = judge(table, 20, 2)
    assert set(judged["judged"]) == {60 - 10 - 5 - 5 - 20}


def test_a_learning_curve_rises_towards_the_truth() -> None:
    table = linear_table(400, noise=1.0)
    curve = learning_curve(table, PROXIES, [5, 150], 5, models=["linear", "gap"])
    columns = ["model", "feature_set", "size", "draw", "predictor", "fitted", "judged"]
    assert list(curve) == [*columns, "kendall_tau", "spearman", "ndcg", "top_k_regret"]
    assert len(curve) == 2 * 5 * (2 + 3)  # two models, and three baselines once
    means = summarise(curve[curve["model"] == "linear"]).set_index("size")
    assert (means["draws"] == 5).all()
    assert means.loc[150, "kendall_tau"] > means.loc[5, "kendall_tau"] + 0.05
    assert means.loc[150, "kendall_tau_low"] < means.loc[150, "kendall_tau"]
    single = summarise(curve[curve["predictor"] == "best single proxy"]).set_index("size")
    assert means.loc[150, "kendall_tau"] > single.loc[150, "kendall_tau"]


def test_the_same_draws_for_every_model_and_any_number_of_processes() -> None:
    table = linear_table(60)
    options: dict[str, Any] = {
        "models": ["linear", "ridge"],
        "feature_sets": ["standard", "rank+structure"],
    }
    curve = learning_curve(table, PROXIES, [10, 20], 2, **options)
    pd.testing.assert_frame_equal(
        curve, learning_curve(table, PROXIES, [10, 20], 2, n_jobs=2, **options)
    )
    alone = learning_curve(
        table, PROXIES, [20], 2, models=["ridge"], feature_sets=["rank+structure"]
    )
    part = curve[(curve["size"] == 20) & (curve["model"] == "ridge")]
    part = part[part["feature_set"] == "rank+structure"]
    other = alone[alone["model"] == "ridge"]
    assert part["kendall_tau"].tolist() == other["kendall_tau"].tolist()
    assert judge(table, 10, 2, seed=1)["spearman"].tolist() != (
        judge(table, 10, 2, seed=2)["spearman"].tolist()
    )


def test_means_over_draws_have_students_interval() -> None:
    judged = judge(linear_table(60), 10, 4)
    mean = summarise(judged).set_index("predictor").loc["ensemble"]
    values = judged[judged["predictor"] == "ensemble"]["kendall_tau"]
    low, high = stats.t.interval(0.9, 3, values.mean(), stats.sem(values))
    assert (mean["kendall_tau_low"], mean["kendall_tau_high"]) == pytest.approx((low, high))
    single = summarise(judge(linear_table(60), 10, 1))
    assert single["kendall_tau_low"].isna().all()
    assert single["kendall_tau"].notna().all()


@pytest.mark.parametrize("size", [1, 60, 61])
def test_a_draw_that_leaves_nothing_to_judge_is_refused(size: int) -> None:
    message = rf"size: {size} is given; allowed are 2 to 59, because one at least of the 60 usable"
    with pytest.raises(EnsembleError, match=message):
        judge(repeated(60), size, 1)


def test_draws_below_one_are_refused() -> None:
    with pytest.raises(EnsembleError, match="n_draws: 0 is given; allowed are 1 and more"):
        judge(linear_table(20), 5, 0)


# Pareto ---------------------------------------------------------------------------------------


def test_a_front_is_compared_with_as_many_random_rows() -> None:
    table = linear_table(200, noise=0.5)
    best = table["alpha"].rank() > 170
    trials = table.assign(pareto=best)
    found = compare_pareto(trials, table, SPEC, 4)
    assert set(found["fitted"]) == {30}
    counts = found[found["predictor"] == "ensemble"]["fit_on"].value_counts()
    assert counts.to_dict() == {"pareto": 4, "random": 4}
    both = found[found["draw"] == 0].groupby("fit_on")["judged"].unique().map(list)
    assert both["pareto"] == both["random"]  # judged on the same rows
    assert both["pareto"][0] < 200 - 30
    means = summarise(found).set_index(["fit_on", "predictor"])["kendall_tau"]
    assert means["random", "ensemble"] > means["pareto", "ensemble"]  # a narrow range misleads
    with pytest.raises(EnsembleError, match="front has 0 usable rows; 2 are needed"):
        compare_pareto(trials.assign(pareto=False), table, SPEC)


def test_a_front_that_leaves_nothing_to_judge_is_refused() -> None:
    table = linear_table(20).assign(pareto=True)
    with pytest.raises(EnsembleError, match="as many random ones leave 0 of 20 to judge on"):
        compare_pareto(table, table, SPEC, 1)


@pytest.mark.parametrize("broken", ["alpha", "val_accuracy"])
def test_a_table_without_a_usable_row_names_what_is_broken(broken: str) -> None:
    table = linear_table(20).assign(**{broken: np.nan})
    with pytest.raises(EnsembleError, match=f"none of the 20 feasible .*; {broken} is finite in"):
        learning_curve(table, PROXIES, [5], 1)


def test_a_curve_tells_how_far_it_is() -> None:
    told: list[tuple[int, int]] = []
    learning_curve(
        linear_table(30), PROXIES, [5, 10], 2, on_progress=lambda *step: told.append(step)
    )
    assert told == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]


# Ranking --------------------------------------------------------------------------------------


def test_ranking_puts_prediction_beside_truth() -> None:
    table = linear_table(40)
    ensemble = fit_ensemble(table, PROXIES, fit_on="all", repeats=1, n_bootstrap=10)
    table = pd.concat([table, table[:3]], ignore_index=True)  # repeats of an architecture
    table.loc[4, "alpha"] = np.nan
    table.loc[5, "val_accuracy"] = np.nan
    table.loc[6, "feasible"] = False
    ranked = ranking(ensemble, table)
    assert list(ranked) == [
        "architecture",
        "prediction",
        "low",
        "high",
        "val_accuracy",
        "predicted_rank",
        "true_rank",
        "in_sample",
    ]
    assert len(ranked) == 39
    assert 6 not in ranked.index
    assert ranked.index[-1] == 4
    assert ranked.loc[4, ["prediction", "predicted_rank"]].isna().all()
    assert pd.isna(ranked.loc[5, "true_rank"])
    assert ranked["predicted_rank"].tolist()[:-1] == list(range(1, 39))
    best = ranked[ranked["true_rank"] == 1].index[0]
    assert best == table.drop(index=6)["val_accuracy"].idxmax()
    pd.testing.assert_series_equal(
        ranked["prediction"].sort_index(),
        ensemble.predict(table.drop(index=[6, 40, 41, 42])),
        check_names=False,
    )


def test_the_accuracy_free_ranking_by_hand() -> None:
    table = pd.DataFrame(
        {
            "architecture": ["a", "b", "c", "a", "d"],
            "up": [1.0, 2.0, 3.0, 1.0, 9.0],
            "down": [3.0, 1.0, 2.0, 3.0, 0.0],
            "feasible": [True, True, True, True, False],
        }
    )
    ranked = aggregate_ranking(table, ["up", "down"], {"down": "minimize"})
    assert list(ranked) == ["architecture", "aggregate", "predicted_rank"]
    assert ranked["architecture"].tolist() == ["b", "c", "a"]
    expected = [np.log(2 / 3) / 2, np.log(2 / 3) / 2, np.log(1 / 3)]
    assert ranked["aggregate"].tolist() == pytest.approx(expected)
    assert ranked["predicted_rank"].tolist() == [1, 1, 3]


def test_ranking_needs_no_truth() -> None:
    table = linear_table(20)
    ensemble = fit_ensemble(table, PROXIES, repeats=1, n_bootstrap=10)
    ranked = ranking(ensemble, table[PROXIES])
    assert list(ranked) == ["prediction", "low", "high", "predicted_rank"]
