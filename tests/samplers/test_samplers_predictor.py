"""The predictor-guided sampler against models whose answers are known."""

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState
from scipy.stats import norm, rankdata
from sklearn.linear_model import BayesianRidge, Ridge

from zc_search.samplers.portable import PredictorGuidedSampler, normal_scores

CHOICES = ("a", "b", "c", "d")
SPACE = {f"x{i}": CategoricalDistribution(CHOICES) for i in range(3)}
POINTS = [dict(zip(SPACE, point, strict=True)) for point in product(CHOICES, repeat=3)]
CODES = np.array([[CHOICES.index(value) for value in point.values()] for point in POINTS], float)
WEIGHTS = np.array([1.0, 3.0, 9.0])


def value(params: Mapping[str, Any]) -> float:
    """All different; the best is d, d, d."""
    return float(WEIGHTS @ [CHOICES.index(params[name]) for name in SPACE])


def sampler(make: Any = lambda seed: Ridge(1e-6), **options: Any) -> PredictorGuidedSampler:
    defaults = {"search_space": SPACE, "seed": 0}
    return PredictorGuidedSampler(POINTS, CODES, make, **{**defaults, **options})


def run(
    guided: PredictorGuidedSampler, n_trials: int, study: optuna.Study | None = None
) -> optuna.Study:
    study = study or optuna.create_study(direction="maximize")
    study.sampler = guided
    for _ in range(n_trials):
        trial = study.ask(dict(SPACE))
        study.tell(trial, value(trial.params))
    return study


def rows(study: optuna.Study) -> list[int]:
    return [POINTS.index(trial.params) for trial in study.trials]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40))
def test_normal_scores_are_those_of_scipy(values: list[float]) -> None:
    expected = norm.ppf((rankdata(values) - 0.5) / len(values))
    np.testing.assert_allclose(normal_scores(values), expected, atol=1e-9)


@pytest.mark.parametrize("make", [lambda seed: Ridge(1e-3), lambda seed: BayesianRidge()])
@pytest.mark.parametrize("acquisition", ["ucb", "thompson"])
def test_a_linear_truth_is_found_at_once(make: Any, acquisition: str) -> None:
    study = run(sampler(make, acquisition=acquisition, startup=6), 14)
    assert study.best_value == value(dict.fromkeys(SPACE, "d"))
    assert len(set(rows(study))) == 14


def test_minimizing_works_the_other_way_round() -> None:
    study = run(sampler(startup=6), 14, optuna.create_study(direction="minimize"))
    assert study.best_value == 0.0


class Oracle:
    """Says that a row is as good as its place, and how sure it is of it."""

    fits: list[int]

    def __init__(self, deviations: NDArray[np.float64], fits: list[int]) -> None:
        self.deviations, self.fits = deviations, fits

    def fit(self, X: Any, y: Any) -> None:
        self.fits.append(len(y))

    def predict(self, X: Any, return_std: bool = False) -> Any:
        means = np.arange(len(X), dtype=float)
        return (means, self.deviations) if return_std else means


def test_the_next_point_has_the_largest_mean_plus_kappa_deviations() -> None:
    deviations = np.zeros(len(POINTS))
    deviations[7] = 100.0
    fits: list[int] = []
    for kappa, first in ((0.0, 63), (0.5, 63), (1.0, 7)):
        oracle = sampler(lambda seed: Oracle(deviations, fits), kappa=kappa, startup=1)
        oracle._features = np.column_stack([CODES, np.arange(len(POINTS))])
        study = optuna.create_study(direction="maximize", sampler=oracle)
        study.enqueue_trial(POINTS[0])
        assert (
            rows(run(oracle, 4, study)) == [0, first, *[r for r in (63, 62, 61) if r != first]][:4]
        )


@pytest.mark.parametrize(("every", "expected"), [(1, [3, 4, 5, 6, 7, 8]), (3, [3, 6])])
def test_the_model_is_refitted_every_so_many_values(every: int, expected: list[int]) -> None:
    fits: list[int] = []
    deviations = np.zeros(len(POINTS))
    run(sampler(lambda seed: Oracle(deviations, fits), refit_every=every, startup=3), 9)
    assert fits == expected


def test_a_study_goes_on_as_if_it_had_not_been_cut_off() -> None:
    options = {"refit_every": 4, "acquisition": "thompson"}
    whole = run(sampler(**options), 24)
    parts = run(sampler(**options), 9)
    run(sampler(**options), 15, parts)
    assert rows(parts) == rows(whole)


