"""Correlations, top-k choices and intervals, against SciPy, enumeration and cases by hand."""

import math
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise, permutations

import joblib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import ndcg_score

from zc_search.errors import EvaluationError, ZcSearchError
from zc_search.evaluation import (
    BASELINES,
    SUBSETS,
    best_of_top_k,
    best_so_far,
    bootstrap_interval,
    evaluate,
    finite_pairs,
    kendall_tau,
    ndcg,
    pearson,
    precision_at_top,
    self_agreement,
    spearman,
    statistics,
    top_k_regret,
)

CORRELATIONS = [
    (kendall_tau, stats.kendalltau),
    (spearman, stats.spearmanr),
    (pearson, stats.pearsonr),
]
STATISTICS = [
    "kendall_tau",
    "spearman",
    "pearson",
    "ndcg",
    "precision_top_10pct",
    "precision_top_64",
    "best_of_top_1",
    "best_of_top_10",
    "regret_top_10",
]
nan, inf = float("nan"), float("inf")


def sample(n: int, seed: int = 0, ties: bool = False) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.normal(size=n)
    x = y + rng.normal(size=n)
    return (np.round(2 * x), np.round(4 * y)) if ties else (x, y)


def pairs(few: int, many: int) -> st.SearchStrategy[tuple[list[int], list[int]]]:
    """Two lists of one length with plenty of ties."""
    values = st.integers(-3, 3)
    return st.integers(few, many).flatmap(
        lambda n: st.tuples(
            st.lists(values, min_size=n, max_size=n), st.lists(values, min_size=n, max_size=n)
        )
    )


# Correlations ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("ours", "scipys"), CORRELATIONS)
@pytest.mark.parametrize("ties", [False, True])
def test_correlations_equal_scipy(ours: Callable, scipys: Callable, ties: bool) -> None:
    x, y = sample(60, ties=ties)
    expected = scipys(x, y).statistic
    assert ours(x, y) == pytest.approx(expected, rel=1e-14)
    gaps = np.array([nan, inf, -inf])
    assert ours(np.r_[x, gaps, 1], np.r_[y, 1, 2, 3, nan]) == pytest.approx(expected, rel=1e-14)
    assert ours(list(x), pd.Series(y)) == pytest.approx(expected, rel=1e-14)


def test_kendalls_tau_by_hand() -> None:
    # 6 pairs: 5 concordant, 1 tied in x: 5 / sqrt(5 * 6)
    assert kendall_tau([1, 2, 2, 3], [1, 3, 2, 4]) == pytest.approx(5 / math.sqrt(30))
    assert kendall_tau([1, 2, 3, 4], [4, 3, 2, 1]) == -1


@pytest.mark.parametrize("correlation", [kendall_tau, spearman, pearson])
def test_nothing_to_correlate_is_nan_without_a_warning(correlation: Callable) -> None:
    assert math.isnan(correlation([1, 2], [1, 2]))
    assert math.isnan(correlation([], []))
    assert math.isnan(correlation([1, 2, 3, nan], [1, 2, inf, 4]))
    assert math.isnan(correlation([0.1, 0.1, 0.1], [1, 2, 3]))
    assert math.isnan(correlation([1, 2, 3], [5, 5, 5]))
    assert abs(correlation([1, 1 + 1e-15, 1 - 1e-15], [1, 2, 3])) <= 1


@given(pairs(3, 12))
def test_correlations_are_symmetric_and_flip_with_the_sign(data: tuple[list, list]) -> None:
    x, y = np.array(data[0], float), np.array(data[1], float)
    for measure in (kendall_tau, spearman, pearson):
        value = measure(x, y)
        assert measure(y, x) == pytest.approx(value, nan_ok=True)
        assert measure(-x, y) == pytest.approx(-value, nan_ok=True)
        assert math.isnan(value) or -1 <= value <= 1 + 1e-12


@given(pairs(4, 12))
def test_orders_do_not_change_under_monotone_transforms(data: tuple[list, list]) -> None:
    x, y = np.array(data[0], float), np.array(data[1], float)
    for measure in (
        kendall_tau,
        spearman,
        partial(precision_at_top, k=2),
        partial(best_of_top_k, k=2),
    ):
        expected = measure(x, y)
        for transformed in (np.exp(x), x**3 - 7, 1e300 * x):
            assert measure(transformed, y) == pytest.approx(expected, nan_ok=True)


