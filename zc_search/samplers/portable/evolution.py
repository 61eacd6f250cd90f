"""Regularized evolution: a population from which the oldest is dropped, whatever it is worth."""

from collections import deque
from collections.abc import Callable, Hashable, Mapping
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.study import Study
from optuna.trial import FrozenTrial

from .memory import Key, Memory, Outcome, RememberingSampler, at_least
from .moves import Params, Space, draw, neighbours
from .standing import standing

Score = Callable[[Mapping[str, Any]], float] | Mapping[Hashable, float]
"""How promising a point is before it is evaluated, more being better: a function of the point, or
a table from its key (a point without an entry is the least promising)."""

_WARMUP = 2**32 - 1  # no trial has this number


class Population(Memory):
    """The latest completed trials of a study, and how they stand to each other."""

    def __init__(self, study: Study, space: Space, key: Key | None, size: int) -> None:
        super().__init__(study, space, key)
        self.members: deque[Outcome] = deque(maxlen=size)
        self.queue: list[Params] | None = None
        self._places: NDArray[np.int64] | None = None

    def learn(self, outcome: Outcome) -> None:
        self.members.append(outcome)
        self._places = None

    @property
    def places(self) -> NDArray[np.int64]:
        """The place of each member, 0 for the best."""
        if self._places is None:
            self._places = standing(self.members)
        return self._places


class RegularizedEvolutionSampler(RememberingSampler[Population]):
    """Regularized evolution (Real et al. 2019, algorithm 1), which looks at no point twice.

    Of a few members of the population, drawn at random, the best becomes the parent; one of its
    parameters is changed; the child joins the population and the oldest member leaves. For several
    objectives the best is the one of the lowest Pareto rank and, within it, of the largest crowding
    distance (Deb et al. 2002, NSGA-II). Infeasible members stand behind feasible ones.

    A child is always new, as long as any drawn member has a new neighbour, then as long as any
    member has one, and then is the new point nearest to the parent.

    Args:
        population_size: Members; as many points are drawn at random first.
        tournament_size: Members drawn, of which the best becomes the parent.
        score: What is thought of a point beforehand, for `warmup` and `moves`.
        warmup: Points drawn and scored before the first trial, of which the best are the first
            population (Abdelfattah et al. 2021, Zero-Cost Proxies, section 5.1); 0 for random ones.
        moves: New neighbours of the parent that are scored, of which the best becomes the child
            (section 5.2 there); 1 for a random one.
        search_space: What will be suggested; needed for a warm-up to reach the first trial.
        key: Points of equal key count as one; by default each point counts.
        seed: Of all random choices.
    """

    def __init__(
        self,
        *,
        population_size: int = 50,
        tournament_size: int = 10,
        score: Score | None = None,
        warmup: int = 0,
        moves: int = 1,
        search_space: Space | None = None,
        key: Key | None = None,
        seed: int | None = None,
    ) -> None:
        at_least(2, population_size=population_size)
        at_least(1, tournament_size=tournament_size, moves=moves)
        at_least(0, warmup=warmup)
        if tournament_size > population_size:
            raise ValueError(f"{tournament_size=} is more than {population_size=}")
        if score is None and (warmup or moves > 1):
            given = f"{warmup=}" if warmup else f"{moves=}"
            raise ValueError(f"{given} needs a score to choose by")
        super().__init__(search_space, key, seed)
        self._population_size, self._tournament_size = population_size, tournament_size
        self._score, self._warmup, self._moves = score, warmup, moves

    def _new_memory(self, study: Study, space: Space) -> Population:
        return Population(study, space, self._key, self._population_size)

    def _choose(
        self, study: Study, trial: FrozenTrial, memory: Population, rng: np.random.Generator
    ) -> Params:
        members = memory.members
        if not members or len(members) + memory.under_way < self._population_size:
            if memory.queue is None:
                memory.queue = self._warm(memory)
            return memory.first_new(memory.queue) or memory.draw_new(rng)
        tournament, others = np.split(rng.permutation(len(members)), [self._tournament_size])
        by_place = tournament[np.argsort(memory.places[tournament])]
        for place in (*by_place, *others):
            if child := self._child(members[place].params, memory, rng):
                return child
        return memory.nearest_new(members[by_place[0]].params, rng)

    def _warm(self, memory: Population) -> list[Params]:
        """Return the best of `warmup` points drawn at random, best first; no two of one key."""
        rng, drawn = self._rng(_WARMUP), dict[Hashable, Params]()
        for _ in range(20 * self._warmup):
            if len(drawn) < self._warmup:
                params = draw(memory.space, rng)
                drawn.setdefault(memory.key(params), params)
        best = sorted(drawn.values(), key=lambda p: -self._worth(p, memory))
        return best[: self._population_size]

    def _child(self, parent: Params, memory: Population, rng: np.random.Generator) -> Params | None:
        new = islice(filter(memory.is_new, neighbours(parent, memory.space, rng)), self._moves)
        if self._moves == 1:
            return next(new, None)
        return max(new, key=lambda params: self._worth(params, memory), default=None)

    def _worth(self, params: Params, memory: Population) -> float:
        if isinstance(self._score, Mapping):
            worth = self._score.get(memory.key(params), -np.inf)
        else:
            worth = self._score(params) if self._score else 0.0
        return -np.inf if np.isnan(worth) else float(worth)