def test_thompson_draws_a_copy_for_each_trial() -> None:
    class Guess:
        """A model that likes one candidate, by its seed."""

        def __init__(self, seed: int) -> None:
            self.liked = seed % len(POINTS)

        def fit(self, X: Any, y: Any) -> None:
            pass

        def predict(self, X: Any) -> Any:
            return np.eye(len(POINTS))[self.liked]

    study = run(sampler(Guess, acquisition="thompson", copies=10, startup=2, refit_every=50), 30)
    assert len(set(rows(study)[2:])) > 5
    again = run(sampler(Guess, acquisition="ucb", copies=10, startup=2, refit_every=50), 30)
    assert rows(study) != rows(again)


def test_the_start_is_drawn_from_the_best_by_prior() -> None:
    prior = -np.arange(len(POINTS), dtype=float)
    prior[0] = np.nan  # nothing is known of it, so it comes last
    starts = set()
    for seed in range(20):
        study = run(sampler(prior=prior, startup=3, startup_share=0.1, seed=seed), 3)
        assert set(rows(study)) <= {1, 2, 3, 4, 5, 6, 7}
        starts.add(tuple(rows(study)))
    assert len(starts) > 10


def test_of_candidates_of_one_key_the_first_is_taken() -> None:
    def key(params: Mapping[str, Any]) -> tuple[str, ...]:
        return tuple(sorted(params.values()))

    study = run(sampler(key=key, startup=2), 20)  # there are 20 multisets of 3 of 4
    firsts = {key(point): row for row, point in reversed(list(enumerate(POINTS)))}
    assert sorted(rows(study)) == sorted(firsts.values())


def test_bad_points_drive_the_search_away() -> None:
    """Where x2 is d the value is best and the constraint broken."""
    study = optuna.create_study(direction="maximize", sampler=sampler(startup=8, kappa=0.0))
    for _ in range(30):
        trial = study.ask(dict(SPACE))
        broken = trial.params["x2"] == "d"
        if broken and trial.number % 2:
            study.tell(trial, state=TrialState.PRUNED)
            continue
        trial.set_constraint("x2", float(broken))
        study.tell(trial, value(trial.params))
    feasible = [t for t in study.trials if t.params["x2"] != "d"]
    assert max(value(t.params) for t in feasible) == value({"x0": "d", "x1": "d", "x2": "c"})
    assert len(feasible) > 20


def test_before_anything_has_a_value_points_are_drawn() -> None:
    study = optuna.create_study(direction="maximize", sampler=sampler(startup=1))
    for _ in range(10):
        study.tell(study.ask(dict(SPACE)), state=TrialState.PRUNED)
    assert len(set(rows(study))) == 10


def test_after_all_candidates_the_rest_of_the_space_is_drawn() -> None:
    few = PredictorGuidedSampler(
        POINTS[:5], CODES[:5], lambda seed: Ridge(), search_space=SPACE, seed=0
    )
    study = run(few, len(POINTS))
    assert set(rows(study)[:5]) == {0, 1, 2, 3, 4}
    assert len(set(rows(study))) == len(POINTS)


def test_what_is_under_way_is_not_suggested() -> None:
    guided = sampler(startup=2)
    study = run(guided, 4)
    trials = [study.ask(dict(SPACE)) for _ in range(20)]
    assert len({tuple(trial.params.values()) for trial in trials}) == 20
    assert not {tuple(t.params.values()) for t in study.trials[:4]} & {
        tuple(t.params.values()) for t in trials
    }


def test_several_objectives_are_refused() -> None:
    study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler())
    with pytest.raises(ValueError, match="multi-objective"):
        study.ask(dict(SPACE))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"acquisition": "ei"}, "acquisition='ei': Allowed: ucb, thompson"),
        ({"kappa": -0.1}, r"kappa=-0\.1: Allowed: at least 0"),
        ({"kappa": float("nan")}, "kappa=nan: Allowed: at least 0"),
        ({"copies": 1}, "copies=1: Allowed: at least 2"),
        ({"startup": 0}, "startup=0: Allowed: at least 1"),
        ({"refit_every": 0}, "refit_every=0: Allowed: at least 1"),
        ({"startup_share": 0.0}, r"startup_share=0\.0: Allowed: above 0, at most 1"),
        ({"prior": [1.0, 2.0]}, r"prior of shape \(2,\): Allowed: 64 numbers"),
    ],
)
def test_wrong_arguments_are_explained(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        sampler(**options)


@pytest.mark.parametrize(
    "features", [np.zeros(64), np.zeros((63, 2)), np.full((64, 2), np.nan)], ids=str
)
def test_features_must_match_the_candidates(features: NDArray[np.float64]) -> None:
    with pytest.raises(ValueError, match="Allowed: 64 rows, one a candidate, all finite"):
        PredictorGuidedSampler(POINTS, features, lambda seed: Ridge())