def test_finite_pairs_counts_what_it_drops() -> None:
    x, y, dropped = finite_pairs([1, nan, 3, -inf, 5], [1, 2, inf, 4, 5])
    assert (x.tolist(), y.tolist(), dropped) == ([1, 5], [1, 5], 3)


@pytest.mark.parametrize("function", [kendall_tau, finite_pairs, partial(best_of_top_k, k=1)])
def test_pairs_must_match(function: Callable) -> None:
    with pytest.raises(EvaluationError, match=r"one length, got shapes \(3,\) and \(2,\)"):
        function([1, 2, 3], [1, 2])
    with pytest.raises(ZcSearchError, match=r"flat sequences .* got shapes \(1, 2\) and \(1, 2\)"):
        function([[1, 2]], [[1, 2]])


# Top-k choices --------------------------------------------------------------------------------


def test_top_k_by_hand() -> None:
    scores = [9, 8, 7, 6, nan, 4]
    accuracy = [70, 90, 60, 80, 99, 50]
    assert precision_at_top(scores, accuracy, k=2) == 0.5  # chosen 70 and 90, best 90 and 80
    assert precision_at_top(scores, accuracy, fraction=0.4) == 0.5  # two of the five pairs
    assert precision_at_top(scores, accuracy, fraction=0.01) == 0  # at least one
    assert best_of_top_k(scores, accuracy, 1) == 70
    assert best_of_top_k(scores, accuracy, 3) == 90
    assert top_k_regret(scores, accuracy, 1) == 20
    assert top_k_regret(scores, accuracy, 2) == 0


def test_ties_in_the_score_count_as_chance() -> None:
    accuracy = [50, 60, 70, 80]
    assert precision_at_top([1, 1, 1, 1], accuracy, k=1) == 0.25
    assert best_of_top_k([1, 1, 1, 1], accuracy, 1) == 65
    assert best_of_top_k([1, 2, 2, 0], accuracy, 1) == 65
    assert best_of_top_k([1, 1, 1, 1], accuracy, 2) == pytest.approx((3 * 80 + 2 * 70 + 60) / 6)
    assert top_k_regret([1, 1, 1, 1], accuracy, 1) == 15


def test_ties_in_the_accuracy_all_count_as_best() -> None:
    assert precision_at_top([1, 2, 3, 0], [80, 80, 70, 60], k=2) == 0.5
    assert precision_at_top([3, 0, 2, 1], [80, 80, 80, 60], k=2) == 1


@given(pairs(2, 6), st.integers(1, 5))
def test_top_k_is_the_mean_over_all_orders_of_the_tied(data: tuple[list, list], k: int) -> None:
    x, y = data
    n = len(x)
    chosen = [
        [y[i] for i in order[:k]]
        for order in permutations(range(n))
        if all(x[a] >= x[b] for a, b in pairwise(order))
    ]
    if k <= n:
        expected = np.mean([max(accuracies) for accuracies in chosen])
        assert best_of_top_k(x, y, k) == pytest.approx(expected)
        assert top_k_regret(x, y, k) == pytest.approx(max(y) - expected)
    if k < n:
        kth = sorted(y)[-k]
        expected = np.mean([np.mean(np.array(accuracies) >= kth) for accuracies in chosen])
        assert precision_at_top(x, y, k=k) == pytest.approx(expected)


def test_too_few_to_choose_from_is_nan() -> None:
    assert math.isnan(precision_at_top([1, 2], [1, 2], k=2))
    assert math.isnan(best_of_top_k([1, 2, nan], [1, 2, 3], 3))
    assert math.isnan(top_k_regret([1], [1], 2))
    assert math.isnan(best_of_top_k([], [], 1))
    assert math.isnan(precision_at_top([nan], [1], fraction=0.5))


