"""How well scores order architectures: correlations, top-k choices, their bootstrap, one table."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from zc_search._utils.cores import available_cores
from zc_search.errors import EvaluationError

if TYPE_CHECKING:  # a benchmark looks up its figures without pandas
    import pandas as pd

Array = NDArray[np.float64]
Positions = NDArray[np.int64]

Statistic = Callable[[Array, Array], float]  # of scores and accuracies
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
        flat = "scores and accuracies must be two flat sequences of one length"
        raise EvaluationError(f"{flat}, got shapes {x.shape} and {y.shape}")
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


def _kendall_rows(x: Array, y: Array, rows: Positions) -> Array:
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


NDCG_TOP = 1000
"""How many of the best scored `ndcg` looks at, as published."""


def ndcg(scores: ArrayLike, accuracy: ArrayLike, k: int = NDCG_TOP) -> float:
    """Return the normalised discounted cumulative gain of the k best scored, or of all.

    ``sum_j (2^a_j - 1) / log2(1 + j) / Z`` over the places j = 1, ..., k, with a_j the accuracy in
    percent there and Z the same of the perfect order (Tybl and Neumann 2025, VKDNW, whose figures
    are those of percent and k = 1,000). At most 1; half the gain is lost with each percent, so
    that only the best count. Ties in the score share their gains. NaN for fewer than three pairs.
    """
    x, y, _ = finite_pairs(scores, accuracy)
    return _of_whole(_ndcg_rows, x, y, k) if x.size >= FEWEST else float("nan")


def _ndcg_rows(x: Array, y: Array, rows: Positions, *, k: int = NDCG_TOP) -> Array:
    count = rows.shape[1]
    discount = np.where(np.arange(count) < k, 1 / np.log2(2 + np.arange(count)), 0)
    # Of the best's gain, which alone may be beyond what a number can hold.
    gain = np.exp2(y - y.max()) - np.exp2(-y.max())

    def sorted_by(values: Array) -> Positions:
        order = np.argsort(-values, kind="stable")
        places = np.empty_like(order)
        places[order] = np.arange(order.size)
        found: Positions = order[np.sort(places[rows], axis=1)]
        return found

    ideal = gain[sorted_by(y)] @ discount
    ordered = sorted_by(x)
    values, chosen = x[ordered], gain[ordered]
    starts = np.ones(rows.shape, dtype=bool)
    starts[:, 1:] = values[:, 1:] != values[:, :-1]
    firsts = np.flatnonzero(starts)
    sizes = np.diff(firsts, append=starts.size)
    mean = np.add.reduceat(chosen.ravel(), firsts) / sizes
    found = np.repeat(mean, sizes).reshape(rows.shape) @ discount
    share: Array = np.divide(found, ideal, out=np.full(len(rows), np.nan), where=ideal != 0)
    return share


_ROWWISE: Mapping[Statistic, Kernel] = {
    kendall_tau: _kendall_rows,
    spearman: lambda x, y, rows: _row_correlation(
        stats.rankdata(x[rows], axis=1), stats.rankdata(y[rows], axis=1)
    ),
    pearson: lambda x, y, rows: _row_correlation(x[rows], y[rows]),
    ndcg: _ndcg_rows,
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
    for fewer than three finite pairs. The same seed gives the same `n` resamples; `level` is the
    coverage aimed at, above 0 and below 1.
    """
    x, y, _ = finite_pairs(x, y)

    def one_by_one(x: Array, y: Array, rows: Positions) -> Array:
        return np.array([statistic(x[row], y[row]) for row in rows])

    kernel = _ROWWISE.get(statistic, one_by_one)
    return _intervals({"": kernel}, x, y, n, level, seed)[""]


