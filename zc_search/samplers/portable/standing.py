"""Who is better among several outcomes: feasibility first, then Pareto rank, then crowding."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .memory import Outcome


def dominates(first: Outcome, second: Outcome) -> bool:
    """Return whether one outcome is better than another beyond dispute.

    Constrained domination (Deb et al. 2002, NSGA-II, definition 1): feasible before infeasible, of
    two infeasible ones the lesser violation, of two feasible ones the one that is nowhere worse and
    somewhere better.
    """
    if first.violation or second.violation:
        return first.violation < second.violation
    return bool(np.all(first.losses <= second.losses) and np.any(first.losses < second.losses))


class Front:
    """Outcomes none of which dominates another; a thousand of them are compared at once."""

    def __init__(self) -> None:
        self.members: list[Outcome] = []
        self._losses: NDArray[np.float64] = np.empty((0, 0))
        self._violations: NDArray[np.float64] = np.empty(0)

    def dominates(self, outcome: Outcome) -> bool:
        """Return whether a member dominates an outcome."""
        if not self.members:
            return False
        if outcome.violation:
            return bool(np.any(self._violations < outcome.violation))
        better = np.any(self._losses < outcome.losses, axis=1)
        nowhere_worse = np.all(self._losses <= outcome.losses, axis=1)
        return bool(np.any(nowhere_worse & better & (self._violations == 0)))

    def add(self, outcome: Outcome) -> None:
        """Add an outcome that no member dominates; those that it dominates leave."""
        if self.members:
            if outcome.violation:
                worse = self._violations > outcome.violation
            else:
                beaten = np.all(outcome.losses <= self._losses, axis=1)
                beaten &= np.any(outcome.losses < self._losses, axis=1)
                worse = beaten | (self._violations > 0)
            if worse.any():
                kept = np.flatnonzero(~worse)
                self.members = [self.members[place] for place in kept]
                self._losses, self._violations = self._losses[kept], self._violations[kept]
        rows = self._losses.reshape(-1, len(outcome.losses))
        self.members.append(outcome)
        self._losses = np.vstack([rows, outcome.losses])
        self._violations = np.append(self._violations, outcome.violation)


def standing(outcomes: Sequence[Outcome]) -> NDArray[np.int64]:
    """Return the place of each outcome: 0 is best, no two share a place.

    Ordered by constrained Pareto rank, within a rank by crowding distance (the lonelier the
    better), and where that is equal by age (the later the better).
    """
    violations = np.array([outcome.violation for outcome in outcomes])
    losses = np.array([outcome.losses for outcome in outcomes])
    if losses.shape[1] == 1:
        values = np.where(violations > 0, 0.0, losses[:, 0])
        order = np.lexsort((-np.arange(len(outcomes)), values, violations))
    else:
        ranks = _ranks(losses, violations)
        lonely = np.zeros(len(outcomes))
        for rank in np.unique(ranks):
            members = ranks == rank
            lonely[members] = crowding(losses[members])
        order = np.lexsort((-np.arange(len(outcomes)), -lonely, ranks))
    places = np.empty(len(outcomes), dtype=np.int64)
    places[order] = np.arange(len(outcomes))
    return places


def _ranks(losses: NDArray[np.float64], violations: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return constrained Pareto ranks, 0 for what nothing dominates."""
    nowhere_worse = np.all(losses[:, None] <= losses[None], axis=2)
    beats = nowhere_worse & ~nowhere_worse.T
    infeasible = (violations[:, None] > 0) | (violations[None] > 0)
    beats = np.where(infeasible, violations[:, None] < violations[None], beats)
    ranks = np.full(len(losses), -1)
    rank = 0
    while np.any(left := ranks < 0):
        ranks[left & ~np.any(beats & left[:, None], axis=0)] = rank
        rank += 1
    return ranks


def crowding(losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return crowding distances (Deb et al. 2002, NSGA-II, section III-B).

    Args:
        losses: Outcomes x objectives, all of one rank.

    Returns:
        The sum over the objectives of the distance between the two neighbours, relative to the
        range; infinite for the outcomes at the ends.
    """
    distances = np.zeros(len(losses))
    finite = np.clip(losses, -1e300, 1e300)
    for column in finite.T:
        order = np.argsort(column, kind="stable")
        ordered = column[order]
        span = ordered[-1] / 2 - ordered[0] / 2
        distances[order[[0, -1]]] = np.inf
        if span > 0:
            distances[order[1:-1]] += (ordered[2:] / 2 - ordered[:-2] / 2) / span
    return distances
