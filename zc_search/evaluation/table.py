"""One table that judges every proxy by the accuracies that training gave."""

from collections.abc import Mapping
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from zc_search.errors import EvaluationError, unknown_name
from zc_search.evaluation.bootstrap import check_bootstrap, percentiles, resamples
from zc_search.evaluation.correlation import FEWEST, kendall_rows, pearson_rows, spearman_rows
from zc_search.evaluation.pairs import Array, Kernel, finite_pairs
from zc_search.evaluation.top_k import best_rows, precision_rows, regret_rows

BASELINES = ("params", "flops")
"""Scores that need no forward pass: a proxy that does not beat them is not worth its price."""

SUBSETS = {"all": 1.0, "better half": 0.5, "top 10 %": 0.1}
"""What `evaluate` looks at: the share of the architectures with the best true accuracy."""

_STATISTICS: Mapping[str, Kernel] = {
    "kendall_tau": kendall_rows,
    "spearman": spearman_rows,
    "pearson": pearson_rows,
    "precision_top_10pct": partial(precision_rows, fraction=0.1),
    "precision_top_64": partial(precision_rows, k=64),
    "best_of_top_1": partial(best_rows, k=1),
    "best_of_top_10": partial(best_rows, k=10),
    "regret_top_10": partial(regret_rows, k=10),
}


def evaluate(
    scores: pd.DataFrame,
    accuracy: "pd.Series[float] | Mapping[Any, float]",
    directions: Mapping[str, Literal["maximize", "minimize"]] | None = None,
    *,
    n_bootstrap: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Judge every column of scores by the accuracies that training gave.

    One row a proxy and subset (`SUBSETS`, cut by true accuracy; whatever ties with the last one is
    in). Columns: ``proxy``, ``subset``, ``baseline`` (params or flops), ``n`` pairs used,
    ``dropped`` architectures of the subset without a finite score or accuracy, then each statistic
    with its bootstrap interval ``_low`` and ``_high``: ``kendall_tau`` (tau-b), ``spearman``,
    ``pearson``, ``precision_top_10pct`` and ``precision_top_64`` (in [0, 1]), ``best_of_top_1``,
    ``best_of_top_10`` and ``regret_top_10`` (in the accuracy's unit; all of the subset).

    Args:
        scores: One row an architecture, one column a proxy.
        accuracy: By the index of `scores`; architectures it lacks count as dropped.
        directions: Which way a proxy points at accuracy, so that a positive correlation is a
            useful one; "maximize" unless named. Baselines are maximised whatever is named: as
            objectives they are minimised, as predictors more is better.
        n_bootstrap: Resamples an interval is made of; with 0 the intervals are NaN.
        level: Coverage that the intervals aim at.
        seed: Of the resampling.

    Raises:
        EvaluationError: A repeated architecture or column, no architecture in common, a column
            that holds no numbers, an unknown column or direction, or a bootstrap setting out of
            range.
    """
    check_bootstrap(n_bootstrap, level)
    _check_unique("scores has the column", scores.columns)
    truth = _aligned(scores.index, accuracy)
    signed = {str(name): _signed(scores[name], directions or {}) for name in scores.columns}
    for name in directions or {}:
        if name not in signed:
            raise EvaluationError(unknown_name("column of scores", name, signed))

    rows = []
    for proxy, values in signed.items():
        for subset, share in SUBSETS.items():
            inside = _most_accurate(truth, share)
            x, y, dropped = finite_pairs(values[inside], truth[inside])
            row = {
                "proxy": proxy,
                "subset": subset,
                "baseline": proxy in BASELINES,
                "n": x.size,
                "dropped": dropped,
            }
            rows.append(row | _judged(x, y, n_bootstrap, level, seed))
    return pd.DataFrame(rows)


def best_so_far(values: ArrayLike, *, maximize: bool = True) -> Array:
    """Return the best of the values up to each one: a search's trajectory.

    NaN (a trial that failed) is passed over; before the first value the best is NaN.
    """
    return (np.fmax if maximize else np.fmin).accumulate(np.asarray(values, dtype=float))


def _aligned(index: pd.Index, accuracy: "pd.Series[float] | Mapping[Any, float]") -> Array:
    truth = accuracy if isinstance(accuracy, pd.Series) else pd.Series(dict(accuracy))
    _check_unique("scores lists", index)
    _check_unique("accuracy lists", truth.index)
    if len(index) and not index.isin(truth.index).any():
        raise EvaluationError(
            f"scores and accuracy have no architecture in common: scores starts with {index[0]!r}"
        )
    return _numbers(truth.reindex(index), "accuracy")


def _check_unique(what: str, keys: pd.Index) -> None:
    if keys.has_duplicates:
        again = keys[keys.duplicated()][0]
        raise EvaluationError(f"{what} {again!r} more than once: keep one of each")


def _signed(column: "pd.Series[Any]", directions: Mapping[str, str]) -> Array:
    name = str(column.name)
    direction = directions.get(name, "maximize")
    if direction not in ("maximize", "minimize"):
        choices = unknown_name("direction", direction, ("maximize", "minimize"))
        raise EvaluationError(f"{name}: {choices}")
    values = _numbers(column, name)
    return -values if direction == "minimize" and name not in BASELINES else values


def _numbers(column: "pd.Series[Any]", name: str) -> Array:
    try:
        return column.to_numpy(dtype=float, na_value=np.nan)
    except (TypeError, ValueError):
        raise EvaluationError(f"{name} holds no numbers but {column.dtype}") from None


def _most_accurate(truth: Array, share: float) -> NDArray[np.bool_]:
    known = truth[np.isfinite(truth)]
    if share == 1 or not known.size:
        return np.ones(truth.shape, bool)
    k = int(np.ceil(share * known.size))
    inside: NDArray[np.bool_] = np.isfinite(truth) & (truth >= np.partition(known, -k)[-k])
    return inside


def _judged(x: Array, y: Array, n: int, level: float, seed: int) -> dict[str, float]:
    whole = np.arange(x.size)[None]
    drawn: dict[str, list[Array]] = {name: [] for name in _STATISTICS}
    for rows in resamples(x.size, n, seed):
        for name, kernel in _STATISTICS.items():
            drawn[name].append(kernel(x, y, rows))
    judged: dict[str, float] = {}
    for name, kernel in _STATISTICS.items():
        judged[name] = float(kernel(x, y, whole)[0]) if x.size >= FEWEST else float("nan")
        judged[f"{name}_low"], judged[f"{name}_high"] = percentiles(drawn[name], level)
    return judged
