"""Judging predictors on folds that they were not fitted to."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import t as student
from sklearn.model_selection import RepeatedKFold

from zc_search.ensemble.baselines import baselines
from zc_search.ensemble.fitted import HeldOut
from zc_search.ensemble.scales import Floats
from zc_search.ensemble.tables import numbers
from zc_search.evaluation import kendall_tau, spearman

ROWS_IN_A_FOLD = 3
"""With fewer held-out rows a rank correlation takes two values only."""

LEVEL = 0.9

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

    Every fold refits everything: features, model, and the choice of the best single proxy.
    Correlations are taken within a fold, because scores of two fits share no scale, and averaged.

    Returns:
        None if not even two folds of three rows can be made.
    """
    folds = min(folds, len(rows) // ROWS_IN_A_FOLD)
    if folds < 2:
        return None
    scores: dict[str, list[tuple[float, float]]] = {}
    residuals = []
    splits = RepeatedKFold(n_splits=folds, n_repeats=repeats, random_state=seed)
    for training, held_out in splits.split(rows):
        train, test = rows.iloc[training], rows.iloc[held_out]
        true = numbers(test, target)
        predicted = np.asarray(fit(train).predict(test))
        residuals.append(true - predicted)
        others = baselines(train, population, proxies, target, directions)
        for name, score in (("ensemble", predicted), *((n, s(test)) for n, s in others.items())):
            scores.setdefault(name, []).append((kendall_tau(score, true), spearman(score, true)))
    judged = f"held out: {folds}-fold cross-validation, {repeats} times"
    quality = []
    for name, values in scores.items():
        tau, rho = np.array(values).T
        quality.append(
            HeldOut.model_validate(
                {
                    "predictor": name,
                    "judged": judged,
                    "rows": len(rows),
                    **_named("kendall_tau", tau, 1 / (folds - 1)),
                    **_named("spearman", rho, 1 / (folds - 1)),
                }
            )
        )
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
    """Return a correlation with its interval as fields of `HeldOut`; none where undefined."""
    known = values[np.isfinite(values)]
    if len(known) < 2:
        return {}
    mean, low, high = resampled_interval(known, test_share)
    return {name: mean, f"{name}_low": max(low, -1.0), f"{name}_high": min(high, 1.0)}
