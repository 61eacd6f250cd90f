"""How much of the objectives' space a search dominates: exactly, or by sampling."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zc_search.errors import ReportError
from zc_search.report.tables import Floats, Trials, finite_rows

EXACT_UP_TO = 4
"""Objectives up to which it is exact; of 1,000 random points in six it would take two minutes."""

SAMPLES = 2**15
"""Points beyond, so that the standard error is less than 0.003 of the box."""


class Hypervolume(NamedTuple):
    """The dominated share of the box between the worst and the best value of each objective.

    `share`, within [0, 1], is after each of the trials `numbers` that have all `objectives`.
    """

    numbers: NDArray[np.int64]
    share: Floats
    objectives: tuple[str, ...]
    exact: bool


def hypervolume(trials: Trials) -> Hypervolume:
    """Follow the hypervolume of the objectives over the trials (Zitzler and Thiele 1998).

    The reference point is the worst value of each objective among all trials, and each axis is
    scaled by its best one: the share of two runs with different trials is not comparable.
    """
    names = tuple(name for name in trials.objectives if name in trials.table)
    if not names:
        raise ReportError("the hypervolume needs objectives, and the table names none")
    rows = trials.feasible
    costs = trials.costs(names, rows)
    finite = finite_rows(costs)
    if not finite.any():
        raise ReportError(f"no trial has all objectives: {', '.join(names)}")
    costs = costs[finite]
    low, span = costs.min(axis=0), np.ptp(costs, axis=0)
    # An objective that never varies would flatten the box, so it is left out of it.
    points = ((costs - low) / np.where(span > 0, span, 1))[:, span > 0]
    numbers = rows["number"] if "number" in rows else rows.index.to_series()
    exact = len(names) <= EXACT_UP_TO
    share = exact_shares(points) if exact else sampled_shares(points)
    return Hypervolume(numbers.to_numpy(np.int64)[finite], share, names, exact)


def exact_shares(points: Floats) -> Floats:
    """Return the volume dominated in the unit box after each point, all to be minimised.

    The part not dominated yet is kept as disjoint boxes. A point takes away its corner of each box
    that it reaches into, and what is left of such a box is cut into at most one box a dimension.
    `points` are trials x objectives, within [0, 1]; 1 is the reference point.
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


def sampled_shares(points: Floats, samples: int = SAMPLES, seed: int = 0) -> Floats:
    """Estimate `exact_shares` with points drawn uniformly in the box."""
    waiting = np.random.default_rng(seed).random((points.shape[1], samples))
    shares = np.ones(len(points))
    for number, point in enumerate(points):
        hit = np.arange(waiting.shape[1])
        for column, value in zip(waiting, point, strict=True):  # few survive the first columns
            hit = hit[column[hit] >= value]
        waiting = np.delete(waiting, hit, axis=1)
        shares[number] = 1 - waiting.shape[1] / samples
    return shares
