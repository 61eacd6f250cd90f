"""Who is better among several outcomes: feasibility first, then Pareto rank, then crowding."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .memory import Outcome

Floats = NDArray[np.float64]


def dominates(
    losses: Floats, violations: Floats | float, others: Floats, theirs: Floats | float
) -> NDArray[np.bool_]:
    """Return which outcomes are better than others beyond dispute; losses are in the last axis.

    Constrained domination (Deb et al. 2002, NSGA-II, definition 1): feasible before infeasible, of
    two infeasible ones the lesser violation, of two feasible ones the one that is nowhere worse and
    somewhere better.
    """
    nowhere_worse = np.all(losses <= others, axis=-1)
    somewhere_better = np.any(losses < others, axis=-1)
    feasible = (np.asarray(violations) <= 0) & (np.asarray(theirs) <= 0)
    less = np.less(violations, theirs)
    return np.asarray(np.where(feasible, nowhere_worse & somewhere_better, less))


class Front:
    """Outcomes none of which dominates another; a thousand of them are compared at once."""

    def __init__(self) -> None:
        self.members: list[Outcome] = []
        self._losses: Floats = np.empty((0, 0))
        self._violations: Floats = np.empty(0)

    def dominates(self, outcome: Outcome) -> bool:
        """Return whether a member dominates an outcome."""
        losses = self._losses.reshape(-1, len(outcome.losses))
        return bool(dominates(losses, self._violations, outcome.losses, outcome.violation).any())

    def add(self, outcome: Outcome) -> None:
        """Add an outcome that no member dominates; those that it dominates leave."""
        losses = self._losses.reshape(-1, len(outcome.losses))
        kept = ~dominates(outcome.losses, outcome.violation, losses, self._violations)
        self.members = [member for member, stays in zip(self.members, kept, strict=True) if stays]
        self.members.append(outcome)
        self._losses = np.vstack([losses[kept], outcome.losses])
        self._violations = np.append(self._violations[kept], outcome.violation)


def standing(outcomes: Sequence[Outcome]) -> NDArray[np.int64]:
    """Return each outcome's place, 0 the best: by rank, then crowding, then the later."""
    violations = np.array([outcome.violation for outcome in outcomes])
    losses = np.array([outcome.losses for outcome in outcomes])
    youngest_first = -np.arange(len(outcomes))
    if losses.shape[1] == 1:
        values = np.where(violations > 0, 0.0, losses[:, 0])
        order = np.lexsort((youngest_first, values, violations))
    else:
        ranks = _ranks(losses, violations)
        lonely = np.zeros(len(outcomes))
        for rank in np.unique(ranks):
            members = ranks == rank
            lonely[members] = crowding(losses[members])
        order = np.lexsort((youngest_first, -lonely, ranks))
    places = np.empty(len(outcomes), dtype=np.int64)
    places[order] = np.arange(len(outcomes))
    return places


def _ranks(losses: Floats, violations: Floats) -> NDArray[np.int64]:
    """Return constrained Pareto ranks, 0 for what nothing dominates."""
    beats = dominates(losses[:, None], violations[:, None], losses[None], violations[None])
    ranks = np.full(len(losses), -1)
    rank = 0
    while np.any(left := ranks < 0):
        ranks[left & ~np.any(beats & left[:, None], axis=0)] = rank
        rank += 1
    return ranks


def crowding(losses: Floats) -> Floats:
    """Return crowding distances (Deb et al. 2002, NSGA-II, section III-B) of outcomes of one rank.

    The sum over the objectives of the distance between the two neighbours, relative to the range;
    infinite for the outcomes at the ends.
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
