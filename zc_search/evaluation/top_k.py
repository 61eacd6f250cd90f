"""What a score is good for: which architectures it puts first, and how accurate they are."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zc_search.errors import EvaluationError
from zc_search.evaluation.correlations import Array, Positions, finite_pairs


def precision_at_top(
    scores: ArrayLike, accuracy: ArrayLike, *, k: int | None = None, fraction: float | None = None
) -> float:
    """Return which share of the k best scored are among the k most accurate.

    In [0, 1]; a random choice has k/n. Whatever is as accurate as the k-th counts as among them;
    ties in the score are broken at random, and the expected share is returned. NaN unless there
    are more than k finite pairs.

    Args:
        scores: Larger is better.
        accuracy: True accuracies.
        k: How many to choose.
        fraction: Instead of `k`, the share to choose, above 0 and below 1; at least one.

    Raises:
        EvaluationError: Both or neither of `k` and `fraction`, or one out of its range.
    """
    if (k is None) == (fraction is None):
        raise EvaluationError(f"give either k or fraction, got k={k!r} and fraction={fraction!r}")
    if fraction is not None and not 0 < fraction < 1:
        message = f"fraction={fraction!r} must be above 0 and below 1"
        raise EvaluationError(message, key="fraction", given=fraction)
    return _of_whole(precision_rows, scores, accuracy, k, fraction=fraction)


def best_of_top_k(scores: ArrayLike, accuracy: ArrayLike, k: int) -> float:
    """Return the best accuracy, in its own unit, among the k best scored.

    Ties in the score are broken at random, and the expected best is returned. NaN for fewer than
    k finite pairs.

    Raises:
        EvaluationError: `k` below 1.
    """
    return _of_whole(best_rows, scores, accuracy, k)


def top_k_regret(scores: ArrayLike, accuracy: ArrayLike, k: int) -> float:
    """Return by how much the best of all is more accurate than `best_of_top_k`; 0 is best."""
    return _of_whole(regret_rows, scores, accuracy, k)


def _of_whole(
    kernel: Callable[..., Array], x: ArrayLike, y: ArrayLike, k: int | None, **options: Any
) -> float:
    if k is not None and k < 1:
        raise EvaluationError(f"k={k!r} must be at least 1", key="k", given=k)
    x, y, _ = finite_pairs(x, y)
    whole = np.arange(x.size)[None]
    return float(kernel(x, y, whole, k=k, **options)[0]) if x.size else float("nan")


def _cut(values: Array, k: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Tell what lies above the k-th largest of each row from what is tied with it."""
    threshold = np.partition(values, -k, axis=1)[:, -k, None]
    return values > threshold, values == threshold


def precision_rows(
    x: Array, y: Array, rows: Positions, *, k: int | None = None, fraction: float | None = None
) -> Array:
    """Return `precision_at_top` of every row of positions."""
    if fraction is not None:
        k = max(1, round(fraction * x.size))
    if k is None or k >= x.size:
        return np.full(len(rows), np.nan)
    above, tied = _cut(x[rows], k)
    good = np.logical_or(*_cut(y[rows], k))
    chance = (k - above.sum(axis=1)) / tied.sum(axis=1)  # that one of the tied is chosen
    hits: Array = (above & good).sum(axis=1) + chance * (tied & good).sum(axis=1)
    return hits / k


def best_rows(x: Array, y: Array, rows: Positions, *, k: int) -> Array:
    """Return `best_of_top_k` of every row of positions."""
    if k > x.size:
        return np.full(len(rows), np.nan)
    order = np.argsort(-y, kind="stable")
    places = np.argsort(order)
    rows = order[np.sort(places[rows], axis=1)]  # each sample from most to least accurate
    above, tied = _cut(x[rows], k)
    # Go down from the most accurate: the chance that none so far was chosen ends at one above the
    # cut, and shrinks by (left - free) / left at each of the tied, of which `free` are chosen and
    # `left` have not been passed.
    free = k - above.sum(axis=1, keepdims=True)
    left = tied[:, ::-1].cumsum(axis=1)[:, ::-1]
    passed = np.where(tied, np.maximum(left - free, 0) / np.maximum(left, 1), ~above)
    first = -np.diff(np.cumprod(passed, axis=1), prepend=1, axis=1)
    best: Array = (first * y[rows]).sum(axis=1)
    return best


def regret_rows(x: Array, y: Array, rows: Positions, *, k: int) -> Array:
    """Return `top_k_regret` of every row of positions."""
    regret: Array = y[rows].max(axis=1) - best_rows(x, y, rows, k=k)
    return regret
