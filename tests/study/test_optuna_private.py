"""Optuna's privates that this project relies on, each used once: fails when Optuna changes."""

import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.samplers import BruteForceSampler, GPSampler, QMCSampler
from optuna.trial import TrialState

from zc_search._utils.optuna_private import (
    begun_trial,
    forget_drawn,
    is_enqueued,
    is_stopped,
    stoppable,
)
from zc_search.samplers.catalogue import NumberedQMCSampler


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_sampler_may_stop_a_study_that_is_asked_and_told() -> None:
    study = optuna.create_study(sampler=BruteForceSampler())
    for _ in range(2):
        trial = study.ask()
        trial.suggest_categorical("x", ["a", "b"])
        assert not is_stopped(study)
        with stoppable(study):
            study.tell(trial, 0.0)
    assert is_stopped(study)
    with pytest.raises(RuntimeError, match="stop"):
        study.stop()


def test_a_trial_that_was_begun_goes_on() -> None:
    study = optuna.create_study()
    value = study.ask().suggest_float("x", 0, 1)
    again = begun_trial(study, study.trials[0])
    assert (again.number, again.suggest_float("x", 0, 1)) == (0, value)
    study.tell(again, 1.0)
    assert study.trials[0].state == TrialState.COMPLETE


def test_an_enqueued_trial_is_known() -> None:
    study = optuna.create_study()
    study.enqueue_trial({"x": 1})
    study.ask()
    study.ask()
    assert [is_enqueued(trial) for trial in study.trials] == [True, False]


def test_what_the_gp_sampler_noted_of_a_trial_can_be_blanked() -> None:
    space = {"x": CategoricalDistribution(("a", "b", "c"))}
    study = optuna.create_study(sampler=GPSampler(seed=0, n_startup_trials=2))
    for number in range(3):
        study.tell(study.ask(space), float(number))
    study.ask(space)
    noted = [key for key in study.trials[-1].system_attrs if "relative_params" in key]
    assert noted
    forget_drawn(study, study.trials[-1])
    assert all(study.trials[-1].system_attrs[key] == "" for key in noted)


def test_a_quasi_random_sampler_asks_which_point_is_next() -> None:
    assert NumberedQMCSampler._find_sample_id is not QMCSampler._find_sample_id
