"""Optuna's samplers, made so that a study goes on exactly where it was cut off."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, cast
from zlib import crc32

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseGASampler, BaseSampler, GPSampler, QMCSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from zc_search._utils.optuna_private import forget_drawn


class ResumableSampler(BaseSampler):
    """Draws each trial with a sampler seeded by the study's seed and the trial's number.

    Optuna's samplers keep nothing between trials but their random state, everything else they
    read from the study. Tying that state to the trial's number makes a trial depend on the study
    before it alone: nothing has to be saved, and a study that was cut off goes on as if it had
    not been. Parameters that are sampled one by one have a seed each, so that it does not matter
    either which of them had been stored before the cut; asked for once more, another one.

    `make` returns a sampler for a seed. Where `one_space` allows it, one of them infers the search
    space for all; a new one would read all trials for each trial.
    """

    def __init__(self, make: Callable[[int], BaseSampler], seed: int, *, one_space: bool) -> None:
        self._make = make
        self._seed = seed
        self._infers = make(seed) if one_space else None
        self._samplers: dict[int, BaseSampler] = {}
        self._asked: Counter[tuple[int, str]] = Counter()

    def _make_for(self, *what: int) -> BaseSampler:
        sequence = np.random.SeedSequence([self._seed, *what])
        return self._make(int(sequence.generate_state(1)[0]))

    def _sampler(self, trial: FrozenTrial) -> BaseSampler:
        if trial.number not in self._samplers:
            self._samplers[trial.number] = self._make_for(trial.number)
        return self._samplers[trial.number]

    def reseed_rng(self) -> None:
        pass  # workers draw trials of different numbers, so never the same

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        self._samplers.pop(trial.number, None)
        self._sampler(trial).before_trial(study, trial)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        sampler = self._infers or self._sampler(trial)
        return sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        sampler = self._sampler(trial)
        if isinstance(sampler, GPSampler):
            forget_drawn(study, trial)
        if isinstance(sampler, BaseGASampler):
            # Who draws first in a generation selects its parents, with random numbers, and stores
            # them. That is done by a sampler of its own, so that the draw is the same for who
            # comes back to a trial that was cut off behind it.
            selecting = cast("BaseGASampler", self._make_for(trial.number))
            generation = selecting.get_trial_generation(study, trial)
            selecting.get_parent_population(study, generation)
        return sampler.sample_relative(study, trial, search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        asked = self._asked[trial.number, param_name]
        self._asked[trial.number, param_name] += 1
        sampler = self._make_for(trial.number, crc32(param_name.encode()), asked)
        return sampler.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, *told: Any) -> None:
        self._sampler(trial).after_trial(study, trial, *told)
        self._samplers.pop(trial.number, None)
        for param_name in trial.params:
            self._asked.pop((trial.number, param_name), None)


class NumberedQMCSampler(QMCSampler):
    """Gives each trial the point of its number in a quasi-random sequence.

    Optuna's counts in the study how many points it gave, so that one is lost with a process that
    is killed before it has stored it, and two workers may be given the same; and its first trial is
    at random, since it learns the search space from it. By default the sequence is scrambled, as
    without it all seeds begin with the first choice of every parameter.
    """

    def __init__(self, space: Mapping[str, BaseDistribution], **options: Any) -> None:
        super().__init__(**{"scramble": True, **options})
        self._space = dict(space)
        self._number = 0

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return self._space

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        self._number = trial.number
        return super().sample_relative(study, trial, search_space)

    def _find_sample_id(self, study: Study, search_space: dict[str, BaseDistribution]) -> int:
        """Override Optuna's own counting; private there, and tested here."""
        return self._number
