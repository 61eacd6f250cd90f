"""How much of the objectives' space a search dominates: exactly, or by sampling."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zc_search.errors import ReportError
from zc_search.report.tables import Floats, Trials, finite_rows

EXACT_UP_TO = 4
"""Objectives up to which the hypervolume is exact; beyond, its cost explodes."""

SAMPLES = 2**15


class Hypervolume(NamedTuple):
    """The dominated share of the box between the worst and the best value of each objective.

    Attributes:
        numbers: The trials that have all objectives, by number.
        share: After each of these trials, within [0, 1].
        error: Standard error of the share; all zero where it is exact.
        exact: Whether it was computed or sampled.
        samples: Points that were sampled; 0 where it is exact.
        objectives: What spans the box.
    """

    numbers: NDArray[np.int64]
    share: Floats
    error: Floats
    exact: bool
    samples: int
    objectives: tuple[str, ...]


def hypervolume(
    trials: Trials, *, exact_up_to: int = EXACT_UP_TO, samples: int = SAMPLES, seed: int = 0
) -> Hypervolume:
    """Follow the hypervolume of the objectives over the trials (Zitzler and Thiele 1998).

    The reference point is the worst value of each objective among all trials, and each axis is
    scaled by its best one: the share of two runs with different trials is not comparable.

    Args:
        trials: With objectives.
        exact_up_to: Sample beyond this many objectives.
        samples: Points drawn uniformly in the box.
        seed: Of the sampling.

    Raises:
        ReportError: No objective, or no trial with all of them finite.
    """
    names = tuple(name for name in trials.objectives if name in trials.table)
    if not names:
        raise ReportError("the hypervolume needs objectives, and the table names none")
    rows = trials.feasible
    costs = np.column_stack(
        [trials.numbers(n, rows) * (-1 if trials.direction(n) == "maximize" else 1) for n in names]
    )
    finite = finite_rows(costs)
    if not finite.any():
        raise ReportError(f"no trial has all objectives: {', '.join(names)}")
    costs = costs[finite]
    low, span = costs.min(axis=0), np.ptp(costs, axis=0)
    points = (costs - low) / np.where(span > 0, span, 1)
    # An objective that never varies would flatten the box, so it is left out of it.
    points = points[:, span > 0]
    numbers = rows["number"] if "number" in rows else rows.index.to_series()
    exact = len(names) <= exact_up_to
    if exact:
        share = exact_shares(points)
        error = np.zeros_like(share)
    else:
        share, error = sampled_shares(points, samples, seed)
    return Hypervolume(
        numbers.to_numpy(np.int64)[finite], share, error, exact, 0 if exact else samples, names
    )


def nondominated(costs: Floats) -> NDArray[np.bool_]:
    """Return which rows no other row dominates, all columns to be minimised.

    Equal rows stand or fall together; a row with a value that is not finite falls.
    """
    kept = np.zeros(len(costs), dtype=bool)
    finite = finite_rows(costs)
    if not finite.any():
        return kept
    # In this order no row is dominated by a later one.
    rows, places = np.unique(costs[finite], axis=0, return_inverse=True)
    front = np.empty_like(rows)
    best = np.zeros(len(rows), dtype=bool)
    size = 0
    for place, row in enumerate(rows):
        if not (front[:size] <= row).all(axis=1).any():
            front[size], best[place] = row, True
            size += 1
    kept[finite] = best[places.reshape(-1)]
    return kept


def exact_shares(points: Floats) -> Floats:
    """Return the volume dominated in the unit box after each point, all to be minimised.

    The part not dominated yet is kept as disjoint boxes. A point takes away its corner of each box
    that it reaches into, and what is left of such a box is cut into at most one box a dimension.

    Args:
        points: trials x objectives, within [0, 1]; 1 is the reference point.
    """
    count, dimensions = points.shape
    shares = np.empty(count)
    if not dimensions:
        return np.ones(count)
    low, high = np.zeros((1, dimensions)), np.ones((1, dimensions))
    dominated = 0.0
    for number, point in enumerate(points):
        reached = (high > point).all(axis=1)
        if reached.any():
            bottom, top = low[reached], high[reached]
            corner = np.maximum(bottom, point)
            dominated += float(np.prod(top - corner, axis=1).sum())
            lows, highs = [low[~reached]], [high[~reached]]
            for axis in range(dimensions):
                part = corner[:, axis] > bottom[:, axis]
                new_low, new_high = bottom[part].copy(), top[part].copy()
                new_low[:, :axis] = corner[part, :axis]
                new_high[:, axis] = corner[part, axis]
                lows.append(new_low)
                highs.append(new_high)
            low, high = np.concatenate(lows), np.concatenate(highs)
        shares[number] = dominated
    return shares


def sampled_shares(points: Floats, samples: int, seed: int) -> tuple[Floats, Floats]:
    """Estimate `exact_shares` with points drawn uniformly; also return the standard errors."""
    if not points.shape[1]:
        return np.ones(len(points)), np.zeros(len(points))
    waiting = np.random.default_rng(seed).random((points.shape[1], samples))
    shares = np.empty(len(points))
    for number, point in enumerate(points):
        hit = np.arange(waiting.shape[1])
        for column, value in zip(waiting, point, strict=True):  # few survive the first columns
            hit = hit[column[hit] >= value]
        if hit.size:
            waiting = np.delete(waiting, hit, axis=1)
        shares[number] = 1 - waiting.shape[1] / samples
    return shares, np.sqrt(shares * (1 - shares) / samples)
