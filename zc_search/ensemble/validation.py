"""How well predictors rank what they were not fitted to, beside what they have to beat."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
from pydantic import BaseModel
from scipy.stats import rankdata
from scipy.stats import t as student
from sklearn.model_selection import RepeatedKFold

from zc_search.ensemble.features import (
    DEFAULT_AGGREGATE,
    RECORD,
    default_aggregate,
    structure_values,
)
from zc_search.ensemble.models import ROWS_IN_A_FOLD, fit_pipeline
from zc_search.ensemble.tables import (
    EnsembleSpec,
    Floats,
    bounds_of,
    check_directions,
    clipped,
    feasible_architectures,
    function_keys,
    numbers,
    require,
)
from zc_search.errors import EnsembleError
from zc_search.evaluation import (
    BASELINES,
    bootstrap_interval,
    kendall_tau,
    ndcg,
    spearman,
    top_k_regret,
)
from zc_search.spaces import CellSpace
from zc_search.spaces.base import space_written
from zc_search.spaces.nasbench201.structure import FLOW_FEATURES

LEVEL = 0.9
"""Share of cases that an interval of a figure is to hold."""

RECOMMENDED_PROXIES = (
    "meco",
    "meco_opt",
    "jacov",
    "gradsign",
    "reg_swap",
    "az_progressivity",
    "az_trainability",
    "layers",
)
"""Proxies worth scoring for an ensemble, or on one's own images.

Chosen one after another for how well their aggregate, with ``stage pools``, orders 246 cells of
NAS-Bench-201 by their accuracy on CIFAR-10; other cells and data sets had no say.
"""


def aggregate(
    table: pd.DataFrame,
    proxies: Sequence[str] = tuple(DEFAULT_AGGREGATE),
    directions: Mapping[str, str] | None = None,
) -> pd.Series:
    """Rank architectures by several proxies at once, without any accuracy.

    ``mean over proxies of log(rank / m)`` among the m rows of the table, the best rank being m
    (Lee and Ham 2024, AZ-NAS, non-linear ranking aggregation; a sum there): a low rank in one proxy
    counts for more than a high one in another. Ties share their mean rank, what is not finite has
    the worst. A structural feature that is no column is computed from ``architecture``.

    `directions` has ``minimize`` for proxies where less should mean more accuracy; else that of
    `DEFAULT_AGGREGATE` counts, or more is better. Returns scores on the table's index, at most 0.
    """
    if not proxies:
        raise EnsembleError("an aggregate needs at least one proxy, got none")
    directions = DEFAULT_AGGREGATE | check_directions(directions)
    total = np.zeros(len(table))
    computed = [proxy for proxy in proxies if proxy in FLOW_FEATURES and proxy not in table]
    require(table, ["architecture"] * bool(computed))
    described = structure_values(table, computed)
    for proxy in proxies:
        values = described[proxy] if proxy in described else numbers(table, proxy)
        if proxy in described and np.isnan(values).any():
            raise EnsembleError(f"{proxy!r} is known of cells of NAS-Bench-201 alone")
        ranks = np.ones(len(table))
        known = np.isfinite(values)
        sign = -1.0 if directions.get(proxy) == "minimize" else 1.0
        ranks[known] = rankdata(sign * values[known]) + np.count_nonzero(~known)
        total += np.log(ranks / len(table))
    return pd.Series(total / len(proxies), index=table.index, name="aggregate")


def aggregate_ranking(
    table: pd.DataFrame, proxies: Sequence[str], directions: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Rank the distinct feasible architectures of a table without any accuracy, the best first.

    On the table's index: ``architecture`` where known, `aggregate` and ``predicted_rank``.
    """
    table = feasible_architectures(table)
    return by_score(table, "aggregate", aggregate(table, proxies, directions))


def by_score(table: pd.DataFrame, name: str, score: pd.Series) -> pd.DataFrame:
    """Rank rows by a score of this name, the best first."""
    ranked = table.filter(["architecture"]).assign(**{name: score}, predicted_rank=ranks(score))
    return ranked.sort_values("predicted_rank", kind="stable", na_position="last")


def ranks(values: pd.Series) -> pd.Series:
    """Return ranks, 1 the best, tied ones sharing the smaller number."""
    return values.rank(ascending=False, method="min").astype("Int64")