def _intervals(
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


def precision_at_top(
    scores: ArrayLike, accuracy: ArrayLike, *, k: int | None = None, fraction: float | None = None
) -> float:
    """Return which share of the k best scored are among the k most accurate.

    In [0, 1]; a random choice has k/n. Instead of `k` a `fraction` may be given, above 0 and below
    1, at least one. Whatever is as accurate as the k-th counts as among them; ties in the score are
    broken at random, and the expected share is returned. NaN unless there are more than k finite
    pairs.
    """
    if (k is None) == (fraction is None):
        raise EvaluationError(f"give either k or fraction, got k={k!r} and fraction={fraction!r}")
    if fraction is not None and not 0 < fraction < 1:
        message = f"fraction={fraction!r} must be above 0 and below 1"
        raise EvaluationError(message, key="fraction", given=fraction)
    return _of_whole(_precision_rows, scores, accuracy, k, fraction=fraction)


def best_of_top_k(scores: ArrayLike, accuracy: ArrayLike, k: int) -> float:
    """Return the best accuracy, in its own unit, among the k best scored.

    Ties in the score are broken at random, and the expected best is returned. NaN for fewer than
    k finite pairs.
    """
    return _of_whole(_best_rows, scores, accuracy, k)


def top_k_regret(scores: ArrayLike, accuracy: ArrayLike, k: int) -> float:
    """Return by how much the best of all is more accurate than `best_of_top_k`; 0 is best."""
    return _of_whole(_regret_rows, scores, accuracy, k)


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


def _precision_rows(
    x: Array, y: Array, rows: Positions, *, k: int | None = None, fraction: float | None = None
) -> Array:
    if fraction is not None:
        k = max(1, round(fraction * x.size))
    if k is None or k >= x.size:
        return np.full(len(rows), np.nan)
    above, tied = _cut(x[rows], k)
    good = np.logical_or(*_cut(y[rows], k))
    chance = (k - above.sum(axis=1)) / tied.sum(axis=1)  # that one of the tied is chosen
    hits: Array = (above & good).sum(axis=1) + chance * (tied & good).sum(axis=1)
    return hits / k


def _best_rows(x: Array, y: Array, rows: Positions, *, k: int) -> Array:
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


def _regret_rows(x: Array, y: Array, rows: Positions, *, k: int) -> Array:
    regret: Array = y[rows].max(axis=1) - _best_rows(x, y, rows, k=k)
    return regret


BASELINES = ("params", "flops")
"""Scores that need no forward pass: a proxy that does not beat them is not worth its price."""

SUBSETS = {"all": 1.0, "better half": 0.5, "top 10 %": 0.1}
"""What `evaluate` looks at: the share of the architectures with the best true accuracy."""

_STATISTICS: Mapping[str, Kernel] = {
    **{statistic.__name__: kernel for statistic, kernel in _ROWWISE.items()},
    "precision_top_10pct": partial(_precision_rows, fraction=0.1),
    "precision_top_64": partial(_precision_rows, k=64),
    "best_of_top_1": partial(_best_rows, k=1),
    "best_of_top_10": partial(_best_rows, k=10),
    "regret_top_10": partial(_regret_rows, k=10),
}

_SIGNS = {"maximize": 1, "minimize": -1}

_WORTH_PROCESSES = 5_000_000
"""Resampled pairs that take some seconds, which is what processes take to start."""


def evaluate(
    scores: pd.DataFrame,
    accuracy: pd.Series[float] | Mapping[Any, float] | ArrayLike,
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
    ``pearson``, ``ndcg``, ``precision_top_10pct`` and ``precision_top_64`` (in [0, 1]),
    ``best_of_top_1``, ``best_of_top_10`` and ``regret_top_10`` (in the accuracy's unit; all of the
    subset).

    Args:
        scores: One row an architecture, one column a proxy.
        accuracy: By the index of `scores`, where architectures it lacks count as dropped; or a
            flat sequence in the order of the rows.
        directions: Which way a proxy points at accuracy, so that a positive correlation is a
            useful one; "maximize" unless named. Baselines are maximised whatever is named: as
            objectives they are minimised, as predictors more is better.
        n_bootstrap: Resamples an interval is made of; with 0 the intervals are NaN.
        level: Coverage that the intervals aim at.
        seed: Of the resampling.
        n_jobs: Processes; None for one a core where that saves time.
        on_proxy: Called with how many proxies are judged, and of how many.

    Raises:
        EvaluationError: A sequence of another length, a repeated architecture or column, no
            architecture in common, a column that holds no numbers, an unknown column or direction,
            or a bootstrap setting out of range.
    """
    import pandas as pd  # slow to import, as the other one, and not everyone judges
    from joblib import Parallel, delayed

    truth = _by_index(accuracy, scores.index)
    listed = {"scores has the column": scores.columns, "scores lists": scores.index}
    for what, keys in (listed | {"accuracy lists": truth.index}).items():
        if keys.has_duplicates:
            again = keys[keys.duplicated()][0]
            raise EvaluationError(f"{what} {again!r} more than once: keep one of each", given=again)
    if len(scores) and not scores.index.isin(truth.index).any():
        first = f"scores starts with {scores.index[0]!r}"
        raise EvaluationError(f"scores and accuracy have no architecture in common: {first}")
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
    for done, of_one in enumerate(Parallel(n_jobs, return_as="generator")(jobs), start=1):
        rows += of_one
        on_proxy(done, len(columns))
    return pd.DataFrame(rows)


def best_so_far(values: ArrayLike, *, maximize: bool = True) -> Array:
    """Return the best of the values up to each one: a search's trajectory.

    NaN (a trial that failed) is passed over; before the first value the best is NaN.
    """
    return (np.fmax if maximize else np.fmin).accumulate(np.asarray(values, dtype=float))


def _by_index(accuracy: object, index: pd.Index[Any]) -> pd.Series[Any]:
    import pandas as pd

    if isinstance(accuracy, pd.Series):
        return accuracy
    if isinstance(accuracy, Mapping):
        return pd.Series(dict(accuracy))
    figures = np.asarray(accuracy)
    if figures.shape != (len(index),):
        message = (
            f"accuracy has the shape {figures.shape}, and scores {len(index)} rows: give one "
            "number a row, or a pandas Series or a dict by the index of scores"
        )
        raise EvaluationError(message, key="accuracy", given=accuracy)
    return pd.Series(figures, index)


def _numbers(column: pd.Series[Any], name: str) -> Array:
    try:
        return column.to_numpy(dtype=float, na_value=np.nan)
    except (TypeError, ValueError):
        raise EvaluationError(f"{name} holds no numbers but {column.dtype}") from None


def _rows(
    proxy: str, values: Array, truth: Array, n: int, level: float, seed: int
) -> list[dict[str, Any]]:
    """Return the row of each subset."""
    rows = []
    known = int(np.isfinite(truth).sum())
    places = stats.rankdata(
        np.where(np.isfinite(truth), -truth, np.nan), method="min", nan_policy="omit"
    )
    for subset, share in SUBSETS.items():
        inside = (places <= np.ceil(share * known)) | (share == 1 or not known)
        x, y, dropped = finite_pairs(values[inside], truth[inside])
        whole = np.arange(x.size)[None]
        row: dict[str, Any] = {"proxy": proxy, "subset": subset, "baseline": proxy in BASELINES}
        row |= {"n": x.size, "dropped": dropped}
        bounds = _intervals(_STATISTICS, x, y, n, level, seed)
        for name, kernel in _STATISTICS.items():
            row[name] = np.nan if x.size < FEWEST else float(kernel(x, y, whole)[0])
            row[f"{name}_low"], row[f"{name}_high"] = bounds[name]
        rows.append(row)
    return rows
