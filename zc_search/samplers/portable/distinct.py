"""Any sampler, made to look at no point twice, or at none that is refused."""

from copy import copy
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from .memory import CHECKS, Key, Memory, Refuses, RememberingSampler, at_least, nearest
from .moves import Params, Space, draw_value, fixed_in


class _Around(BaseSampler):
    """What a sampler leaves to another one."""

    _sampler: BaseSampler

    def __str__(self) -> str:
        return f"{type(self).__name__}({self._sampler})"

    def reseed_rng(self) -> None:
        self._sampler.reseed_rng()

    def before_trial(self, *args: Any, **kwargs: Any) -> None:
        self._sampler.before_trial(*args, **kwargs)

    def after_trial(self, *args: Any, **kwargs: Any) -> None:
        self._sampler.after_trial(*args, **kwargs)

    def sample_independent(self, *args: Any, **kwargs: Any) -> Any:
        return self._sampler.sample_independent(*args, **kwargs)


class DistinctSampler(_Around, RememberingSampler[Memory]):
    """Asks another sampler again when its point was looked at before.

    If it insists, the new point nearest to what it said last is taken: a search that has converged
    goes on around its best points. So n trials are n points, as long as the space has that many.

    Args:
        sampler: Any sampler of Optuna's kind.
        attempts: How often it is asked for one trial, at least once.
        search_space: What will be suggested. Without it the space is what all trials so far have in
            common; parameters outside it are left to the sampler, unchecked.
        key: Points of equal key count as one; by default each point counts.
        seed: Of the choice between new points.
    """

    def __init__(
        self,
        sampler: BaseSampler,
        *,
        attempts: int = 4,
        search_space: Space | None = None,
        key: Key | None = None,
        seed: int | None = None,
    ) -> None:
        at_least(1, attempts=attempts)
        super().__init__(search_space, key, seed)
        self._sampler = sampler
        self._attempts = attempts

    def _new_memory(self, study: Study, space: Space) -> Memory:
        return Memory(study, space, self._key)

    def _choose(
        self, study: Study, trial: FrozenTrial, memory: Memory, rng: np.random.Generator
    ) -> Params:
        for _ in range(self._attempts):
            params = _ask(self._sampler, study, trial, memory.space)
            if memory.is_new(params):
                return params
        return memory.nearest_new(params, rng)


class RedrawingSampler(_Around):
    """Asks another sampler again for a trial whose point is refused.

    If it insists, the nearest point that is not refused is taken, as far as one is found.

    Args:
        sampler: Any sampler of Optuna's kind, whose random numbers go on from draw to draw.
        refuses: Says which points are not worth a trial.
        search_space: What will be suggested.
        attempts: How often it is asked for one trial, unless it says the same again.
    """

    def __init__(
        self, sampler: BaseSampler, refuses: Refuses, search_space: Space, *, attempts: int = 20
    ) -> None:
        at_least(1, attempts=attempts)
        self._sampler, self._refuses = sampler, refuses
        self._space, self._attempts = dict(search_space), attempts

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        return dict(self._space)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> Params:
        drawn: list[Params] = []
        for _ in range(self._attempts):
            params = _ask(self._sampler, study, trial, search_space)
            if not self._refuses(params):
                return params
            if params in drawn:
                break
            drawn.append(params)
        fixed, checks = fixed_in(search_space, trial), iter(range(CHECKS))

        def accepts(point: Params) -> bool:
            return next(checks, None) is None or not self._refuses(point)

        free = {name: kind for name, kind in search_space.items() if name not in fixed}
        found, _ = nearest(params, free, accepts, np.random.default_rng(trial.number))
        return found or params


def _ask(sampler: BaseSampler, study: Study, trial: FrozenTrial, space: Space) -> Params:
    """Ask a sampler for a point of `space`, as Optuna would in a trial."""
    relative = sampler.infer_relative_search_space(study, trial)
    together = sampler.sample_relative(study, trial, relative)
    # Some samplers look at what the trial has been given so far. Of a trial that was cut off
    # that is what this very point had, so they begin anew; what the user fixed stays.
    fixed = fixed_in(space, trial)
    so_far = copy(trial)
    so_far.params, so_far.distributions = dict(fixed), {name: space[name] for name in fixed}
    params: Params = {}
    for name, distribution in space.items():
        if name in fixed or name in together:
            params[name] = fixed.get(name, together.get(name))
        elif distribution.single():  # Optuna asks no sampler either
            params[name] = draw_value(distribution, np.random.default_rng(0))
        else:
            params[name] = sampler.sample_independent(study, so_far, name, distribution)
        so_far.params[name], so_far.distributions[name] = params[name], distribution
    return params
