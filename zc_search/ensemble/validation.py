"""Judging predictors on folds that they were not fitted to."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import t as student
from sklearn.model_selection import RepeatedKFold

from zc_search.ensemble.baselines import baselines
from zc_search.ensemble.quality import LEVEL, METRICS, RANGES, HeldOut
from zc_search.ensemble.scales import Floats
from zc_search.ensemble.tables import bounds_of, clipped, numbers
from zc_search.errors import EnsembleError
from zc_search.evaluation import kendall_tau, spearman, top_k_regret

ROWS_IN_A_FOLD = 3
"""With fewer held-out rows a rank correlation takes two values only."""

Fit = Callable[[pd.DataFrame], Any]
"""From training rows to a fitted scikit-learn pipeline."""


class CrossValidation(NamedTuple):
    """What repeated cross-validation found.

    Attributes:
        quality: One record for each predictor, the ensemble's first.
        residuals: True minus predicted accuracy, in percent, of every held-out row and repeat.
        folds: Folds used, fewer than asked for where rows are few.
    """

    quality: tuple[HeldOut, ...]
    residuals: Floats
    folds: int


def cross_validate(
    fit: Fit,
    rows: pd.DataFrame,
    population: pd.DataFrame,
    proxies: Sequence[str],
    target: str,
    directions: Mapping[str, str] | None,
    *,
    folds: int,
    repeats: int,
    seed: int,
) -> CrossValidation | None:
    """Judge the ensemble and its baselines on the same held-out folds.

    Every fold refits everything: features, model, and the choice of the best single proxy; where
    nothing can be fitted, as every feature is constant, the mean is predicted. Figures are taken
    within a fold, because scores of two fits share no scale, and averaged. The regret looks at
    the first tenth of a fold, one architecture at least.

    Returns:
        None if not even two folds of three rows can be made.
    """
    folds = min(folds, len(rows) // ROWS_IN_A_FOLD)
    if folds < 2:
        return None
    top_k = max(1, len(rows) // folds // 10)
    bounds = bounds_of(numbers(rows, target))
    figures: dict[str, list[tuple[float, float, float]]] = {}
    residuals = []
    splits = RepeatedKFold(n_splits=folds, n_repeats=repeats, random_state=seed)
    for training, held_out in splits.split(rows):
        train, test = rows.iloc[training], rows.iloc[held_out]
        true = numbers(test, target)
        try:
            predicted = np.asarray(fit(train).predict(test))
        except EnsembleError:
            predicted = np.full(len(test), numbers(train, target).mean())
        residuals.append(true - clipped(predicted, bounds))
        others = baselines(train, population, proxies, target, directions)
        for name, score in (("ensemble", predicted), *((n, s(test)) for n, s in others.items())):
            figures.setdefault(name, []).append(
                (
                    kendall_tau(score, true),
                    spearman(score, true),
                    top_k_regret(score, true, top_k),
                )
            )
    judged = f"held out: {folds}-fold cross-validation, {repeats} times"
    quality = []
    for name, values in figures.items():
        record: dict[str, Any] = {"predictor": name, "judged": judged, "rows": len(rows)}
        for metric, column in zip(METRICS, np.array(values).T, strict=True):
            record |= _named(metric, column, 1 / (folds - 1))
        known = {"top_k": top_k} if "top_k_regret" in record else {}
        quality.append(HeldOut.model_validate({**record, **known}))
    return CrossValidation(tuple(quality), np.concatenate(residuals), folds)


def resampled_interval(values: Floats, test_share: float) -> tuple[float, float, float]:
    """Return the mean of a score over resampled splits, and its interval at `LEVEL`.

    Training sets overlap, so that the plain standard error is far too small; its square is
    multiplied by ``1 + J · n_test / n_train`` (Nadeau and Bengio 2003, Inference for the
    generalization error, section 3, the corrected resampled t).

    Args:
        values: The score on each of the J splits.
        test_share: Rows held out, divided by rows fitted to.
    """
    count = len(values)
    mean = float(values.mean())
    error = float(values.std(ddof=1)) * np.sqrt(1 / count + test_share)
    reach = float(student.ppf((1 + LEVEL) / 2, count - 1)) * error
    return mean, mean - reach, mean + reach


def _named(name: str, values: Floats, test_share: float) -> dict[str, float]:
    """Return a figure with its interval as fields of `HeldOut`; none where undefined."""
    known = values[np.isfinite(values)]
    if len(known) < 2:
        return {}
    mean, low, high = resampled_interval(known, test_share)
    least, largest = RANGES[name]
    return {name: mean, f"{name}_low": max(low, least), f"{name}_high": min(high, largest)}
