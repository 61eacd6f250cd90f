"""Which differences between algorithms are more than the luck of the seeds."""

from collections.abc import Iterator
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata, wilcoxon

Floats = NDArray[np.float64]

_ROUNDING = 1e-9  # in percent


def pairwise_tests(ends: pd.DataFrame) -> pd.DataFrame:
    """Test each two algorithms against each other on what they found at the end.

    Wilcoxon's signed-rank test of the differences seed by seed, two-sided, equal seeds left out
    (Wilcoxon 1945); p values of one data set corrected after Holm (1979).

    Args:
        ends: See `final`.

    Returns:
        Columns: ``dataset``, ``first``, ``second``, ``difference`` (median of first minus second,
        percent), ``wins``, ``ties``, ``losses`` (seeds in which the first was better, equal,
        worse), ``p`` and ``p_holm``.
    """
    parts = []
    for dataset, best in _wide(ends):
        rows = []
        for first, second in combinations(best.columns, 2):
            pair = best[[first, second]].dropna()
            difference = (pair[first] - pair[second]).to_numpy(float)
            difference = np.where(np.abs(difference) < _ROUNDING, 0.0, difference)
            some = np.any(difference != 0)
            rows.append(
                {
                    "dataset": dataset,
                    "first": first,
                    "second": second,
                    "difference": float(np.median(difference)),
                    "wins": int(np.sum(difference > 0)),
                    "ties": int(np.sum(difference == 0)),
                    "losses": int(np.sum(difference < 0)),
                    "p": float(wilcoxon(difference).pvalue) if some else 1.0,
                }
            )
        table = pd.DataFrame(rows)
        if not table.empty:
            parts.append(table.assign(p_holm=holm(table["p"])))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def holm(p_values: ArrayLike) -> Floats:
    """Correct p values for their number (Holm 1979): the least one by all, the next by one less."""
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    corrected = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    result = np.empty(len(p))
    result[order] = np.minimum(corrected, 1.0)
    return result


def mean_ranks(ends: pd.DataFrame) -> pd.DataFrame:
    """Rank the algorithms in each seed by what they found at the end: 1 is best, ties share.

    Args:
        ends: See `final`.

    Returns:
        Columns: ``dataset``, ``algorithm``, ``rank`` (mean over the seeds), ``low`` and ``high``
        (its 95 % interval, 1.96 standard errors either way).
    """
    rows = []
    for dataset, best in _wide(ends):
        complete = best.dropna()
        ranks = rankdata(-complete.to_numpy(float).round(9), axis=1)
        errors = 1.96 * ranks.std(axis=0, ddof=min(1, len(ranks) - 1)) / np.sqrt(len(ranks))
        for algorithm, rank, error in zip(best.columns, ranks.mean(axis=0), errors, strict=True):
            rows.append(
                {
                    "dataset": dataset,
                    "algorithm": algorithm,
                    "rank": float(rank),
                    "low": float(rank - error),
                    "high": float(rank + error),
                }
            )
    return pd.DataFrame(rows)


def _wide(ends: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield for each data set what was found: a row a seed, a column an algorithm."""
    for dataset, own in ends.groupby("dataset", sort=False):
        wide = own.pivot_table(index="seed", columns="algorithm", values="best", sort=False)
        yield str(dataset), wide[list(dict.fromkeys(own["algorithm"]))]
