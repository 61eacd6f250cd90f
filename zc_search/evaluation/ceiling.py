"""How high a rank correlation can be at most, as the accuracies themselves are noisy."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zc_search.errors import EvaluationError
from zc_search.evaluation.statistics import FEWEST, SUBSETS, kendall_tau

Array = NDArray[np.float64]

_NEIGHBOURS = 200  # in accuracy, whose seeds' deviations a draw is made of
_ADDED = (0.0, 0.5, 1.0)  # variances of noise added, in those of the mean
_GROUPS = 10


class Ceiling(NamedTuple):
    """The largest Kendall's tau that is to be expected, and its standard error."""

    tau: float
    error: float


def noise_ceiling(
    accuracies: ArrayLike, *, draws: int = 5, groups: int = _GROUPS, seed: int = 0
) -> dict[str, Ceiling]:
    """Return what a proxy that knew every architecture's expected accuracy would reach.

    By simulation and extrapolation (Cook and Stefanski 1994, SIMEX). The noise of an architecture's
    mean is drawn from the seeds' deviations of its neighbours in accuracy. Tau between the means
    and themselves with noise is too high, since noise has spread them: noise of 0 to 1 times its
    variance is added first, and the tau, a line over that variance, read off at -1.

    Args:
        accuracies: Architectures x training seeds, NaN where one was not trained; those count that
            have two seeds.
        draws: Of the noise, for each variance.
        groups: Random parts of the architectures, whose ceilings give the standard error.
        seed: Of the draws.

    Returns:
        By the subsets of `evaluate`, which are cut by the noisy accuracy.

    Raises:
        EvaluationError: Not architectures x seeds, or fewer than 30 a group with two seeds.
    """
    table = np.asarray(accuracies, dtype=float)
    table = table[np.isfinite(table).sum(axis=1) > 1] if table.ndim == 2 else table[:0]
    if len(table) < 3 * _GROUPS * groups:
        message = f"a ceiling needs {3 * _GROUPS * groups} architectures of two seeds"
        raise EvaluationError(f"{message}, got {len(table)}", given=len(table))
    rng = np.random.default_rng(seed)
    counts = np.isfinite(table).sum(axis=1)
    means = np.nanmean(table, axis=1)
    # A deviation from a mean that it is part of is too small.
    deviations = (table - means[:, None]) * np.sqrt(counts / (counts - 1))[:, None]
    order = np.argsort(means, kind="stable")
    pool, known = deviations[order], counts[order]
    places = np.argsort(order)

    def noise() -> Array:
        total = np.zeros(len(means))
        for trained in range(counts.max()):
            near = abs(places + rng.integers(-_NEIGHBOURS // 2, _NEIGHBOURS // 2 + 1, len(means)))
            near = np.where(near < len(means), near, 2 * (len(means) - 1) - near)
            nth = np.cumsum(np.isfinite(pool[near]), axis=1) > rng.integers(known[near])[:, None]
            picked = pool[near, np.argmax(nth, axis=1)]
            total += np.where(trained < counts, picked * rng.choice([-1, 1], len(means)), 0)
        mean: Array = total / counts
        return mean

    parts = np.array_split(rng.permutation(len(means)), groups)
    taus = np.zeros((len(_ADDED), len(SUBSETS), groups))
    for at, variance in enumerate(_ADDED):
        for _ in range(draws):
            truth = means + np.sqrt(variance) * noise()
            seen = truth + noise()
            shares = SUBSETS.values()
            taus[at] += [[_tau(truth[p], seen[p], share) for p in parts] for share in shares]
    curves = np.polyfit(_ADDED, taus.reshape(len(_ADDED), -1) / draws, 1)
    found = np.array([np.polyval(curve, -1.0) for curve in curves.T]).reshape(len(SUBSETS), groups)
    return {
        subset: Ceiling(float(values.mean()), float(values.std(ddof=1) / np.sqrt(groups)))
        for subset, values in zip(SUBSETS, found, strict=True)
    }


def _tau(truth: Array, seen: Array, share: float) -> float:
    best = seen >= np.sort(seen)[-max(FEWEST, round(share * len(seen)))]
    return kendall_tau(truth[best], seen[best])
