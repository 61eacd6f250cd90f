"""LIBRA: a few proxies chosen from many that were judged (Casarin et al. 2025, algorithm 1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from zc_search.errors import EvaluationError
from zc_search.evaluation.statistics import spearman

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]

_BEHIND = 0.1  # how far behind the best a proxy may be, as published
_BINS = 10


def choose_proxies(
    scores: Mapping[str, ArrayLike], accuracy: ArrayLike, params: ArrayLike, k: int = 3
) -> pd.DataFrame:
    """Choose k proxies that go well together, by LIBRA: low information gain, bias re-alignment.

    The first has the largest Spearman correlation r with the accuracy y. Others must have more than
    r - 0.1. Of them the second adds the least information on y to what is chosen, ``H(y | chosen)
    - H(y | chosen, z)``; the third's bias, the Spearman correlation with the number of parameters,
    is nearest to that of y. Further places go on as the second and third. Entropies are of ten bins
    of equally many values each; of more than one proxy chosen, of their mean rank.

    Takes scores by proxy, larger promising more, accuracies and numbers of parameters in the same
    order; an architecture counts where all are finite.

    Returns:
        One row a proxy, in the order chosen: ``proxy, chosen_for, spearman, information_gain,
        bias, bias_of_accuracy``; fewer than `k` where no others are good enough.

    Raises:
        EvaluationError: k below 1, or no proxy that correlates with the accuracy.
    """
    import pandas as pd

    if k < 1:
        raise EvaluationError(f"k={k!r} must be at least 1", key="k", given=k)
    table = pd.DataFrame({**scores, "": accuracy, " ": params}, dtype=float)
    table = table.loc[np.isfinite(table.to_numpy()).all(axis=1)]
    y, size = table.pop("").to_numpy(), table.pop(" ").to_numpy()
    columns = {str(name): table[name].to_numpy() for name in table}
    found = {name: spearman(x, y) for name, x in columns.items()}
    known = {name: rho for name, rho in found.items() if np.isfinite(rho)}
    if not known:
        raise EvaluationError("no proxy varies over three architectures of known accuracy")
    best = max(known, key=lambda name: known[name])
    near = [name for name, rho in known.items() if rho > known[best] - _BEHIND]
    bias = {name: spearman(columns[name], size) for name in near}
    of_accuracy = spearman(y, size)
    chosen = [best]
    gains = {best: np.nan}
    while len(chosen) < k and len(chosen) < len(near):
        left = [name for name in near if name not in chosen]
        together = np.mean([scipy.stats.rankdata(columns[name]) for name in chosen], axis=0)
        gain = {name: information_gain(y, together, columns[name]) for name in left}
        by_gain = len(chosen) % 2 == 1
        cost = gain if by_gain else {name: abs(of_accuracy - bias[name]) for name in left}
        chosen.append(min(left, key=lambda name: np.nan_to_num(cost[name], nan=np.inf)))
        gains[chosen[-1]] = gain[chosen[-1]]
    reasons = ["correlation", *(["information gain", "bias"] * len(chosen))]
    return pd.DataFrame(
        {
            "proxy": chosen,
            "chosen_for": reasons[: len(chosen)],
            "spearman": [known[name] for name in chosen],
            "information_gain": [gains[name] for name in chosen],
            "bias": [bias[name] for name in chosen],
            "bias_of_accuracy": of_accuracy,
        }
    )


def information_gain(y: ArrayLike, given: ArrayLike, z: ArrayLike) -> float:
    """Return H(y | given) - H(y | given, z) in bits, each in ten bins of equally many values."""
    y, given, z = (_binned(values) for values in (y, given, z))
    return _conditional(y, given) - _conditional(y, given * _BINS + z)


def _binned(values: ArrayLike) -> NDArray[np.int64]:
    ranks = scipy.stats.rankdata(values, method="average") - 0.5
    bins: NDArray[np.int64] = np.minimum(ranks * _BINS // len(ranks), _BINS - 1).astype(np.int64)
    return bins


def _conditional(y: NDArray[np.int64], given: NDArray[np.int64]) -> float:
    """Return H(y | given) of whole numbers, in bits."""
    return _entropy(given * _BINS + y) - _entropy(given)


def _entropy(values: NDArray[np.int64]) -> float:
    shares = np.unique(values, return_counts=True)[1] / len(values)
    return float(-(shares * np.log2(shares)).sum())
