"""How well scores order architectures: correlations, top-k choices, their bootstrap, one table."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import scipy  # which loads its `stats` when they are asked for
from numpy.typing import ArrayLike, NDArray

from zc_search.errors import EvaluationError

if TYPE_CHECKING:  # a benchmark looks up its figures without pandas
    import pandas as pd

Array = NDArray[np.float64]
Positions = NDArray[np.int64]
Times = NDArray[np.int64]  # samples x pairs

Statistic = Callable[[Array, Array], float]  # of scores and accuracies
Kernel = Callable[[Array, Array, Times], Array]
"""A statistic of many samples at once: scores, accuracies, and how often each sample has a pair."""

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
    return _correlation(scipy.stats.kendalltau, x, y)


def spearman(x: ArrayLike, y: ArrayLike) -> float:
    """Return Spearman's rank correlation, ties sharing their mean rank; else as `kendall_tau`."""
    return _correlation(scipy.stats.spearmanr, x, y)


def pearson(x: ArrayLike, y: ArrayLike) -> float:
    """Return Pearson's linear correlation; else as `kendall_tau`."""
    return _correlation(scipy.stats.pearsonr, x, y)


def _correlation(function: Callable[..., Any], x: ArrayLike, y: ArrayLike) -> float:
    x, y, _ = finite_pairs(x, y)
    if x.size < FEWEST or x.min() == x.max() or y.min() == y.max():
        return float("nan")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", scipy.stats.NearConstantInputWarning)
        return float(function(x, y).statistic)


