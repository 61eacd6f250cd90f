"""What a sampler knows of a study: every trial is read once, however long the study gets.

A `Memory` is a cache of nothing but the study: thrown away, it is rebuilt by reading the trials.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from threading import Lock
from typing import Any, Generic, NamedTuple, TypeVar
from weakref import WeakKeyDictionary
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from .moves import Params, Space, contains, draw, draw_value, fixed_in, neighbours, point_of

Key = Callable[[Mapping[str, Any]], Hashable]
"""From a point to what is the same for all points that count as one, such as isomorphic cells."""

Refuses = Callable[[Mapping[str, Any]], bool]
"""Whether a point is known not to be worth a trial."""

CHECKS = 1000
"""How many points are held against `Refuses` for one trial; what comes then is taken."""

_DRAWS = 50
_EXPANSIONS = 20_000


class Outcome(NamedTuple):
    """A finished trial, seen from a sampler."""

    params: Params
    losses: NDArray[np.float64]  # its objective values, signed so that less is better
    violation: float  # by how much it breaks its constraints in sum; 0 if it is feasible


class Memory:
    """What is known of a study on one search space."""

    def __init__(self, study: Study, space: Space, key: Key | None) -> None:
        self.space = dict(space)
        self.key: Key = key or (lambda params: tuple(params[name] for name in self.space))
        maximized = [direction == StudyDirection.MAXIMIZE for direction in study.directions]
        self._signs = np.where(maximized, -1.0, 1.0)
        self._finished: set[Hashable] = set()
        self._running: set[Hashable] = set()
        self._claims: dict[int, Hashable] = {}
        self._read = 0
        self._unfinished: list[int] = []
        self._exhausted = False
        self.refuses: Refuses | None = None
        self.checks = CHECKS

    def refresh(self, study: Study, number: int) -> None:
        """Read what is new in the study, from the point of view of the trial `number`."""
        trials = study.get_trials(deepcopy=False)
        unread = [*self._unfinished, *range(self._read, len(trials))]
        self._read = len(trials)
        self._unfinished = [place for place in unread if not trials[place].state.is_finished()]
        # What is learned must not depend on what happens to be under way when it is read.
        self._running = set()
        for place in unread:
            if trials[place].state.is_finished():
                self._claims.pop(trials[place].number, None)
                self._learn(trials[place])
        self._running = {key for other, key in self._claims.items() if other != number}
        for place in self._unfinished:
            point = point_of(self.space, trials[place].params)
            if trials[place].number != number and point:
                self._running.add(self.key(point))

    def is_new(self, params: Mapping[str, Any]) -> bool:
        """Return whether no trial, finished or not, has a point of the same key; nor is refused."""
        key = self.key(params)
        if key in self._finished or key in self._running:
            return False
        if self.refuses is None or not self.checks:
            return True
        self.checks -= 1
        return not self.refuses(params)

    def claim(self, number: int, params: Mapping[str, Any]) -> None:
        """Note the point of a trial before Optuna stores it."""
        if contains(self.space, params):
            self._claims[number] = self.key(params)

    @property
    def under_way(self) -> int:
        """How many other trials are not finished."""
        return len(self._running)

    def first_new(self, points: Iterable[Params]) -> Params | None:
        """Return the first of `points` that is new."""
        return next(filter(self.is_new, points), None)

    def draw_new(self, rng: np.random.Generator) -> Params:
        """Draw a new point at random; an old one if the space has no other."""
        for _ in range(_DRAWS):
            params = draw(self.space, rng)
            if self.is_new(params):
                return params
        return self.nearest_new(params, rng)

    def nearest_new(
        self, params: Params, rng: np.random.Generator, fixed: Collection[str] = ()
    ) -> Params:
        """Return a new point as few steps from `params` as can be, or `params`; `fixed` stays."""
        if self._exhausted:
            return params
        free = {name: kind for name, kind in self.space.items() if name not in fixed}
        point, no_more = nearest(params, free, self.is_new, rng)
        self._exhausted = no_more and not fixed
        return point or params

    def learn(self, outcome: Outcome) -> None:
        """Take in a trial that was completed; overridden by what samplers remember."""

    def learn_failure(self, params: Params) -> None:
        """Take in a trial that was pruned: it has no value, because it was not worth one."""

    def _learn(self, trial: FrozenTrial) -> None:
        if (params := point_of(self.space, trial.params)) is None:
            return
        self._finished.add(self.key(params))
        if trial.state == TrialState.COMPLETE:
            violation = sum(value for value in trial.constraints.values() if value > 0)
            losses = self._signs * np.array(trial.values, dtype=np.float64)
            self.learn(Outcome(params, losses, violation))
        elif trial.state == TrialState.PRUNED:
            self.learn_failure(params)


def nearest(
    params: Params, space: Space, accepts: Callable[[Params], bool], rng: np.random.Generator
) -> tuple[Params | None, bool]:
    """Return an accepted point as few steps from `params` as can be, or that there is none."""
    reached = {tuple(params.values())}
    ring = deque([params])
    for _ in range(_EXPANSIONS):
        if not ring:
            return None, True
        for moved in neighbours(ring.popleft(), space, rng):
            point = {**params, **moved}
            if accepts(point):
                return point, False
            if (values := tuple(point.values())) not in reached:
                reached.add(values)
                ring.append(point)
    return None, False


def at_least(least: float, **options: float) -> None:
    """Raise a ValueError for an option below what is allowed, and for NaN."""
    for name, value in options.items():
        if not value >= least:
            raise ValueError(f"{name}={value!r}: Allowed: at least {least}")


M = TypeVar("M", bound=Memory)


class RememberingSampler(BaseSampler, ABC, Generic[M]):
    """A sampler that chooses all parameters at once, knowing all trials so far.

    Each trial has random numbers of its own, which follow from the seed and the trial's number.
    So a study that was cut off goes on as if it had not been, given the same seed, and workers that
    share a seed do not repeat each other.

    Args:
        search_space: What will be suggested. Without it the parameters of the first trial are drawn
            one by one, and the space is what all trials so far have in common.
        key: Points of equal key count as one; by default each point counts.
        seed: Of all random choices.

    Attributes:
        refuses: Says of which points another is to be chosen instead; None for none.
    """

    def __init__(
        self, search_space: Space | None = None, key: Key | None = None, seed: int | None = None
    ) -> None:
        self._space = None if search_space is None else dict(search_space)
        self._key = key
        self.refuses: Refuses | None = None
        self._seed = int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0])
        self._forget()

    def _forget(self) -> None:
        self._lock = Lock()
        self._memories: WeakKeyDictionary[Study, M] = WeakKeyDictionary()
        self._inferred: WeakKeyDictionary[Study, IntersectionSearchSpace] = WeakKeyDictionary()

    def __getstate__(self) -> dict[str, Any]:
        caches = ("_lock", "_memories", "_inferred")
        return {key: value for key, value in vars(self).items() if key not in caches}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._forget()

    @abstractmethod
    def _new_memory(self, study: Study, space: Space) -> M: ...

    @abstractmethod
    def _choose(
        self, study: Study, trial: FrozenTrial, memory: M, rng: np.random.Generator
    ) -> Params:
        """Return the point of a trial."""

    def reseed_rng(self) -> None:
        """Do nothing: trials of different numbers have different random numbers already."""

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        if self._space is not None:
            return dict(self._space)
        with self._lock:
            inferred = self._inferred.setdefault(study, IntersectionSearchSpace())
            return inferred.calculate(study)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> Params:
        if not search_space:
            return {}
        with self._lock:
            memory = self._memories.get(study)
            if memory is None or memory.space != search_space:
                memory = self._memories[study] = self._new_memory(study, search_space)
            memory.refresh(study, trial.number)
            rng = self._rng(trial.number)
            memory.refuses, memory.checks = self.refuses, CHECKS
            params = self._choose(study, trial, memory, rng)
            if fixed := fixed_in(memory.space, trial):
                params = {**params, **fixed}
                if not memory.is_new(params):
                    params = memory.nearest_new(params, rng, fixed)
            memory.claim(trial.number, params)
            return params

    def sample_independent(
        self, study: Study, trial: FrozenTrial, name: str, distribution: BaseDistribution
    ) -> Any:
        return draw_value(distribution, self._rng(trial.number, crc32(name.encode())))

    def _rng(self, *purpose: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, *purpose])
