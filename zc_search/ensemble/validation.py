"""How well predictors rank architectures that they were not fitted to."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from pydantic import BaseModel
from scipy.stats import t as student
from sklearn.model_selection import RepeatedKFold

from zc_search.ensemble.baselines import baselines
from zc_search.ensemble.features import RECORD
from zc_search.ensemble.tables import Floats, bounds_of, clipped, numbers
from zc_search.errors import EnsembleError
from zc_search.evaluation import bootstrap_interval, kendall_tau, spearman, top_k_regret

METRICS = ("kendall_tau", "spearman", "top_k_regret")

RANGES = {"kendall_tau": (-1.0, 1.0), "spearman": (-1.0, 1.0), "top_k_regret": (0.0, np.inf)}
"""Least and largest value of each figure."""

LEVEL = 0.9
"""Share of cases that an interval of a figure is to hold."""

ROWS_IN_A_FOLD = 3
"""With fewer held-out rows a rank correlation takes two values only."""

Fit = Callable[[pd.DataFrame], Any]
"""From training rows to a fitted scikit-learn pipeline."""


class HeldOut(BaseModel):
    """How one predictor ranked architectures that it was not fitted to.

    Attributes:
        predictor: ``ensemble``, ``best single proxy``, ``aggregate``, ``params`` or ``flops``.
        judged: On what, in words; always held out.
        rows: Distinct architectures that took part.
        kendall_tau: None where it is undefined; ``_low`` and ``_high`` end its 90% interval.
        spearman: Likewise.
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
    top_k: int | None = None
    top_k_regret: float | None = None
    top_k_regret_low: float | None = None
    top_k_regret_high: float | None = None


def quality_table(records: Iterable[HeldOut]) -> pd.DataFrame:
    """Return records as a table, one row each, in their order."""
    rows = [record.model_dump() for record in records]
    return pd.DataFrame(rows, columns=list(HeldOut.model_fields))


def judge_scores(
    scores: Mapping[str, Floats],
    true: Floats,
    judged: str,
    *,
    top_k: int = 10,
    n_bootstrap: int = 200,
    seed: int = 0,
) -> tuple[HeldOut, ...]:
    """Judge scores, by predictor, of architectures whose accuracies nobody was fitted to.

    The intervals are those of the percentile bootstrap over the judged architectures: how the
    figure would move with another sample of them, the fit staying what it is.
    """

    def regret(x: Floats, y: Floats) -> float:
        return top_k_regret(x, y, top_k)

    records = []
    for predictor, score in scores.items():
        figures: dict[str, float] = {}
        for name, figure in zip(METRICS, (kendall_tau, spearman, regret), strict=True):
            interval = bootstrap_interval(figure, score, true, n_bootstrap, LEVEL, seed)
            values = {name: figure(score, true)}
            values |= {f"{name}_low": interval.low, f"{name}_high": interval.high}
            figures |= {key: float(value) for key, value in values.items() if np.isfinite(value)}
        records.append(_record(predictor, judged, len(true), figures, top_k))
    return tuple(records)


class CrossValidation(NamedTuple):
    """What repeated cross-validation found.

    Attributes:
        quality: One record for each predictor, the ensemble's first.
        residuals: True minus predicted accuracy, in percent, of every held-out row and repeat.
        predictions: Of each row, in percent, by the fit of the first repeat that had not seen it.
        folds: Folds used, fewer than asked for where rows are few.
    """

    quality: tuple[HeldOut, ...]
    residuals: Floats
    predictions: Floats
    folds: int


def cross_validate(
    fit: Fit,
    rows: pd.DataFrame,
    population: pd.DataFrame,
    proxies: Sequence[str],
    target: str,
    directions: Mapping[str, str],
    *,
    folds: int,
    repeats: int,
    seed: int,
) -> CrossValidation | None:
    """Judge the ensemble and its baselines on the same held-out folds.

    Every fold refits everything: features, model, and the choice of the best single proxy; where
    nothing can be fitted, as every feature is constant, the mean is predicted. Figures are taken
    within a fold, because scores of two fits share no scale, and averaged. The regret looks at
    the first tenth of a fold, one architecture at least. None if not even two folds of three rows
    can be made.
    """
    folds = min(folds, len(rows) // ROWS_IN_A_FOLD)
    if folds < 2:
        return None
    top_k = max(1, len(rows) // folds // 10)
    bounds = bounds_of(numbers(rows, target))
    figures: dict[str, list[tuple[float, float, float]]] = {}
    residuals, predictions = [], np.full(len(rows), np.nan)
    splits = RepeatedKFold(n_splits=folds, n_repeats=repeats, random_state=seed)
    for training, held_out in splits.split(rows):
        train, test = rows.iloc[training], rows.iloc[held_out]
        true = numbers(test, target)
        score = _score_held_out(fit, train, test, target)
        predicted = clipped(score, bounds)
        residuals.append(true - predicted)
        first = held_out[np.isnan(predictions[held_out])]
        predictions[first] = predicted[np.isin(held_out, first)]
        others = baselines(train, population, proxies, target, directions)
        for name, x in (("ensemble", score), *((n, s(test)) for n, s in others.items())):
            figures.setdefault(name, []).append(
                (kendall_tau(x, true), spearman(x, true), top_k_regret(x, true, top_k))
            )
    judged = f"held out: {folds}-fold cross-validation, {repeats} times"
    quality = []
    for name, values in figures.items():
        record: dict[str, float] = {}
        for metric, column in zip(METRICS, np.array(values).T, strict=True):
            record |= _mean_figure(metric, column, 1 / (folds - 1))
        quality.append(_record(name, judged, len(rows), record, top_k))
    return CrossValidation(tuple(quality), np.concatenate(residuals), predictions, folds)


def resampled_interval(values: Floats, test_share: float) -> tuple[float, float, float]:
    """Return the mean of a score over resampled splits, and its interval at `LEVEL`.

    Training sets overlap, so that the plain standard error is far too small; its square is
    multiplied by ``1 + J · n_test / n_train`` (Nadeau and Bengio 2003, Inference for the
    generalization error, section 3, the corrected resampled t). `test_share` is n_test / n_train.
    """
    count = len(values)
    mean = float(values.mean())
    error = float(values.std(ddof=1)) * np.sqrt(1 / count + test_share)
    reach = float(student.ppf((1 + LEVEL) / 2, count - 1)) * error
    return mean, mean - reach, mean + reach


def _score_held_out(fit: Fit, train: pd.DataFrame, test: pd.DataFrame, target: str) -> Floats:
    try:
        return np.asarray(fit(train).predict(test))
    except EnsembleError:
        return np.full(len(test), numbers(train, target).mean())


def _mean_figure(name: str, values: Floats, test_share: float) -> dict[str, float]:
    """Return a figure with its interval as fields of `HeldOut`; none where undefined."""
    known = values[np.isfinite(values)]
    if len(known) < 2:
        return {}
    mean, low, high = resampled_interval(known, test_share)
    least, largest = RANGES[name]
    return {name: mean, f"{name}_low": max(low, least), f"{name}_high": min(high, largest)}


def _record(
    predictor: str, judged: str, rows: int, figures: Mapping[str, float], top_k: int
) -> HeldOut:
    known: dict[str, Any] = {"top_k": top_k} if "top_k_regret" in figures else {}
    head = {"predictor": predictor, "judged": judged, "rows": rows}
    return HeldOut.model_validate({**head, **figures, **known})