def test_choices_out_of_range_are_refused() -> None:
    x, y = [1, 2, 3], [1, 2, 3]
    with pytest.raises(EvaluationError, match="give either k or fraction, got k=1 and fraction=0"):
        precision_at_top(x, y, k=1, fraction=0.1)
    with pytest.raises(EvaluationError, match="got k=None and fraction=None"):
        precision_at_top(x, y)
    for fraction in (0, 1, -0.1, 10):
        with pytest.raises(EvaluationError, match=f"fraction={fraction} must be above 0"):
            precision_at_top(x, y, fraction=fraction)
    for function in (partial(precision_at_top, k=0), partial(best_of_top_k, k=0)):
        with pytest.raises(EvaluationError, match="k=0 must be at least 1"):
            function(x, y)
    with pytest.raises(EvaluationError, match="k=-1 must be at least 1"):
        top_k_regret(x, y, -1)


def test_ndcg_by_hand() -> None:
    # Gains 7, 3, 1 of 3, 2, 1 percent at the discounts 1, 1 / log2(3), 1/2.
    best = 7 + 3 / math.log2(3) + 1 / 2
    assert ndcg([3, 2, 1], [3, 2, 1]) == 1
    assert ndcg([1, 2, 3], [3, 2, 1]) == pytest.approx((1 + 3 / math.log2(3) + 7 / 2) / best)
    assert ndcg([1, 2, 3], [3, 2, 1], k=1) == pytest.approx(1 / 7)
    tied = 11 / 3 * (1 + 1 / math.log2(3) + 1 / 2)
    assert ndcg([0, 0, 0], [3, 2, 1]) == pytest.approx(tied / best)
    assert math.isnan(ndcg([1, 2], [1, 2]))
    assert math.isnan(ndcg([1, 2, 3], [0, 0, 0]))


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("k", [1, 10, 60, 1000])
def test_ndcg_equals_scikit_learns_of_the_gains(k: int, ties: bool) -> None:
    x, y = sample(60, seed=k, ties=ties)
    y = 40 + y
    expected = ndcg_score([2**y - 1], [x], k=k)
    assert ndcg(x, y, k) == pytest.approx(expected, rel=1e-12)
    # One percent of 5,000 halves the gain as well, which no number would hold.
    assert ndcg(x, y + 5000, k) == pytest.approx(expected, rel=1e-9)


# Bootstrap ------------------------------------------------------------------------------------


@pytest.mark.parametrize("ours", [kendall_tau, spearman, pearson, ndcg])
@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("n", [3, 5, 80])
def test_many_resamples_at_once_equal_one_by_one(ours: Callable, ties: bool, n: int) -> None:
    x, y = sample(n, seed=n, ties=ties)
    slow = bootstrap_interval(lambda x, y: ours(x, y), x, y, n=150)
    assert bootstrap_interval(ours, x, y, n=150) == pytest.approx(slow, abs=1e-12, nan_ok=True)


