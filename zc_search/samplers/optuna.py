"""Optuna samplers by name, made so that a study goes on exactly where it was cut off."""

import inspect
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, cast
from zlib import crc32

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseGASampler, BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from zc_search.errors import StudyError
from zc_search.samplers import (
    OPTUNA,
    OWN,
    check_options,
    distributions,
    find_sampler,
    key_of,
    make_own,
)
from zc_search.samplers.portable import DistinctSampler
from zc_search.spaces import AnySpace, CellSpace


class ResumableSampler(BaseSampler):
    """Draws each trial with a sampler seeded by the study's seed and the trial's number.

    Optuna's samplers keep nothing between trials but their random state, everything else they
    read from the study. Tying that state to the trial's number makes a trial depend on the study
    before it alone: nothing has to be saved, and a study that was cut off goes on as if it had
    not been. Parameters that are sampled one by one have a seed each, so that it does not matter
    either which of them had been stored before the cut; asked for once more, another one.

    Args:
        make: Returns a sampler for a seed.
        seed: Seed of the study.
        one_space: Whether any of these samplers may infer the search space for all of them. It
            reads each trial once then, where a new one would read all of them for each trial.
    """

    def __init__(
        self, make: Callable[[int], BaseSampler], seed: int, *, one_space: bool = False
    ) -> None:
        self._make = make
        self._seed = seed
        self._infers = make(seed) if one_space else None
        self._samplers: dict[int, BaseSampler] = {}
        self._asked: Counter[tuple[int, str]] = Counter()

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
        sampler = self._infers or self._sampler(trial)
        return sampler.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """See `BaseSampler`."""
        sampler = self._sampler(trial)
        if isinstance(sampler, optuna.samplers.GPSampler):
            _forget_drawn(study, trial)
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
        """See `BaseSampler`."""
        asked = self._asked[trial.number, param_name]
        self._asked[trial.number, param_name] += 1
        sampler = self._make_for(trial.number, crc32(param_name.encode()), asked)
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
        for param_name in trial.params:
            self._asked.pop((trial.number, param_name), None)


def _forget_drawn(study: Study, trial: FrozenTrial) -> None:
    """Blank what a sampler noted of this very trial before it was cut off.

    Optuna's GP sampler takes every running trial with such a note for another one's.
    """
    for key in study._storage.get_trial_system_attrs(trial._trial_id):
        if "relative_params" in key:
            study._storage.set_trial_system_attr(trial._trial_id, key, "")


class NumberedQMCSampler(optuna.samplers.QMCSampler):
    """Gives each trial the point of its number in a quasi-random sequence.

    Optuna's counts in the study how many points it gave, so that one is lost with a process that
    is killed before it has stored it, and two workers may be given the same; and its first trial is
    at random, since it learns the search space from it.

    Args:
        space: The search space.
        options: Of Optuna's. By default the sequence is scrambled, as without it all seeds begin
            with the first choice of every parameter.
    """

    def __init__(self, space: Mapping[str, BaseDistribution], **options: Any) -> None:
        super().__init__(**{"scramble": True, **options})
        self._space = dict(space)
        self._number = 0

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """See `BaseSampler`."""
        return self._space

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """See `BaseSampler`."""
        self._number = trial.number
        return super().sample_relative(study, trial, search_space)

    def _find_sample_id(self, study: Study, search_space: dict[str, BaseDistribution]) -> int:
        return self._number


# A sequence is one sequence, and a grid one order: the seed must be the same for all trials.
_ONE_SEED_FOR_ALL = (optuna.samplers.QMCSampler, optuna.samplers.GridSampler)


def make_sampler(
    name: str,
    options: Mapping[str, Any],
    seed: int,
    *,
    space: AnySpace | None = None,
    distinct: bool = False,
) -> BaseSampler:
    """Return a sampler that resumes exactly.

    Args:
        name: A key of `SAMPLERS`, or ``module:Class`` of any importable Optuna sampler. A class
            without a ``seed`` argument is used as it is, and resumes with a fresh random state.
        options: Keyword arguments of the class.
        seed: Seed of the study.
        space: The search space; by default all cells.
        distinct: Whether a function that the study has seen is never suggested again.

    Raises:
        StudyError: No such sampler, or arguments that it does not take.
        ZcSearchError: What guides a sampler cannot be had.
    """
    space = space or CellSpace()
    try:
        if name in OWN:
            return make_own(name, options, seed, space)
        sampler = _make_resumable(name, options, seed, distributions(space))
    except StudyError as error:
        raise StudyError(f"study.sampler: {error}") from error
    if isinstance(sampler, optuna.samplers.GridSampler):
        _check_grid(options, space, distinct=distinct)
    if not distinct:
        return sampler
    return DistinctSampler(sampler, search_space=distributions(space), key=key_of(space), seed=seed)


def _check_grid(options: Mapping[str, Any], space: AnySpace, *, distinct: bool) -> None:
    if distinct:
        raise StudyError("study.distinct: a grid looks at no point twice; Allowed: false")
    if lacking := [name for name in space.choices if name not in options["search_space"]]:
        raise StudyError(
            f"study.sampler: the grid lacks {', '.join(lacking)}; Allowed: a search_space with a "
            "list for each parameter"
        )


def _make_resumable(
    name: str, options: Mapping[str, Any], seed: int, space: Mapping[str, BaseDistribution]
) -> BaseSampler:
    kind: Callable[..., BaseSampler] = find_sampler(name)
    check_options(name, kind, options)
    parameters = inspect.signature(kind).parameters
    if kind is optuna.samplers.QMCSampler:
        kind = partial(NumberedQMCSampler, space)

    def make(trial_seed: int) -> BaseSampler:
        seeded = {"seed": trial_seed} if "seed" in parameters else {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return kind(**{**seeded, **options})

    try:
        sampler = make(seed)
    except (AttributeError, TypeError, ValueError) as error:
        raise StudyError(f"options of {name!r}: {error}") from error
    if "seed" not in parameters or isinstance(sampler, _ONE_SEED_FOR_ALL):
        return sampler
    # TPE's groups are kept by the sampler that inferred them.
    one_space = name in OPTUNA and not options.get("group")
    return ResumableSampler(make, seed, one_space=one_space)


def advice(name: str, objectives: int) -> str | None:
    """Return what to choose instead of a sampler, where another serves a study better."""
    if name == "tpe" and objectives >= 4:
        return (
            f"TPE with {objectives} objectives slows down with every trial: at 300 trials it was "
            "measured at 39 ms a trial for 5 objectives, 230 ms for 8 and 560 ms for 10. "
            f"{recommendation(objectives)}"
        )
    if name == "predictor_guided" and objectives > 1:
        return f"predictor_guided is for one objective. {recommendation(objectives)}"
    if name in ("nsgaii", "nsgaiii") and objectives == 1:
        return f"{name} looks for trade-offs, and there is one objective. {recommendation(1)}"
    return None


def recommendation(objectives: int) -> str:
    """Say which sampler suits a number of objectives."""
    if objectives == 1:
        return (
            "For one objective: study.sampler = 'predictor_guided' if it is the accuracy, "
            "'local_search' or 'regularized_evolution' if it is not."
        )
    better = "'nsgaii' or 'regularized_evolution'" if objectives < 4 else "'nsgaiii'"
    return f"For {objectives} objectives: study.sampler = {better}, which stays under 3 ms a trial."
