"""Hypervolume and dominance, against brute force, closed forms and each other."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from zc_search.errors import ReportError
from zc_search.report import plot_hypervolume
from zc_search.report.figures.search import exact_shares, hypervolume, sampled_shares
from zc_search.report.run import as_trials, nondominated


def inclusion_exclusion(points: np.ndarray) -> float:
    """The union's volume from the volumes of all intersections."""
    total = 0.0
    for size in range(1, len(points) + 1):
        for chosen in itertools.combinations(points, size):
            total += (-1) ** (size + 1) * float(np.prod(1 - np.max(chosen, axis=0)))
    return total


grid = st.integers(0, 4).map(lambda step: step / 4)


@given(st.integers(1, 4).flatmap(lambda d: arrays(float, (6, d), elements=grid)))
def test_exact_shares_are_the_inclusion_exclusion_volumes(points: np.ndarray) -> None:
    shares = exact_shares(points)
    for count in range(1, len(points) + 1):
        assert shares[count - 1] == pytest.approx(inclusion_exclusion(points[:count]), abs=1e-12)


@given(arrays(float, (12, 3), elements=grid))
def test_nondominated_is_the_definition(costs: np.ndarray) -> None:
    expected = [
        not any((other <= row).all() and (other < row).any() for other in costs) for row in costs
    ]
    assert nondominated(costs).tolist() == expected


def test_what_is_not_finite_is_dominated() -> None:
    costs = np.array([[0.0, 1.0], [np.nan, 0.0], [1.0, 0.0], [-np.inf, 5.0]])
    assert nondominated(costs).tolist() == [True, False, True, False]
    assert nondominated(costs[1:2]).tolist() == [False]


def test_samples_agree_with_the_exact_share_within_their_error() -> None:
    points = np.random.default_rng(0).random((30, 4))
    exact, sampled = exact_shares(points), sampled_shares(points, 2**14, seed=1)
    error = np.sqrt(exact * (1 - exact) / 2**14)
    assert (abs(exact - sampled) <= 4 * error + 1e-9).all()
    assert (np.diff(sampled) >= 0).all()


def table(**columns: list[float]) -> pd.DataFrame:
    return pd.DataFrame(columns)


def test_objectives_are_scaled_and_turned_by_direction() -> None:
    # Worst (0, 10), best (4, 2): the trials dominate 0, then (2/4)(4/8), then that and (4/4)(1/8).
    trials = as_trials(
        table(gain=[0, 2, 4, 0], cost=[10, 6, 9, 2]),
        objectives={"gain": "maximize", "cost": "minimize"},
    )
    info = hypervolume(trials)
    assert info.exact
    np.testing.assert_allclose(info.share, [0, 0.25, 0.25 + 0.0625, 0.3125])


def test_an_objective_that_never_varies_is_left_out() -> None:
    trials = as_trials(table(a=[0, 1], b=[3, 3]), objectives={"a": "maximize", "b": "maximize"})
    np.testing.assert_allclose(hypervolume(trials).share, [0, 1])
    np.testing.assert_allclose(
        hypervolume(as_trials(table(b=[3, 3]), objectives={"b": "maximize"})).share, [1, 1]
    )


def test_beyond_four_objectives_it_is_sampled_and_says_so() -> None:
    random = np.random.default_rng(0)
    names = [f"p{i}" for i in range(5)]
    trials = as_trials(
        pd.DataFrame(random.random((20, 5)), columns=names),
        objectives=dict.fromkeys(names, "maximize"),
    )
    figure = plot_hypervolume(trials)
    assert "Sampled with 32,768 points" in figure.layout.meta["caption"]
    assert "sampled" in figure.layout.meta["alt"]
    four = as_trials(trials.table, objectives=dict.fromkeys(names[:4], "maximize"))
    assert "Computed exactly" in plot_hypervolume(four).layout.meta["caption"]


def test_infeasible_and_broken_trials_are_left_out() -> None:
    trials = as_trials(
        pd.DataFrame({"a": [0.0, np.nan, 1.0, 9.0], "feasible": [True, True, True, False]}),
        objectives={"a": "maximize"},
    )
    info = hypervolume(trials)
    assert info.numbers.tolist() == [0, 2]
    np.testing.assert_allclose(info.share, [0, 1])


def test_without_objectives_or_values_it_says_so() -> None:
    with pytest.raises(ReportError, match="the hypervolume needs objectives"):
        plot_hypervolume(table(a=[1.0]))
    with pytest.raises(ReportError, match="no trial has all objectives: a"):
        plot_hypervolume(as_trials(table(a=[np.nan]), objectives={"a": "maximize"}))