@pytest.mark.parametrize("ties", [False, True])
def test_tau_of_more_points_than_fit_pairwise(ties: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = sample(800, ties=ties)
    expected = bootstrap_interval(kendall_tau, x, y, n=300)
    signs = np.sign(np.subtract.outer(x, x)) * np.sign(np.subtract.outer(y, y))
    assert statistics._agreement(x, y).tolist() == signs.sum(axis=1).tolist()
    monkeypatch.setattr(statistics, "_PAIRWISE", 10)
    within = 0.05 * (expected.high - expected.low)
    assert bootstrap_interval(kendall_tau, x, y, n=300) == pytest.approx(expected, abs=within)


@pytest.mark.parametrize("ours", [kendall_tau, spearman, pearson])
def test_interval_agrees_with_scipys_bootstrap(ours: Callable) -> None:
    x, y = sample(150)
    expected = stats.bootstrap(
        (x, y), ours, paired=True, vectorized=False, n_resamples=500, method="percentile", rng=1
    ).confidence_interval
    ours_of_it = bootstrap_interval(ours, x, y, n=2000)
    assert ours_of_it == pytest.approx((expected.low, expected.high), abs=0.03)
    assert ours_of_it.low < ours(x, y) < ours_of_it.high


def test_interval_depends_on_the_seed_and_the_level_only() -> None:
    x, y = sample(40)
    narrow, wide = (bootstrap_interval(spearman, x, y, level=level) for level in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high
    assert bootstrap_interval(spearman, x, y, seed=1) == bootstrap_interval(spearman, x, y, seed=1)
    assert bootstrap_interval(spearman, x, y, seed=1) != bootstrap_interval(spearman, x, y, seed=2)
    gaps = bootstrap_interval(spearman, np.r_[x, nan], np.r_[y, 1])
    assert gaps == bootstrap_interval(spearman, x, y)


def test_interval_of_a_statistic_of_ones_own() -> None:
    x, y = sample(30)
    low, high = bootstrap_interval(partial(best_of_top_k, k=3), x, y, n=200)
    assert y.min() <= low <= high <= y.max()
    means = bootstrap_interval(lambda _, y: float(y.mean()), x, y, n=500)
    assert means == pytest.approx((y.mean() - 0.33, y.mean() + 0.33), abs=0.15)


def test_interval_of_nothing_is_nan() -> None:
    for x, y in (([], []), ([1, 2], [3, 4]), ([1, 1, 1], [1, 2, 3])):
        assert all(math.isnan(bound) for bound in bootstrap_interval(kendall_tau, x, y))
    assert math.isnan(bootstrap_interval(pearson, *sample(9), n=0).low)


def test_pearson_of_huge_scores() -> None:
    x, y = sample(40)
    expected = bootstrap_interval(pearson, x, y, n=50)
    assert bootstrap_interval(pearson, 1e200 * x, y, n=50) == pytest.approx(expected)


def test_bootstrap_settings_out_of_range_are_refused() -> None:
    with pytest.raises(EvaluationError, match="resamples must not be negative, got -1"):
        bootstrap_interval(pearson, *sample(9), n=-1)
    for level in (0, 1, 95):
        with pytest.raises(EvaluationError, match=f"level={level} must be above 0 and below 1"):
            bootstrap_interval(pearson, *sample(9), level=level)


def test_a_thousand_taus_of_a_thousand_points_take_seconds() -> None:
    x, y = sample(1000)
    start = time.perf_counter()
    bootstrap_interval(kendall_tau, x, y)
    assert time.perf_counter() - start < 5


# Tables ---------------------------------------------------------------------------------------


@pytest.fixture
def scores() -> pd.DataFrame:
    x, y = sample(80)
    index = pd.Index([f"cell {i}" for i in range(80)], name="architecture")
    return pd.DataFrame({"nwot": x, "loss": -y, "params": np.round(2 * x), "truth": y}, index=index)


def test_evaluate_lists_every_proxy_and_subset(scores: pd.DataFrame) -> None:
    truth = scores.pop("truth")
    table = evaluate(scores, truth, {"loss": "minimize"}, n_bootstrap=20)
    assert list(table.columns) == ["proxy", "subset", "baseline", "n", "dropped"] + [
        f"{name}{end}" for name in STATISTICS for end in ("", "_low", "_high")
    ]
    assert table[["proxy", "subset"]].to_numpy().tolist() == [
        [proxy, subset] for proxy in ("nwot", "loss", "params") for subset in SUBSETS
    ]
    assert table.set_index("proxy")["baseline"].groupby(level=0).all().to_dict() == {
        "nwot": False,
        "loss": False,
        "params": True,
    }
    by = table.set_index(["proxy", "subset"])
    assert by.loc["nwot", "n"].tolist() == [80, 40, 8]
    assert by.loc[("loss", "all"), "kendall_tau"] == 1  # turned round
    assert by.loc[("loss", "all"), "precision_top_10pct"] == 1
    assert by.loc[("loss", "all"), "regret_top_10"] == 0
    assert (by["kendall_tau_low"] <= by["kendall_tau_high"]).all()


def test_evaluate_gives_the_functions_values(scores: pd.DataFrame) -> None:
    truth = scores.pop("truth")
    table = evaluate(scores[["nwot"]], truth, n_bootstrap=50).set_index("subset")
    best = truth.nlargest(40).index
    for subset, index in (("all", truth.index), ("better half", best)):
        x, y = scores.loc[index, "nwot"], truth[index]
        row = table.loc[subset]
        for name, function in (
            ("kendall_tau", kendall_tau),
            ("spearman", spearman),
            ("pearson", pearson),
            ("ndcg", ndcg),
            ("precision_top_10pct", partial(precision_at_top, fraction=0.1)),
            ("precision_top_64", partial(precision_at_top, k=64)),
            ("best_of_top_1", partial(best_of_top_k, k=1)),
            ("best_of_top_10", partial(best_of_top_k, k=10)),
            ("regret_top_10", partial(top_k_regret, k=10)),
        ):
            assert row[name] == pytest.approx(function(x, y), nan_ok=True)
            if subset == "all":
                interval = bootstrap_interval(function, x, y, n=50)
                assert (row[f"{name}_low"], row[f"{name}_high"]) == pytest.approx(interval)


def test_a_proxys_row_does_not_depend_on_its_company(scores: pd.DataFrame) -> None:
    truth = scores.pop("truth")
    alone = evaluate(scores[["params"]], truth, n_bootstrap=20)
    company = evaluate(scores, truth, n_bootstrap=20)
    company = company[company["proxy"] == "params"].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, company)
    shuffled = evaluate(scores[["params"]], truth.sample(frac=1, random_state=0), n_bootstrap=20)
    pd.testing.assert_frame_equal(alone, shuffled)


def test_processes_find_the_same(scores: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    truth = scores.pop("truth")
    here = evaluate(scores, truth, n_bootstrap=20)
    monkeypatch.setattr(statistics, "_WORTH_PROCESSES", 0)
    monkeypatch.setattr(joblib, "cpu_count", lambda: 2)
    seen: list[tuple[int, int]] = []
    there = evaluate(
        scores, truth, n_bootstrap=20, n_jobs=None, on_proxy=lambda *now: seen.append(now)
    )
    pd.testing.assert_frame_equal(here, there)
    assert seen == [(done, 3) for done in range(4)]


def test_evaluate_bounds_what_is_asked_for(scores: pd.DataFrame) -> None:
    truth = scores.pop("truth")
    whole = evaluate(scores, truth, n_bootstrap=20)
    some = evaluate(scores, truth, n_bootstrap=20, intervals=["kendall_tau"])
    left_out = [c for c in whole if c[-4:] in ("_low", "high") and "kendall_tau" not in c]
    pd.testing.assert_frame_equal(some.drop(columns=left_out), whole.drop(columns=left_out))
    assert some[left_out].isna().all(axis=None)


def test_evaluate_counts_what_it_drops(scores: pd.DataFrame) -> None:
    truth = scores.pop("truth")
    scores.iloc[0, 0], scores.iloc[1, 0] = nan, inf
    partly = {name: value for name, value in truth.items() if name != "cell 2"}
    table = evaluate(scores, partly, n_bootstrap=0).set_index(["proxy", "subset"])
    assert table.loc[("nwot", "all"), ["n", "dropped"]].tolist() == [77, 3]
    assert table.loc[("loss", "all"), ["n", "dropped"]].tolist() == [79, 1]
    assert table.loc[("loss", "better half"), ["n", "dropped"]].tolist() == [40, 0]
    assert table["kendall_tau_low"].isna().all()


def test_baselines_are_maximised_whatever_the_objectives(scores: pd.DataFrame) -> None:
    truth = scores.pop("truth")
    assert set(BASELINES) == {"params", "flops"}
    minimised = evaluate(scores, truth, {"params": "minimize"}, n_bootstrap=0)
    pd.testing.assert_frame_equal(minimised, evaluate(scores, truth, n_bootstrap=0))


def test_subsets_take_in_whatever_ties_with_their_last() -> None:
    accuracy = pd.Series([1.0, 2, 3, 3, 3, 4])
    table = evaluate(pd.DataFrame({"x": range(6)}), accuracy, n_bootstrap=0).set_index("subset")
    assert table["n"].tolist() == [6, 4, 1]
    assert math.isnan(table.loc["top 10 %", "kendall_tau"])


def test_evaluate_of_few_or_no_pairs_is_nan() -> None:
    for x, y in (([], []), ([1.0], [1.0]), ([1.0, 2, 3], [nan, nan, nan])):
        table = evaluate(pd.DataFrame({"x": x}), pd.Series(y), n_bootstrap=5)
        assert table["spearman"].isna().all()
        assert len(table) == len(SUBSETS)


def test_evaluate_says_what_does_not_fit(scores: pd.DataFrame) -> None:
    truth = scores.pop("truth")
    with pytest.raises(EvaluationError, match="unknown column of scores 'nwto'; did you mean 'nwo"):
        evaluate(scores, truth, {"nwto": "maximize"})
    with pytest.raises(EvaluationError, match="nwot: unknown direction 'maximise'; did you mean"):
        evaluate(scores, truth, {"nwot": "maximise"})  # type: ignore[dict-item]
    with pytest.raises(EvaluationError, match="scores lists 'cell 0' more than once"):
        evaluate(pd.concat([scores, scores.head(1)]), truth)
    with pytest.raises(EvaluationError, match="accuracy lists 'cell 79' more than once"):
        evaluate(scores, pd.concat([truth, truth.tail(1)]))
    with pytest.raises(EvaluationError, match="scores has the column 'nwot' more than once"):
        evaluate(scores[["nwot", "nwot"]], truth)
    with pytest.raises(EvaluationError, match="no architecture in common: scores starts with 'cel"):
        evaluate(scores, truth.reset_index(drop=True))
    with pytest.raises(EvaluationError, match="state holds no numbers but"):
        evaluate(scores.assign(state="COMPLETE"), truth)
    with pytest.raises(EvaluationError, match="level=95"):
        evaluate(scores, truth, level=95)
    with pytest.raises(EvaluationError, match=r"'kendal_tau'.*kendall_tau"):
        evaluate(scores, truth, intervals=["kendal_tau"])


# Trajectories ---------------------------------------------------------------------------------


def test_best_so_far_by_hand() -> None:
    values = [nan, 3, 1, nan, 5, 4]
    np.testing.assert_array_equal(best_so_far(values), [nan, 3, 3, 3, 5, 5])
    np.testing.assert_array_equal(best_so_far(values, maximize=False), [nan, 3, 1, 1, 1, 1])
    assert best_so_far([]).size == 0


def test_accuracies_may_be_a_sequence_in_the_order_of_the_rows() -> None:
    scores = pd.DataFrame({"one": [1.0, 2.0, 4.0, 3.0]}, index=list("abcd"))
    accuracies = [10.0, 20.0, 30.0, 40.0]
    by_index = evaluate(scores, dict(zip("abcd", accuracies, strict=True)), n_bootstrap=0)
    for given_so in (accuracies, np.array(accuracies), tuple(accuracies)):
        pd.testing.assert_frame_equal(evaluate(scores, given_so, n_bootstrap=0), by_index)
    for wrong in ([90.0, 10.0], 5.0, [[1.0] * 4]):
        with pytest.raises(EvaluationError, match="scores 4 rows: give one number a row") as told:
            evaluate(scores, wrong)
        assert (told.value.key, told.value.given) == ("accuracy", wrong)


def test_agreement_with_itself_is_the_mean_of_all_pairs() -> None:
    """Hand-computed: of three tables one has two neighbours exchanged, one a row of its own."""
    first = pd.DataFrame({"a": [1.0, 2, 3, 4], "b": [4.0, 3, 2, 1]}, index=[*"wxyz"])
    other = pd.DataFrame({"b": [1.0, 2, 3, 4], "a": [1.0, 3, 2, 4]}, index=[*"wxyz"])
    third = pd.DataFrame({"a": [1.0, 2, 3, 4, 0]}, index=[*"wxyzv"])
    table = self_agreement([first, other, third])
    assert table["proxy"].tolist() == ["a"]  # the third lacks b
    assert table.loc[0, "n"] == 4
    assert table.loc[0, "kendall_tau"] == pytest.approx((4 / 6 + 1 + 4 / 6) / 3)
    assert table.loc[0, "least"] == pytest.approx(4 / 6)
    assert self_agreement([first, other])["kendall_tau"].tolist() == pytest.approx([4 / 6, -1.0])
    with pytest.raises(EvaluationError, match="two tables or more"):
        self_agreement([first])
