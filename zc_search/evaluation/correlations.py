"""Correlations of scores with accuracies, and how far another draw of pairs would move them.

One sample goes by SciPy, many resamples at once by matrices.
"""

import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from zc_search.errors import EvaluationError

Array = NDArray[np.float64]
Positions = NDArray[np.int64]

Statistic = Callable[[Array, Array], float]
"""Takes scores and accuracies."""

Kernel = Callable[[Array, Array, Positions], Array]
"""A statistic of many samples at once: scores, accuracies, and a row of positions each sample."""

FEWEST = 3  # two pairs always correlate perfectly
_PAIRWISE = 2000  # most points whose n x n table of signs is worth its memory
_CHUNK = 2**21  # positions resampled at once, 16 MiB


def finite_pairs(x: ArrayLike, y: ArrayLike) -> tuple[Array, Array, int]:
    """Return the pairs whose members are both finite, and how many others were dropped.

    Raises:
        EvaluationError: Not two flat sequences of one length.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if x.ndim != 1 or x.shape != y.shape:
        raise EvaluationError(
            f"scores and accuracies must be two flat sequences of one length, "
            f"got shapes {x.shape} and {y.shape}"
        )
    keep = np.isfinite(x) & np.isfinite(y)
    return x[keep], y[keep], int(np.count_nonzero(~keep))


def kendall_tau(x: ArrayLike, y: ArrayLike) -> float:
    """Return Kendall's tau-b, corrected for ties.

    In [-1, 1]; NaN for fewer than three finite pairs or if either member is constant.

    Raises:
        EvaluationError: Not two flat sequences of one length.
    """
    return _correlation(stats.kendalltau, x, y)


def spearman(x: ArrayLike, y: ArrayLike) -> float:
    """Return Spearman's rank correlation, ties sharing their mean rank; else as `kendall_tau`."""
    return _correlation(stats.spearmanr, x, y)


def pearson(x: ArrayLike, y: ArrayLike) -> float:
    """Return Pearson's linear correlation; else as `kendall_tau`."""
    return _correlation(stats.pearsonr, x, y)


def _correlation(function: Callable[..., Any], x: ArrayLike, y: ArrayLike) -> float:
    x, y, _ = finite_pairs(x, y)
    if x.size < FEWEST or x.min() == x.max() or y.min() == y.max():
        return float("nan")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.NearConstantInputWarning)
        return float(function(x, y).statistic)


def kendall_rows(x: Array, y: Array, rows: Positions) -> Array:
    """Return `kendall_tau` of every row of positions; there must be three pairs or more."""
    if x.size > _PAIRWISE:
        return np.array([kendall_tau(x[row], y[row]) for row in rows])
    # A resample repeats point i w_i times, so its concordant less discordant pairs are w'Sw with
    # S_ij = sign(x_i - x_j) sign(y_i - y_j), and its pairs untied in x are w'|sign(x_i - x_j)|w.
    # Single precision is exact: all entries of w'S are whole numbers below 2^24.
    times = np.zeros(rows.shape, np.float32)
    np.add.at(times, (np.arange(len(rows))[:, None], rows), 1)

    def count(pairs: NDArray[np.float32]) -> Array:
        counts: Array = np.einsum("ri,ri->r", times @ pairs, times, dtype=float)
        return counts

    of_x, of_y = _signs(x), _signs(y)
    untied = np.sqrt(count(abs(of_x)) * count(abs(of_y)))
    tau = np.full(len(rows), np.nan)
    np.divide(count(of_x * of_y), untied, out=tau, where=untied > 0)
    return tau


def _signs(values: Array) -> NDArray[np.float32]:
    """Return sign(v_i - v_j) for all i and j."""
    column = values[:, None]
    return (column > values).astype(np.float32) - (column < values)


def pearson_rows(x: Array, y: Array, rows: Positions) -> Array:
    """Return `pearson` of every row of positions; there must be three pairs or more."""
    return _row_correlation(x[rows], y[rows])


def spearman_rows(x: Array, y: Array, rows: Positions) -> Array:
    """Return `spearman` of every row of positions; there must be three pairs or more."""
    return _row_correlation(stats.rankdata(x[rows], axis=1), stats.rankdata(y[rows], axis=1))


def _row_correlation(x: Array, y: Array) -> Array:
    varies = (x.min(axis=1) < x.max(axis=1)) & (y.min(axis=1) < y.max(axis=1))
    products = (_normalised(x) * _normalised(y)).sum(axis=1)
    return np.where(varies, products.clip(-1, 1), np.nan)


def _normalised(values: Array) -> Array:
    largest = abs(values).max(axis=1, keepdims=True)
    values = values / np.where(largest > 0, largest, 1)  # so that no square overflows
    values -= values.mean(axis=1, keepdims=True)
    norm = np.sqrt(np.square(values).sum(axis=1, keepdims=True))
    return values / np.where(norm > 0, norm, 1)


_ROWWISE: Mapping[Statistic, Kernel] = {
    kendall_tau: kendall_rows,
    spearman: spearman_rows,
    pearson: pearson_rows,
}


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
    x, y, _ = finite_pairs(x, y)

    def one_by_one(x: Array, y: Array, rows: Positions) -> Array:
        return np.array([statistic(x[row], y[row]) for row in rows])

    kernel = _ROWWISE.get(statistic, one_by_one)
    return intervals({"": kernel}, x, y, n, level, seed)[""]


def intervals(
    kernels: Mapping[str, Kernel], x: Array, y: Array, n: int, level: float, seed: int
) -> dict[str, Interval]:
    """Return the interval of each statistic of finite pairs, all from the same resamples."""
    if n < 0:
        raise EvaluationError(f"the number of resamples must not be negative, got {n!r}", given=n)
    if not 0 < level < 1:
        message = f"level={level!r} must be above 0 and below 1"
        raise EvaluationError(message, key="level", given=level)
    rng = np.random.default_rng(seed)
    drawn = {name: np.full(n, np.nan) for name in kernels}
    step = max(1, _CHUNK // max(1, x.size))
    for start in range(0, n if x.size >= FEWEST else 0, step):
        rows = rng.integers(x.size, size=(min(step, n - start), x.size))
        for name, kernel in kernels.items():
            drawn[name][start : start + len(rows)] = kernel(x, y, rows)
    middle = [(1 - level) / 2, (1 + level) / 2]
    finite = {name: values[np.isfinite(values)] for name, values in drawn.items()}
    return {
        name: Interval(*(np.quantile(values, middle).tolist() if values.size else [np.nan] * 2))
        for name, values in finite.items()
    }
