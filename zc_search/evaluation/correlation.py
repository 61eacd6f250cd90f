"""Rank and linear correlations: one sample by SciPy, many resamples at once by matrices."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from zc_search.evaluation.pairs import Array, Kernel, Positions, Statistic, finite_pairs

FEWEST = 3  # two pairs always correlate perfectly
_PAIRWISE = 2000  # most points whose n x n table of signs is worth its memory


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


ROWWISE: Mapping[Statistic, Kernel] = {
    kendall_tau: kendall_rows,
    spearman: spearman_rows,
    pearson: pearson_rows,
}
"""What computes the same correlation of many resamples at once."""
