"""Samplers by name, and the promise that a study goes on as if it had not been cut off."""

import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.samplers import BaseSampler
from optuna.trial import TrialState

from zc_search.errors import StudyError
from zc_search.search import SAMPLERS, advice, make_sampler
from zc_search.search.study import unfinished_trials

EDGES = [f"op_{i}" for i in range(6)]
CHOICES = ("a", "b", "c", "d", "e")


def objective(trial: optuna.trial.Trial) -> tuple[float, float]:
    codes = [CHOICES.index(trial.suggest_categorical(edge, CHOICES)) for edge in EDGES]
    return float(sum(codes)), float(codes[0] * codes[1] - codes[2])


def a_study(sampler: BaseSampler) -> optuna.Study:
    return optuna.create_study(sampler=sampler, directions=["maximize", "minimize"])


OPTIONS = {"nsgaii": {"population_size": 10}, "nsgaiii": {"population_size": 10}}


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_study_goes_on_as_if_it_had_not_been_cut_off(name: str) -> None:
    options = OPTIONS.get(name, {})
    whole = a_study(make_sampler(name, options, seed=3))
    whole.optimize(objective, n_trials=35)
    halves = a_study(make_sampler(name, options, seed=3))
    halves.optimize(objective, n_trials=17)
    halves.sampler = make_sampler(name, options, seed=3)
    halves.optimize(objective, n_trials=18)
    assert [t.params for t in whole.trials] == [t.params for t in halves.trials]


@pytest.mark.parametrize("name", SAMPLERS)
def test_seeds_give_different_studies(name: str) -> None:
    first, second = (a_study(make_sampler(name, {}, seed=seed)) for seed in (0, 1))
    for study in (first, second):
        study.optimize(objective, n_trials=12)
    assert [t.params for t in first.trials] != [t.params for t in second.trials]


def test_resumable_draws_follow_the_trial_number_not_the_instance() -> None:
    sampler = make_sampler("random", {}, seed=0)
    study = a_study(sampler)
    study.optimize(objective, n_trials=40)
    assert len({tuple(t.params.values()) for t in study.trials}) > 35


def test_a_trial_cut_off_while_scored_keeps_its_parameters() -> None:
    study = a_study(make_sampler("qmc", {}, seed=0))
    study.optimize(objective, n_trials=5)
    cut_off = study.ask()
    params = {edge: cut_off.suggest_categorical(edge, CHOICES) for edge in EDGES}
    sampler = study.sampler
    (again,) = unfinished_trials(study, len(EDGES))
    assert {edge: again.suggest_categorical(edge, CHOICES) for edge in EDGES} == params
    assert again.number == cut_off.number
    assert study.sampler is sampler


@pytest.mark.parametrize("name", ["nsgaii", "random", "tpe", "brute_force"])
def test_a_trial_cut_off_while_asked_for_is_completed_by_the_sampler(name: str) -> None:
    options = {"population_size": 4} if name == "nsgaii" else {}
    study = a_study(make_sampler(name, options, seed=0))
    study.optimize(objective, n_trials=9)
    partly = study.ask()
    partly.suggest_categorical(EDGES[0], CHOICES)
    twin = a_study(make_sampler(name, options, seed=0))
    twin.optimize(objective, n_trials=10)
    (again,) = unfinished_trials(study, len(EDGES))
    params = {edge: again.suggest_categorical(edge, CHOICES) for edge in EDGES}
    assert params == twin.trials[-1].params


class Unseeded(BaseSampler):
    """A sampler of somebody else's, without a seed."""

    def __init__(self, choice: str = "a") -> None:
        self.choice = choice

    def infer_relative_search_space(self, study, trial):  # type: ignore[no-untyped-def]
        return {}

    def sample_relative(self, study, trial, search_space):  # type: ignore[no-untyped-def]
        return {}

    def sample_independent(self, study, trial, param_name, param_distribution):  # type: ignore[no-untyped-def]
        assert isinstance(param_distribution, CategoricalDistribution)
        return self.choice


def test_any_importable_sampler_serves() -> None:
    study = a_study(make_sampler(f"{__name__}:Unseeded", {"choice": "c"}, seed=0))
    study.optimize(objective, n_trials=2)
    assert all(set(t.params.values()) == {"c"} for t in study.trials)
    assert all(t.state == TrialState.COMPLETE for t in study.trials)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("nsgai", {}, r"study\.sampler: unknown sampler 'nsgai'; did you mean 'nsgaii'\?"),
        ("optuna:NoSampler", {}, "cannot import 'optuna:NoSampler'"),
        ("no_such_module_x:Y", {}, "cannot import 'no_such_module_x:Y'"),
        ("pathlib:Path", {}, "'pathlib:Path' is no subclass of optuna.samplers.BaseSampler"),
        (
            "nsgaii",
            {"populationsize": 9},
            r"unknown option of sampler 'nsgaii' 'populationsize'; "
            r"did you mean 'population_size'\?",
        ),
        ("nsgaii", {"population_size": 1}, "study.sampler_options of 'nsgaii'"),
    ],
)
def test_wrong_samplers_are_explained(name: str, options: dict[str, int], message: str) -> None:
    with pytest.raises(StudyError, match=message):
        make_sampler(name, options, seed=0)


def test_advice_only_for_tpe_with_many_objectives() -> None:
    assert advice("tpe", 3) is None
    assert advice("nsgaiii", 10) is None
    assert "nsgaiii" in (advice("tpe", 4) or "")
