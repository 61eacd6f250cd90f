"""Bootstrap intervals: how far a statistic would move with another draw of architectures."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from zc_search.errors import EvaluationError
from zc_search.evaluation.correlation import FEWEST, ROWWISE
from zc_search.evaluation.pairs import Array, Positions, Statistic, finite_pairs

_CHUNK = 2**21  # positions resampled at once, 16 MiB


class Interval(NamedTuple):
    """Bounds of a bootstrap interval; both NaN where no resample gave a value."""

    low: float
    high: float


def bootstrap_interval(
    statistic: Statistic,
    x: ArrayLike,
    y: ArrayLike,
    n: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """Return the percentile bootstrap interval of a statistic of pairs (Efron 1979).

    Pairs are drawn with replacement; resamples whose statistic is not finite are left out. The
    three correlations are computed for many resamples at once, any other callable one by one. NaN
    for fewer than three finite pairs.

    Args:
        statistic: Takes scores and accuracies, returns a number.
        x: Scores.
        y: Accuracies.
        n: Number of resamples.
        level: Coverage aimed at, above 0 and below 1.
        seed: Of the resampling; the same seed gives the same interval.

    Raises:
        EvaluationError: `n` or `level` out of range, or not two flat sequences of one length.
    """
    check_bootstrap(n, level)
    x, y, _ = finite_pairs(x, y)

    def one_by_one(x: Array, y: Array, rows: Positions) -> Array:
        return np.array([statistic(x[row], y[row]) for row in rows])

    kernel = ROWWISE.get(statistic, one_by_one)
    drawn = [kernel(x, y, rows) for rows in resamples(x.size, n, seed)]
    return percentiles(drawn, level)


def check_bootstrap(n: int, level: float) -> None:
    """Raise EvaluationError for a number of resamples or a level out of range."""
    if n < 0:
        raise EvaluationError(f"the number of resamples must not be negative, got {n!r}")
    if not 0 < level < 1:
        raise EvaluationError(f"level={level!r} must be above 0 and below 1")


def resamples(size: int, n: int, seed: int) -> Iterator[Positions]:
    """Yield `n` rows of `size` positions, in chunks that bound the memory."""
    if size < FEWEST:
        return
    rng = np.random.default_rng(seed)
    step = max(1, _CHUNK // size)
    for start in range(0, n, step):
        yield rng.integers(size, size=(min(step, n - start), size))


def percentiles(drawn: list[Array], level: float) -> Interval:
    """Return the interval that holds the middle `level` of the finite values, given in chunks."""
    values = np.concatenate([np.empty(0), *drawn])
    values = values[np.isfinite(values)]
    if not values.size:
        return Interval(float("nan"), float("nan"))
    return Interval(*np.quantile(values, [(1 - level) / 2, (1 + level) / 2]).tolist())
