"""Samplers by name, made so that a study goes on exactly where it was cut off."""

import inspect
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from typing import Any, cast
from zlib import crc32

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import (
    BaseGASampler,
    BaseSampler,
    BruteForceSampler,
    GPSampler,
    GridSampler,
    QMCSampler,
    TPESampler,
)
from optuna.study import Study
from optuna.trial import FrozenTrial

from zc_search._utils.optuna_private import forget_drawn
from zc_search._utils.plugins import is_plugin, load_plugin
from zc_search.config import SAMPLERS, Config
from zc_search.errors import ConfigError, ZcSearchError
from zc_search.samplers.portable import DistinctSampler, RedrawingSampler, RememberingSampler
from zc_search.samplers.portable.memory import Refuses
from zc_search.scoring.scores_file import of_dataset
from zc_search.spaces import PARAMETERS, AnySpace, Architecture, CellSpace, FunctionSpace


def key_of(space: AnySpace) -> Callable[[Mapping[str, Any]], str]:
    """Return what tells points of a space apart: a text for each function, one for no function."""
    return function_key if isinstance(space, CellSpace) else partial(_key, space)


def function_key(params: Mapping[str, Any]) -> str:
    """Return a text that is the same for all NAS-Bench-201 cells that compute the same function."""
    return _function_key(tuple(params[edge] for edge in PARAMETERS))


@cache  # there are 15,625
def _function_key(ops: tuple[str, ...]) -> str:
    return Architecture(ops).function_key


def _key(space: AnySpace, params: Mapping[str, Any]) -> str:
    architecture = space.architecture(params)
    return str(architecture.function_key) if architecture.infeasible is None else ""


# A sequence is one sequence, and a grid one order: the seed must be the same for all trials.
_ONE_SEED_FOR_ALL = (QMCSampler, GridSampler)
_AS_THEY_ARE = (TPESampler, QMCSampler, GridSampler, BruteForceSampler)


def find_sampler(name: str, key: str = "study.sampler") -> Callable[..., BaseSampler]:
    """Return a sampler's class by its name, or what makes one of this project's for a space."""
    if name not in SAMPLERS and not is_plugin(name):
        raise ConfigError.unknown("sampler", name, (*SAMPLERS, "module:Class"), key=key)
    kind: Callable[..., BaseSampler] = load_plugin(SAMPLERS.get(name, name), key, ConfigError)
    if name not in SAMPLERS and not _is_class(kind, BaseSampler):
        message = f"{key}: {name!r} is no subclass of optuna.samplers.BaseSampler"
        raise ConfigError(message, key=key, given=name)
    return kind


def _is_class(kind: object, *of: type) -> bool:
    return isinstance(kind, type) and issubclass(kind, of)


def make_sampler(
    name: str,
    options: Mapping[str, Any],
    seed: int,
    *,
    space: AnySpace | None = None,
    distinct: bool = False,
    resumable: bool = True,
    keys: tuple[str, str] = ("study.sampler", "study.sampler_options"),
) -> BaseSampler:
    """Return a sampler by name.

    Args:
        name: See `find_sampler`. A class without a ``seed`` resumes with a fresh random state.
        options: Keyword arguments of the class.
        seed: Seed of the study.
        space: The search space; by default all cells.
        distinct: Whether no function is suggested twice; those of this project never do.
        resumable: Whether a study goes on exactly where it was cut off.
        keys: The settings of the name and of the options, for the ConfigError of a wrong one.
    """
    space = space or CellSpace()
    everything = space.distributions()  # complains of a builder that always fails
    kind = find_sampler(name, keys[0])
    ours = not isinstance(kind, type)
    takes = inspect.signature(kind).parameters
    seeded = "seed" in takes
    check_options(name, kind, options, keys[1])
    if ours:
        kind = partial(kind, space)
    elif kind is QMCSampler and resumable:
        kind = partial(NumberedQMCSampler, everything)
    options = dict(options)
    warns = takes.get("warn_independent_sampling")
    if isinstance(space, FunctionSpace) and warns and warns.default:  # None where it is deprecated
        options.setdefault("warn_independent_sampling", False)  # of conditional parameters
    make = partial(_make, kind, options, seeded)
    try:
        sampler = make(seed)
    except (AttributeError, TypeError, ValueError, ZcSearchError) as error:
        raise ConfigError(f"{keys[1]}: {name!r}: {error}", key=keys[1], given=options) from error
    if ours:
        return sampler
    if isinstance(sampler, GridSampler):
        _check_grid(options, everything, distinct=distinct)
    if resumable and seeded and not isinstance(sampler, _ONE_SEED_FOR_ALL):
        # TPE's groups are kept by the sampler that inferred them.
        one_space = name in SAMPLERS and not options.get("group")
        sampler = ResumableSampler(make, seed, one_space=one_space)
    if not distinct:
        return sampler
    return DistinctSampler(sampler, search_space=everything, key=key_of(space), seed=seed)


