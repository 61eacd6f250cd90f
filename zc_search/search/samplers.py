"""Optuna samplers by name, made so that a study goes on exactly where it was cut off."""

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any
from zlib import crc32

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from zc_search.errors import StudyError, unknown_name

SAMPLERS: dict[str, type[BaseSampler]] = {
    "random": optuna.samplers.RandomSampler,
    "tpe": optuna.samplers.TPESampler,
    "nsgaii": optuna.samplers.NSGAIISampler,
    "nsgaiii": optuna.samplers.NSGAIIISampler,
    "qmc": optuna.samplers.QMCSampler,
    "brute_force": optuna.samplers.BruteForceSampler,
}

# A quasi-random sequence is one sequence: its scrambling must be the same for all trials.
_ONE_SEED_FOR_ALL = (optuna.samplers.QMCSampler, optuna.samplers.GridSampler)


class ResumableSampler(BaseSampler):
    """Draws each trial with a sampler seeded by the study's seed and the trial's number.

    Optuna's samplers keep nothing between trials but their random state, everything else they
    read from the study. Tying that state to the trial's number makes a trial depend on the study
    before it alone: nothing has to be saved, and a study that was cut off goes on as if it had
    not been. Parameters that are sampled one by one have a seed each, so that it does not matter
    either which of them had been stored before the cut.

    Args:
        make: Returns a sampler for a seed.
        seed: Seed of the study.
    """

    def __init__(self, make: Callable[[int], BaseSampler], seed: int) -> None:
        self._make = make
        self._seed = seed
        self._samplers: dict[int, BaseSampler] = {}

    def _make_for(self, *what: int) -> BaseSampler:
        sequence = np.random.SeedSequence([self._seed, *what])
        return self._make(int(sequence.generate_state(1)[0]))

    def _begin(self, trial: FrozenTrial) -> BaseSampler:
        sampler = self._samplers[trial.number] = self._make_for(trial.number)
        return sampler

    def _sampler(self, trial: FrozenTrial) -> BaseSampler:
        return self._samplers.get(trial.number) or self._begin(trial)

    def reseed_rng(self) -> None:
        """Do nothing: workers draw trials of different numbers, so never the same."""

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """See `BaseSampler`."""
        self._begin(trial).before_trial(study, trial)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """See `BaseSampler`."""
        return self._sampler(trial).infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """See `BaseSampler`."""
        return self._sampler(trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """See `BaseSampler`."""
        sampler = self._make_for(trial.number, crc32(param_name.encode()))
        return sampler.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """See `BaseSampler`."""
        self._sampler(trial).after_trial(study, trial, state, values)
        self._samplers.pop(trial.number, None)


def make_sampler(name: str, options: Mapping[str, Any], seed: int) -> BaseSampler:
    """Return a sampler that resumes exactly.

    Args:
        name: A key of `SAMPLERS`, or ``module:Class`` of any importable Optuna sampler. A class
            without a ``seed`` argument is used as it is, and resumes with a fresh random state.
        options: Keyword arguments of the class.
        seed: Seed of the study.

    Raises:
        StudyError: No such sampler, or arguments that it does not take.
    """
    kind = SAMPLERS[name] if name in SAMPLERS else _import_sampler(name)
    parameters = inspect.signature(kind).parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for option in options:
        if option not in parameters and not takes_any:
            message = unknown_name(f"option of sampler {name!r}", option, parameters)
            raise StudyError(f"study.sampler_options.{option}: {message}")

    def make(trial_seed: int) -> BaseSampler:
        seeded = {"seed": trial_seed} if "seed" in parameters else {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return kind(**{**seeded, **options})

    try:
        sampler = make(seed)
    except (TypeError, ValueError) as error:
        raise StudyError(f"study.sampler_options of {name!r}: {error}") from error
    if "seed" not in parameters or issubclass(kind, _ONE_SEED_FOR_ALL):
        return sampler
    return ResumableSampler(make, seed)


def _import_sampler(name: str) -> type[BaseSampler]:
    module, _, attribute = name.partition(":")
    if not attribute:
        raise StudyError(f"study.sampler: {unknown_name('sampler', name, SAMPLERS)}, module:Class")
    try:
        kind = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise StudyError(f"study.sampler: cannot import {name!r}: {error}") from error
    if not (isinstance(kind, type) and issubclass(kind, BaseSampler)):
        raise StudyError(f"study.sampler: {name!r} is no subclass of optuna.samplers.BaseSampler")
    return kind


def advice(name: str, objectives: int) -> str | None:
    """Return a warning for a sampler whose cost explodes with the number of objectives."""
    if name != "tpe" or objectives < 4:
        return None
    return (
        f"TPE with {objectives} objectives slows down with every trial: at 300 trials it was "
        "measured at 39 ms a trial for 5 objectives, 230 ms for 8 and 560 ms for 10. "
        "study.sampler = 'nsgaiii' stays under 3 ms."
    )
