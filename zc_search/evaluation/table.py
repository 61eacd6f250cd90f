"""One table that judges every proxy by the accuracies that training gave."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from zc_search._utils.cores import available_cores
from zc_search.errors import EvaluationError
from zc_search.evaluation.correlations import (
    FEWEST,
    Array,
    Kernel,
    finite_pairs,
    intervals,
    kendall_rows,
    pearson_rows,
    spearman_rows,
)
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

_SIGNS = {"maximize": 1, "minimize": -1}

_WORTH_PROCESSES = 5_000_000
"""Resampled pairs that take some seconds, which is what processes take to start."""


def evaluate(
    scores: pd.DataFrame,
    accuracy: "pd.Series[float] | Mapping[Any, float]",
    directions: Mapping[str, Literal["maximize", "minimize"]] | None = None,
    *,
    n_bootstrap: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    n_jobs: int | None = 1,
    on_proxy: Callable[[int, int], None] = lambda done, total: None,
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
        n_jobs: Processes; None for one a core where that saves time.
        on_proxy: Called with how many proxies are judged, and of how many.

    Raises:
        EvaluationError: A repeated architecture or column, no architecture in common, a column
            that holds no numbers, an unknown column or direction, or a bootstrap setting out of
            range.
    """
    from joblib import Parallel, delayed  # slow to import, and not everyone judges

    truth = accuracy if isinstance(accuracy, pd.Series) else pd.Series(dict(accuracy))
    for what, keys in (
        ("scores has the column", scores.columns),
        ("scores lists", scores.index),
        ("accuracy lists", truth.index),
    ):
        if keys.has_duplicates:
            again = keys[keys.duplicated()][0]
            raise EvaluationError(f"{what} {again!r} more than once: keep one of each", given=again)
    if len(scores) and not scores.index.isin(truth.index).any():
        raise EvaluationError(
            "scores and accuracy have no architecture in common: "
            f"scores starts with {scores.index[0]!r}"
        )
    true = _numbers(truth.reindex(scores.index), "accuracy")
    columns = {str(name): _numbers(scores[name], str(name)) for name in scores}
    for name, direction in (directions or {}).items():
        if name not in columns:
            raise EvaluationError.unknown("column of scores", name, columns)
        if direction not in _SIGNS:
            raise EvaluationError.unknown("direction", direction, _SIGNS, key=name)
        columns[name] = columns[name] * (1 if name in BASELINES else _SIGNS[direction])

    if n_jobs is None:
        worth = len(scores) * n_bootstrap * len(columns) >= _WORTH_PROCESSES
        n_jobs = max(1, min(len(columns), available_cores())) if worth else 1
    jobs = (delayed(_rows)(*job, true, n_bootstrap, level, seed) for job in columns.items())
    rows: list[dict[str, Any]] = []
    on_proxy(0, len(columns))
    judged = Parallel(n_jobs, return_as="generator")(jobs)
    for done, of_one in enumerate(judged, start=1):
        rows += of_one
        on_proxy(done, len(columns))
    return pd.DataFrame(rows)


def best_so_far(values: ArrayLike, *, maximize: bool = True) -> Array:
    """Return the best of the values up to each one: a search's trajectory.

    NaN (a trial that failed) is passed over; before the first value the best is NaN.
    """
    return (np.fmax if maximize else np.fmin).accumulate(np.asarray(values, dtype=float))


def _numbers(column: "pd.Series[Any]", name: str) -> Array:
    try:
        return column.to_numpy(dtype=float, na_value=np.nan)
    except (TypeError, ValueError):
        raise EvaluationError(f"{name} holds no numbers but {column.dtype}") from None


def _rows(
    proxy: str, values: Array, truth: Array, n: int, level: float, seed: int
) -> list[dict[str, Any]]:
    """Return the row of each subset."""
    rows = []
    places = pd.Series(truth).where(np.isfinite(truth)).rank(method="min", ascending=False)
    known = places.count()
    for subset, share in SUBSETS.items():
        whole = share == 1 or not known
        inside = np.full(truth.shape, True) if whole else (places <= np.ceil(share * known))
        x, y, dropped = finite_pairs(values[inside], truth[inside])
        row = {"proxy": proxy, "subset": subset, "baseline": proxy in BASELINES}
        row |= {"n": x.size, "dropped": dropped}
        bounds = intervals(_STATISTICS, x, y, n, level, seed)
        for name, kernel in _STATISTICS.items():
            row[name] = (
                float(kernel(x, y, np.arange(x.size)[None])[0])
                if x.size >= FEWEST
                else float("nan")
            )
            row[f"{name}_low"], row[f"{name}_high"] = bounds[name]
        rows.append(row)
    return rows