def sampler_of(config: Config, space: AnySpace, refuses: Refuses | None = None) -> BaseSampler:
    """Return the sampler of a search; a ConfigError where it cannot be had or does not suit.

    Where there are constraints, points that `refuses` is true of are drawn again, but by samplers
    that learn from how far they are beyond (TPE) or go through a sequence.
    """
    study = config.study
    names = [objective.name for objective in config.active_objectives]
    if study.sampler == "predictor_guided" and len(names) > 1 and not study.sum_objectives:
        message = (
            f"study.sampler: 'predictor_guided' takes one objective, and there are {len(names)} "
            f"({', '.join(names)}); give the others scale = 0, or choose 'nsgaii'"
        )
        raise ConfigError(message, key="study.sampler", given=study.sampler)
    options = study.sampler_options
    if (members := population(config)) is not None:
        options = {**options, "population_size": members}
    if isinstance(scores := options.get("scores"), str):
        options = {**options, "scores": of_dataset(scores, config.dataset)}
    sampler = make_sampler(study.sampler, options, study.seed, space=space, distinct=study.distinct)
    limits = config.constraints
    cheap = limits.max_params or limits.max_flops or limits.constraint
    if refuses is None or not cheap or _is_class(find_sampler(study.sampler), *_AS_THEY_ARE):
        return sampler
    if isinstance(sampler, RememberingSampler):
        sampler.refuses = refuses
        return sampler
    return RedrawingSampler(sampler, refuses, space.distributions())


_LARGEST_POPULATION, _GENERATIONS = 50, 3


def population(config: Config) -> int | None:
    """Return how many trials a search's NSGA-II or -III draws at random, a generation each.

    By default a third of all trials, at most Optuna's 50; None for another sampler.
    """
    study = config.study
    if study.sampler not in ("nsgaii", "nsgaiii"):
        return None
    few = max(4, min(_LARGEST_POPULATION, study.n_trials // _GENERATIONS))
    members: int = study.sampler_options.get("population_size", few)
    return members


def _make(
    kind: Callable[..., BaseSampler], options: dict[str, Any], seeded: bool, seed: int
) -> BaseSampler:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        if "warn_independent_sampling" in options:  # deprecated, and nothing replaces it
            warnings.simplefilter("ignore", FutureWarning)
        return kind(**({"seed": seed} if seeded else {}), **options)


def check_options(
    name: str, kind: Callable[..., object], options: Mapping[str, Any], key: str
) -> None:
    """Refuse options that a class or function does not take, or not of their defaults' type."""
    parameters = inspect.signature(kind).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    allowed = [parameter for parameter in parameters if parameter not in ("space", "seed")]
    for option, value in options.items():
        place = f"{key}.{option}"
        if option not in allowed:
            raise ConfigError.unknown(f"option of {name!r}", option, allowed, key=place)
        if wanted := _other_kind(value, parameters[option]):
            message = f"{place}: {value!r} is given; Allowed: {wanted}"
            raise ConfigError(message, key=place, given=value, allowed=(wanted,))


_KINDS: Mapping[str, tuple[tuple[type, ...], str]] = {
    "bool": ((bool,), "true or false"),
    "int": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "str": ((str,), "text"),
}


def _other_kind(value: object, parameter: inspect.Parameter) -> str | None:
    """Say of what kind an option must be, if it is not of its default's or first annotation's."""
    annotated = str(parameter.annotation).partition("|")[0].strip()
    default = parameter.default
    if annotated.startswith("Callable") or inspect.isfunction(default):
        return None if callable(value) else "a function"
    kind = annotated if default is None else type(default).__name__
    types, words = _KINDS.get(kind, ((type(value),), ""))
    return None if type(value) in types else words


def _check_grid(options: Mapping[str, Any], names: Iterable[str], *, distinct: bool) -> None:
    if distinct:
        key, message = "study.distinct", "a grid looks at no point twice; Allowed: false"
        raise ConfigError(f"{key}: {message}", key=key, given=True, allowed=("false",))
    if lacking := [name for name in names if name not in options["search_space"]]:
        key = "study.sampler_options.search_space"
        message = f"{key}: the grid lacks {', '.join(lacking)}"
        raise ConfigError(message, key=key, allowed=names)


_SLOW = {
    "tpe": "TPE slows down with every trial",
    # for 4, 5 and 6 objectives 2, 16 and 117 s the first one
    "gp": "from its eleventh trial on gp takes some eight times as long for each further objective",
}


def advice(name: str, objectives: int) -> str | None:
    """Return what to choose instead of a sampler, where another serves a study better."""
    if objectives == 1 and name in ("nsgaii", "nsgaiii"):
        return (
            f"{name} looks for trade-offs, and there is one objective; for an accuracy "
            "'predictor_guided' serves better, for anything else 'local_search' or "
            "'regularized_evolution'"
        )
    if objectives == 1:
        return None
    others = "'nsgaii' or 'regularized_evolution'" if objectives < 4 else "'nsgaiii'"
    better = f"for {objectives} objectives {others} serves better"
    if name == "predictor_guided":
        return f"predictor_guided is for one objective; {better}"
    slow = _SLOW.get(name) if objectives >= 4 else None
    return slow and f"{slow}; {better}"


class ResumableSampler(BaseSampler):
    """Draws each trial with a sampler seeded by the study's seed and the trial's number.

    So a trial depends on the study before it alone: nothing has to be saved, and a study that was
    cut off goes on as if it had not been. Parameters that are sampled one by one have a seed each.

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
        self, study: Study, trial: FrozenTrial, name: str, distribution: BaseDistribution
    ) -> Any:
        asked = self._asked[trial.number, name]
        self._asked[trial.number, name] += 1
        sampler = self._make_for(trial.number, crc32(name.encode()), asked)
        return sampler.sample_independent(study, trial, name, distribution)

    def after_trial(self, study: Study, trial: FrozenTrial, *told: Any) -> None:
        self._sampler(trial).after_trial(study, trial, *told)
        self._samplers.pop(trial.number, None)
        for param_name in trial.params:
            self._asked.pop((trial.number, param_name), None)


class NumberedQMCSampler(QMCSampler):
    """Gives each trial the point of its number in a scrambled quasi-random sequence.

    Optuna's counts in the study how many points it gave, so that one is lost with a process that is
    killed, and two workers may be given the same; and its first trial is at random.
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
