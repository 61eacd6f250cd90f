"""Local search: better neighbours until there are none, then from a random point again."""

import numpy as np
from optuna.study import Study
from optuna.trial import FrozenTrial

from .memory import Key, Memory, Outcome, RememberingSampler
from .moves import Params, Space, is_neighbour, neighbours
from .standing import Front

_AGAIN = 2**32 - 2  # no trial has this number


class Climb(Memory):
    """Where a search stands: the best points since it last began anew."""

    def __init__(self, study: Study, space: Space, key: Key | None) -> None:
        super().__init__(study, space, key)
        self.best = Front()

    def learn(self, outcome: Outcome) -> None:
        # Step to a point that is better, or begin anew from a far one if all near are known.
        if self.best.dominates(outcome):
            if self.step(np.random.default_rng(_AGAIN)) is not None:
                return
            points = (member.params for member in self.best.members)
            if any(is_neighbour(params, outcome.params, self.space) for params in points):
                return
            self.best = Front()
        self.best.add(outcome)

    def step(self, rng: np.random.Generator) -> Params | None:
        """Return a new neighbour of a best point, both at random; None if there is none."""
        members = self.best.members
        for place in rng.permutation(len(members)):
            points = neighbours(members[place].params, self.space, rng)
            if point := self.first_new(points):
                return point
        return None


class LocalSearchSampler(RememberingSampler[Climb]):
    """Local search (White et al. 2021, Local search is state of the art for NAS benchmarks).

    From a random point it looks at one new neighbour after another, in random order, and moves on
    as soon as one is better. Where none of them is, it begins anew from a new random point.

    For several objectives it stands at a set of points none of which dominates another, and looks
    at neighbours of all of them (Paquete et al. 2004, Pareto local search). A feasible point is
    better than an infeasible one.

    Args:
        search_space: What will be suggested.
        key: Points of equal key count as one; by default each point counts.
        seed: Of all random choices.
    """

    def _new_memory(self, study: Study, space: Space) -> Climb:
        return Climb(study, space, self._key)

    def _choose(
        self, study: Study, trial: FrozenTrial, memory: Climb, rng: np.random.Generator
    ) -> Params:
        return memory.step(rng) or memory.draw_new(rng)
