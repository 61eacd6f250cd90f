"""Pairs of a score and an accuracy, and what may be asked of them."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zc_search.errors import EvaluationError

Array = NDArray[np.float64]
Positions = NDArray[np.int64]

Statistic = Callable[[Array, Array], float]
"""Takes scores and accuracies."""

Kernel = Callable[[Array, Array, Positions], Array]
"""A statistic of many samples at once: scores, accuracies, and a row of positions each sample."""


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