def self_agreement(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return how far each proxy orders the same architectures alike in several tables.

    Such as of other initialisations or other images: what a proxy does not repeat it cannot know,
    and no accuracy is needed to see it.

    Args:
        tables: Scores, an architecture a row, a proxy a column. What is not in all is left out.

    Returns:
        A row a proxy, the best first: ``proxy``, ``n`` architectures, and Kendall's tau-b between
        two tables, as the mean (``kendall_tau``) and the ``least`` over all pairs of tables.

    Raises:
        EvaluationError: Fewer than two tables, or nothing that is in all.
    """
    import pandas as pd

    first, *others = tables
    rows, names = first.index, first.columns
    for other in others:
        rows, names = rows.intersection(other.index), names.intersection(other.columns, sort=False)
    if not others or len(rows) < FEWEST or names.empty:
        raise EvaluationError(
            "agreement is of two tables or more that have a proxy and three architectures in common"
        )
    found = []
    for name in names:
        columns = [table.loc[rows, name].to_numpy(dtype=float) for table in tables]
        taus = [kendall_tau(one, other) for one, other in combinations(columns, 2)]
        found.append((str(name), len(rows), float(np.mean(taus)), min(taus)))
    table = pd.DataFrame(found, columns=["proxy", "n", "kendall_tau", "least"])
    return table.sort_values("kendall_tau", ascending=False, ignore_index=True)


def _kendall_rows(x: Array, y: Array, times: Times, agreeing: Array | None = None) -> Array:
    # A sample has point i w_i times, so its concordant less discordant pairs are w'Sw with
    # S_ij = sign(x_i - x_j) sign(y_i - y_j), and its pairs untied in x are w'|sign(x_i - x_j)|w.
    # Of many points to first order in w - 1: the rest is of order 1/n, an interval 1/sqrt(n).
    if x.size > _PAIRWISE:
        beyond = times - 1.0
        of_x, of_y = (
            np.maximum(count.sum() + 2 * beyond @ count, 0)
            for count in (x.size - _tied(x), x.size - _tied(y))
        )
        agreeing = _agreement(x, y) if agreeing is None else agreeing
        both, untied = agreeing.sum() + 2 * beyond @ agreeing, np.sqrt(of_x * of_y)
    else:
        # Single precision is exact: all entries of w'S are whole numbers below 2^24.
        weights = times.astype(np.float32)

        def count(pairs: NDArray[np.float32]) -> Array:
            counts: Array = np.einsum("ri,ri->r", weights @ pairs, weights, dtype=float)
            return counts

        of_x, of_y = _signs(x), _signs(y)
        both, untied = count(of_x * of_y), np.sqrt(count(abs(of_x)) * count(abs(of_y)))
    tau = np.full(len(times), np.nan)
    np.divide(both, untied, out=tau, where=untied > 0)
    return tau.clip(-1, 1)


def _tied(values: Array) -> Array:
    """Return with how many each value is tied, itself among them."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    tied: Array = counts[inverse].astype(float)
    return tied


def _agreement(x: Array, y: Array) -> Array:
    """Return of each pair with how many others it is concordant less discordant, in n log² n."""
    return _below(x, y) + _below(-x, -y) - _below(x, -y) - _below(-x, y)


def _below(x: Array, y: Array) -> Array:
    """Return of each pair how many others are less in both, by merging halves (Knight 1966)."""
    order = np.lexsort((-y, x))  # of one x the largest y first, so that none counts another
    levels = np.unique(y[order], return_inverse=True)[1]
    places, total = np.arange(x.size), np.zeros(x.size)
    width = 1
    while width < x.size:
        merged = np.argsort(places // (2 * width) * x.size + levels, kind="stable")
        left = (merged // width) % 2 == 0
        # Stable, so that of one level the left half comes first: what is strictly less ends before.
        block, level = merged // (2 * width), levels[merged]
        new = np.flatnonzero(np.r_[True, (np.diff(block) != 0) | (np.diff(level) != 0)])
        passed = np.cumsum(left) - left
        strictly = np.repeat(passed[new], np.diff(new, append=x.size))
        first = np.flatnonzero(np.r_[True, np.diff(block) != 0])
        before = np.repeat(passed[first], np.diff(first, append=x.size))
        total[merged] += np.where(left, 0, strictly - before)
        width *= 2
    found = np.empty(x.size)
    found[order] = total
    return found


def _signs(values: Array) -> NDArray[np.float32]:
    """Return sign(v_i - v_j) for all i and j."""
    column = values[:, None]
    return (column > values).astype(np.float32) - (column < values)


def _spearman_rows(x: Array, y: Array, times: Times) -> Array:
    x, y = _ranks(x, times), _ranks(y, times)
    weighted, of_y = x * times, np.einsum("ri,ri->r", y * times, y)
    both = np.einsum("ri,ri->r", weighted, y)
    norm = np.sqrt(np.einsum("ri,ri->r", weighted, x) * of_y)
    rho: Array = np.divide(both, norm, out=np.full(len(times), np.nan), where=norm > 0)
    return rho


def _ranks(values: Array, times: Times) -> Array:
    """Return the mean ranks of each sample's values less their mean, samples x pairs."""
    order, starts = _groups(values)
    counts = np.add.reduceat(times[:, order], starts, axis=1)
    ranks = np.empty(times.shape)
    of_groups = (values.size - counts) / 2 - (np.cumsum(counts, axis=1) - counts)
    ranks[:, order] = np.repeat(of_groups, np.diff(starts, append=order.size), axis=1)
    return ranks


def _pearson_rows(x: Array, y: Array, times: Times) -> Array:
    x, y = _normalised(x, times), _normalised(y, times)
    products: Array = np.einsum("ri,ri,ri->r", x, y, times)
    return products.clip(-1, 1)


def _normalised(values: Array, times: Times) -> Array:
    """Return values less their mean, of norm one in each sample; NaN where they are all equal."""
    there = times > 0
    low = np.where(there, values, np.inf).min(axis=1, keepdims=True)
    high = np.where(there, values, -np.inf).max(axis=1, keepdims=True)
    largest = np.maximum(abs(low), abs(high))
    values = np.where(there, values, 0) / np.where(largest > 0, largest, 1)  # no square overflows
    values -= np.einsum("ri,ri->r", values, times)[:, None] / times.sum(axis=1, keepdims=True)
    norm = np.sqrt(np.einsum("ri,ri,ri->r", values, values, times))[:, None]
    normalised: Array = values / np.where((low < high) & (norm > 0), norm, np.nan)
    return normalised


NDCG_TOP = 1000
"""How many of the best scored `ndcg` looks at, as published."""


def ndcg(scores: ArrayLike, accuracy: ArrayLike, k: int = NDCG_TOP) -> float:
    """Return the normalised discounted cumulative gain of the k best scored, or of all.

    ``sum_j (2^a_j - 1) / log2(1 + j) / Z`` over the places j = 1, ..., k, with a_j the accuracy in
    percent there and Z the same of the perfect order (Tybl and Neumann 2025, VKDNW: k = 1,000). At
    most 1; ties in the score share their gains. NaN for fewer than three pairs.
    """
    x, y, _ = finite_pairs(scores, accuracy)
    return _of_whole(_ndcg_rows, x, y, k) if x.size >= FEWEST else float("nan")


def _ndcg_rows(x: Array, y: Array, times: Times, *, k: int = NDCG_TOP) -> Array:
    discount = np.where(np.arange(x.size) < k, 1 / np.log2(2 + np.arange(x.size)), 0)
    up_to = np.concatenate([[0], np.cumsum(discount)])
    # Of the best's gain, which alone may be beyond what a number can hold.
    gain = np.exp2(y - y.max()) - np.exp2(-y.max())

    def gained(values: Array) -> Array:
        order, starts, counts, before = _first(values, times, min(k, x.size))
        gains = np.add.reduceat(times[:, order] * gain[order], starts, axis=1)
        places = up_to[before + counts] - up_to[before]
        total: Array = (gains / np.maximum(counts, 1) * places).sum(axis=1)
        return total

    ideal = gained(y)
    share: Array = np.divide(gained(x), ideal, out=np.full(len(times), np.nan), where=ideal != 0)
    return share


_ROWWISE: Mapping[Statistic, Kernel] = {
    kendall_tau: _kendall_rows,
    spearman: _spearman_rows,
    pearson: _pearson_rows,
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

    Resamples whose statistic is not finite are left out; NaN for fewer than three finite pairs. The
    same seed gives the same `n` resamples; `level` is the coverage aimed at, above 0 and below 1.
    """
    x, y, _ = finite_pairs(x, y)

    def one_by_one(x: Array, y: Array, times: Times) -> Array:
        return np.array([statistic(np.repeat(x, row), np.repeat(y, row)) for row in times])

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
    if n and x.size > _PAIRWISE:  # once, and not for each of the portions below
        once = partial(_kendall_rows, agreeing=_agreement(x, y))
        kernels = {k: once if kernel is _kendall_rows else kernel for k, kernel in kernels.items()}
    rng = np.random.default_rng(seed)
    drawn = {name: np.full(n, np.nan) for name in kernels}
    step = max(1, _CHUNK // max(1, x.size))
    for start in range(0, n if x.size >= FEWEST else 0, step):
        rows = rng.integers(x.size, size=(min(step, n - start), x.size))
        times = np.array([np.bincount(row, minlength=x.size) for row in rows])
        for name, kernel in kernels.items():
            drawn[name][start : start + len(rows)] = kernel(x, y, times)
    middle = [(1 - level) / 2, (1 + level) / 2]
    finite = {name: values[np.isfinite(values)] for name, values in drawn.items()}
    return {
        name: Interval(*(np.quantile(values, middle).tolist() if values.size else [np.nan] * 2))
        for name, values in finite.items()
    }


def precision_at_top(
    scores: ArrayLike, accuracy: ArrayLike, *, k: int | None = None, fraction: float | None = None
) -> float:
    """Return which share of the k best scored are among the k most accurate, in [0, 1].

    Instead of `k` a `fraction` may be given, above 0 and below 1, at least one. Whatever is as
    accurate as the k-th counts; of ties in the score the expected share is returned. NaN unless
    there are more than k finite pairs.
    """
    if (k is None) == (fraction is None):
        raise EvaluationError(f"give either k or fraction, got k={k!r} and fraction={fraction!r}")
    if fraction is not None and not 0 < fraction < 1:
        message = f"fraction={fraction!r} must be above 0 and below 1"
        raise EvaluationError(message, key="fraction", given=fraction)
    return _of_whole(_precision_rows, scores, accuracy, k, fraction=fraction)


def best_of_top_k(scores: ArrayLike, accuracy: ArrayLike, k: int) -> float:
    """Return the best accuracy among the k best scored; of ties in the score the expected best.

    In its own unit; NaN for fewer than k finite pairs.
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
    whole = np.ones((1, x.size), dtype=np.int64)
    return float(kernel(x, y, whole, k=k, **options)[0]) if x.size else float("nan")


def _groups(values: Array) -> tuple[Positions, Positions]:
    """Return positions from the largest value to the least, and where each value starts."""
    order = np.argsort(-values, kind="stable")
    ordered = values[order]
    return order, np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])


def _first(values: Array, times: Times, k: int) -> tuple[Positions, Positions, Times, Times]:
    """Return the `_groups` that hold each sample's k largest, its number in each, and before it."""
    order, starts = _groups(values)
    held, last = 2 * k + 64, 0
    while last < len(starts):
        last = int(np.searchsorted(starts, min(held, order.size)))
        end = starts[last] if last < len(starts) else order.size
        if times[:, order[:end]].sum(axis=1).min(initial=order.size) >= k:
            break
        held *= 2
    starts, order = starts[:last], order[:end]
    counts = np.add.reduceat(times[:, order], starts, axis=1)
    return order, starts, counts, np.cumsum(counts, axis=1) - counts


def _least_of_first(values: Array, times: Times, k: int) -> Array:
    """Return the k-th largest value of each sample."""
    order, starts, counts, before = _first(values, times, k)
    reached: Array = values[order[starts[np.argmax(before + counts >= k, axis=1)]]]
    return reached


def _precision_rows(
    x: Array, y: Array, times: Times, *, k: int | None = None, fraction: float | None = None
) -> Array:
    if fraction is not None:
        k = max(1, round(fraction * x.size))
    if k is None or k >= x.size:
        return np.full(len(times), np.nan)
    order, starts, counts, before = _first(x, times, k)
    good = times[:, order] * (y[order] >= _least_of_first(y, times, k)[:, None])
    share = np.clip(k - before, 0, counts) / np.maximum(counts, 1)  # of the tied that are chosen
    hits: Array = (np.add.reduceat(good, starts, axis=1) * share).sum(axis=1)
    return hits / k


def _best_rows(x: Array, y: Array, times: Times, *, k: int) -> Array:
    if k > x.size:
        return np.full(len(times), np.nan)
    order = _first(x, times, k)[0]
    order = order[np.argsort(-y[order], kind="stable")]  # from most to least accurate
    times, cut = times[:, order], _least_of_first(x, times, k)[:, None]
    above, tied = times * (x[order] > cut), times * (x[order] == cut)
    # Go down from the most accurate: the chance that none so far was chosen ends at one above the
    # cut, and shrinks by (left - free) / left at each of the tied, of which `free` are chosen and
    # `left` have not been passed.
    free = k - above.sum(axis=1, keepdims=True)
    left = tied[:, ::-1].cumsum(axis=1)[:, ::-1]
    passed = np.where(above > 0, 0.0, 1.0)
    for copy in range(int(tied.max(initial=0))):
        chance = np.maximum(left - copy - free, 0) / np.maximum(left - copy, 1)
        passed *= np.where(tied > copy, chance, 1)
    first = -np.diff(np.cumprod(passed, axis=1), prepend=1, axis=1)
    best: Array = first @ y[order]
    return best


def _regret_rows(x: Array, y: Array, times: Times, *, k: int) -> Array:
    regret: Array = _least_of_first(y, times, 1) - _best_rows(x, y, times, k=k)
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
_WORTH_PROCESSES = 5_000_000  # resampled pairs take some seconds, as processes do to start


def evaluate(
    scores: pd.DataFrame,
    accuracy: pd.Series[float] | Mapping[Any, float] | ArrayLike,
    directions: Mapping[str, Literal["maximize", "minimize"]] | None = None,
    *,
    n_bootstrap: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    intervals: Collection[str] | None = None,
    n_jobs: int | None = 1,
    on_proxy: Callable[[int, int], None] = lambda done, total: None,
) -> pd.DataFrame:
    """Judge every column of scores, a row an architecture, by the accuracies that training gave.

    One row a proxy and subset (`SUBSETS`, cut by true accuracy; whatever ties with the last one is
    in). Columns: ``proxy``, ``subset``, ``baseline`` (params or flops), ``n`` pairs used,
    ``dropped`` architectures of the subset without a finite score or accuracy, then each statistic
    with its bootstrap interval ``_low`` and ``_high``: ``kendall_tau`` (tau-b), ``spearman``,
    ``pearson``, ``ndcg``, ``precision_top_10pct`` and ``precision_top_64`` (in [0, 1]),
    ``best_of_top_1``, ``best_of_top_10`` and ``regret_top_10`` (in the accuracy's unit).

    Args:
        scores: One row an architecture, one column a proxy.
        accuracy: By the index of `scores`, those it lacks being dropped; or in the rows' order.
        directions: Which way a proxy points at accuracy; "maximize" unless named, and always for
            baselines: as objectives they are minimised, as predictors more is better.
        n_bootstrap: Resamples an interval is made of; with 0 the intervals are NaN.
        level: Coverage that the intervals aim at.
        seed: Of the resampling.
        intervals: Statistics that get one, the others' being NaN; None for all, at five times the
            time of ``kendall_tau`` alone.
        n_jobs: Processes; None for one a core where that saves time.
        on_proxy: Called with how many proxies are judged, and of how many.

    Raises:
        EvaluationError: A sequence of another length, a repeated architecture or column, none in
            common, no numbers, an unknown column, direction or statistic, or a setting out of
            range.
    """
    import pandas as pd  # slow to import, as the other one, and not everyone judges
    from joblib import Parallel, cpu_count, delayed

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

    for name in intervals or ():
        if name not in _STATISTICS:
            raise EvaluationError.unknown("statistic", name, _STATISTICS, key="intervals")
    if n_jobs is None:
        worth = len(scores) * n_bootstrap * len(columns) >= _WORTH_PROCESSES
        n_jobs = max(1, min(len(columns), cpu_count())) if worth else 1
    bounded = {n: k for n, k in _STATISTICS.items() if intervals is None or n in intervals}
    settings = (true, bounded, n_bootstrap, level, seed)
    jobs = (delayed(_rows)(*job, *settings) for job in columns.items())
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
        message = f"accuracy has the shape {figures.shape}, and scores {len(index)} rows: give one "
        message += "number a row, or a pandas Series or a dict by the index of scores"
        raise EvaluationError(message, key="accuracy", given=accuracy)
    return pd.Series(figures, index)


def _numbers(column: pd.Series[Any], name: str) -> Array:
    try:
        return column.to_numpy(dtype=float, na_value=np.nan)
    except (TypeError, ValueError):
        raise EvaluationError(f"{name} holds no numbers but {column.dtype}") from None


def _rows(
    proxy: str,
    values: Array,
    truth: Array,
    bounded: Mapping[str, Kernel],
    n: int,
    level: float,
    seed: int,
) -> list[dict[str, Any]]:
    """Return the row of each subset."""
    rows = []
    known = int(np.isfinite(truth).sum())
    places = scipy.stats.rankdata(
        np.where(np.isfinite(truth), -truth, np.nan), method="min", nan_policy="omit"
    )
    for subset, share in SUBSETS.items():
        inside = (places <= np.ceil(share * known)) | (share == 1 or not known)
        x, y, dropped = finite_pairs(values[inside], truth[inside])
        whole = np.ones((1, x.size), dtype=np.int64)
        row: dict[str, Any] = {"proxy": proxy, "subset": subset, "baseline": proxy in BASELINES}
        row |= {"n": x.size, "dropped": dropped}
        bounds = _intervals(bounded, x, y, n, level, seed)
        for name, kernel in _STATISTICS.items():
            row[name] = np.nan if x.size < FEWEST else float(kernel(x, y, whole)[0])
            row[f"{name}_low"], row[f"{name}_high"] = bounds.get(name, (np.nan, np.nan))
        rows.append(row)
    return rows