class SingleProxy(BaseModel):
    """The proxy whose order agreed best with the accuracies, and 1 or -1 for its way."""

    model_config = RECORD

    proxy: str
    sign: float


def best_single_proxy(rows: pd.DataFrame, proxies: Sequence[str], target: str) -> SingleProxy:
    """Return the proxy whose Kendall's tau with the target is largest, and that tau's sign."""
    accuracies = numbers(rows, target)
    taus = {proxy: kendall_tau(numbers(rows, proxy), accuracies) for proxy in proxies}
    best = max(proxies, key=lambda proxy: np.nan_to_num(abs(taus[proxy]), nan=-1.0))
    return SingleProxy(proxy=best, sign=-1.0 if taus[best] < 0 else 1.0)


def baselines(
    judged: pd.DataFrame,
    population: pd.DataFrame,
    single: SingleProxy | None,
    proxies: Sequence[str],
    directions: Mapping[str, str],
) -> dict[str, Floats]:
    """Return the scores of rows to be judged by what stands beside an ensemble.

    The aggregate, of the same columns as an ensemble's ``+structure+aggregate``, ranks among the
    population, which holds those to be judged, on a unique index.
    """
    if (
        "architecture" in population
        and space_written(population["architecture"].iloc[0]) is CellSpace
    ):
        proxies = [*default_aggregate(proxies)]
    scores = {"best single proxy": single.sign * numbers(judged, single.proxy)} if single else {}
    scores["aggregate"] = aggregate(population, proxies, directions).loc[judged.index].to_numpy()
    return scores | {cost: numbers(judged, cost) for cost in BASELINES if cost in population}


def metrics(top_k: int) -> dict[str, Callable[[Floats, Floats], float]]:
    """Return the figures that predictors are judged by, of a score and the true accuracy."""
    regret = partial(top_k_regret, k=top_k)
    correlations = {"kendall_tau": kendall_tau, "spearman": spearman}
    return {**correlations, "ndcg": ndcg, "top_k_regret": regret}


class HeldOut(BaseModel):
    """How one predictor ranked architectures that it was not fitted to.

    Attributes:
        predictor: ``ensemble``, ``best single proxy``, ``aggregate``, ``params`` or ``flops``.
        judged: On what, in words; always held out.
        rows: Distinct architectures that took part.
        kendall_tau: None where it is undefined; ``_low`` and ``_high`` end its 90% interval.
        spearman: Likewise.
        ndcg: Likewise, the normalised discounted cumulative gain of the first 1,000.
        top_k: How many of the first ranked are looked at for the regret.
        top_k_regret: The best accuracy less the best among the first `top_k`, in percent.
    """

    model_config = RECORD

    predictor: str
    judged: str
    rows: int
    kendall_tau: float | None = None
    kendall_tau_low: float | None = None
    kendall_tau_high: float | None = None
    spearman: float | None = None
    spearman_low: float | None = None
    spearman_high: float | None = None
    ndcg: float | None = None
    ndcg_low: float | None = None
    ndcg_high: float | None = None
    top_k: int | None = None
    top_k_regret: float | None = None
    top_k_regret_low: float | None = None
    top_k_regret_high: float | None = None


def quality_table(records: Iterable[HeldOut]) -> pd.DataFrame:
    """Return records as a table, one row each, in their order."""
    rows = [record.model_dump() for record in records]
    return pd.DataFrame(rows, columns=list(HeldOut.model_fields))


def judge_scores(
    scores: Mapping[str, Floats], true: Floats, judged: str, n_bootstrap: int = 200, seed: int = 0
) -> tuple[HeldOut, ...]:
    """Judge scores, by predictor, of architectures whose accuracies nobody was fitted to.

    The intervals are those of the percentile bootstrap over the judged architectures.
    """
    records = []
    for predictor, score in scores.items():
        figures: dict[str, float] = {}
        for name, metric in metrics(top_k=10).items():
            ends = bootstrap_interval(metric, score, true, n_bootstrap, LEVEL, seed)
            values = {"": metric(score, true), "_low": ends.low, "_high": ends.high}
            figures |= {name + end: float(v) for end, v in values.items() if np.isfinite(v)}
        records.append(_record(predictor, judged, len(true), figures, 10))
    return tuple(records)


def folds_of(spec: EnsembleSpec, rows: int) -> int:
    """Return the folds that there can be, fewer than asked for where rows are few."""
    return min(spec.folds, rows // ROWS_IN_A_FOLD)


def cross_validate(
    rows: pd.DataFrame, population: pd.DataFrame, spec: EnsembleSpec
) -> tuple[tuple[HeldOut, ...], Floats, dict[str, float]]:
    """Judge the ensemble and its baselines on the same held-out folds.

    Returns a record a predictor; of held-out rows true minus predicted; and by function key what
    was predicted in the first repeat, all in percent; all empty where there are no two folds.

    Every fold refits everything; where every feature is constant, the mean is predicted. Figures
    are taken within a fold, as scores of two fits share no scale, and averaged. The regret looks at
    the first tenth of a fold, one architecture at least.
    """
    folds = folds_of(spec, len(rows))
    if folds < 2:
        return (), np.empty(0), {}
    top_k = max(1, len(rows) // folds // 10)
    bounds = bounds_of(numbers(rows, spec.target))
    figures: dict[str, list[list[float]]] = {}
    residuals, predictions = [], np.full(len(rows), np.nan)
    splits = RepeatedKFold(n_splits=folds, n_repeats=spec.repeats, random_state=spec.seed)
    for training, held_out in splits.split(rows):
        train, test = rows.iloc[training], rows.iloc[held_out]
        true = numbers(test, spec.target)
        try:
            score = np.asarray(fit_pipeline(train, spec, population=population).predict(test))
        except EnsembleError:
            score = np.full(len(test), numbers(train, spec.target).mean())
        predicted = clipped(score, bounds)
        residuals.append(true - predicted)
        first = np.isnan(predictions[held_out])
        predictions[held_out[first]] = predicted[first]
        single = best_single_proxy(train, spec.proxies, spec.target)
        beside = baselines(test, population, single, spec.proxies, spec.directions)
        for name, x in {"ensemble": score, **beside}.items():
            taken = [metric(x, true) for metric in metrics(top_k).values()]
            figures.setdefault(name, []).append(taken)
    judged = f"held out: {folds}-fold cross-validation, {spec.repeats} times"
    quality = []
    for name, values in figures.items():
        record: dict[str, float] = {}
        for metric_name, column in zip(metrics(top_k), np.array(values).T, strict=True):
            record |= _mean_figure(metric_name, column, 1 / (folds - 1))
        quality.append(_record(name, judged, len(rows), record, top_k))
    by_function = dict(zip(function_keys(rows).tolist(), predictions.tolist(), strict=True))
    return tuple(quality), np.concatenate(residuals), by_function


def resampled_interval(values: Floats, test_share: float) -> tuple[float, float, float]:
    """Return the mean of a score over resampled splits, and its interval at `LEVEL`.

    Training sets overlap, so the squared standard error is multiplied by ``1 + J · test_share``, of
    n_test / n_train (Nadeau and Bengio 2003, section 3, the corrected resampled t).
    """
    count, mean = len(values), float(values.mean())
    error = float(values.std(ddof=1)) * np.sqrt(1 / count + test_share)
    reach = float(student.ppf((1 + LEVEL) / 2, count - 1)) * error
    return mean, mean - reach, mean + reach


def _mean_figure(name: str, values: Floats, test_share: float) -> dict[str, float]:
    """Return a figure with its interval as fields of `HeldOut`; none where undefined."""
    known = values[np.isfinite(values)]
    if len(known) < 2:
        return {}
    mean, low, high = resampled_interval(known, test_share)
    least, largest = (0.0, np.inf) if name == "top_k_regret" else (-1.0, 1.0)
    return {name: mean, f"{name}_low": max(low, least), f"{name}_high": min(high, largest)}


def _record(
    predictor: str, judged: str, rows: int, figures: Mapping[str, float], top_k: int
) -> HeldOut:
    looked_at = top_k if "top_k_regret" in figures else None
    return HeldOut(predictor=predictor, judged=judged, rows=rows, top_k=looked_at, **figures)
