"""How far the weights of a linear model could have come out differently."""

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm
from sklearn.base import clone

from zc_search.ensemble.predictor import Weight
from zc_search.ensemble.scales import Floats

QUANTILES = 101
"""Residual quantiles on record, from the least to the largest."""


def resampled_coefficients(
    model: Any, columns: pd.DataFrame, accuracies: Floats, draws: int, seed: int
) -> Floats:
    """Refit a model to rows drawn with replacement (Efron 1979, the bootstrap of pairs).

    The features' constants stay as they are, so that the weights of all draws mean the same. Not
    for a ridge: a resample holds 63 % of the rows, so that it shrinks the weights further than the
    fit does, and its intervals lie too near 0; see `ridge_covariance`.

    Returns:
        draws x (1 + columns), the intercept first.
    """
    random = np.random.default_rng(seed)
    coefficients = np.empty((draws, 1 + columns.shape[1]))
    for draw in range(draws):
        rows = random.integers(len(columns), size=len(columns))
        fitted = clone(model).fit(columns.iloc[rows], accuracies[rows])
        coefficients[draw] = [fitted.intercept_, *fitted.coef_]
    return coefficients


def least_squares_errors(columns: Floats, residuals: Floats) -> Floats | None:
    """Return standard errors ``sqrt(s² · diag((X'X)^-1))``, the intercept's first.

    ``s²`` is the sum of squared residuals over the rows that exceed the weights in number.

    Args:
        columns: Rows x features, without the intercept.
        residuals: Of the least-squares fit, in the target's unit.

    Returns:
        None where weights are as many as rows, or are not settled by them.
    """
    design = np.column_stack([np.ones(len(columns)), columns])
    spare = design.shape[0] - design.shape[1]
    if spare < 1 or np.linalg.matrix_rank(design) < design.shape[1]:
        return None
    variance = float(residuals @ residuals) / spare
    triangle = np.linalg.inv(np.linalg.qr(design, mode="r"))
    errors: Floats = np.sqrt(variance * (triangle**2).sum(axis=1))
    return errors


def bootstrap_records(
    names: list[str], weights: Floats, errors: Floats | None, coefficients: Floats
) -> tuple[Weight, ...]:
    """Put each weight beside its standard error and its 90% interval over the bootstrap.

    Args:
        names: Features, in the order of the weights.
        weights: Without the intercept.
        errors: From `least_squares_errors`, or None to take the bootstrap's.
        coefficients: From `resampled_coefficients`.
    """
    draws = coefficients[:, 1:]
    errors = draws.std(axis=0, ddof=1) if errors is None else errors[1:]
    low, high = np.quantile(draws, [0.05, 0.95], axis=0)
    return _records(names, weights, errors, low, high)


def posterior_records(names: list[str], weights: Floats, covariance: Floats) -> tuple[Weight, ...]:
    """Put each weight beside its standard error and its 90% interval, both of the posterior.

    Args:
        names: Features, in the order of the weights.
        weights: Without the intercept.
        covariance: Of the intercept and the weights.
    """
    errors = np.sqrt(np.diag(covariance)[1:])
    reach = float(norm.ppf(0.95)) * errors
    return _records(names, weights, errors, weights - reach, weights + reach)


def _records(
    names: list[str], weights: Floats, errors: Floats, low: Floats, high: Floats
) -> tuple[Weight, ...]:
    columns = (np.asarray(values).tolist() for values in (weights, errors, low, high))
    return tuple(
        Weight(feature=name, weight=w, standard_error=e, low=a, high=b)
        for name, w, e, a, b in zip(names, *columns, strict=True)
    )


def lower_triangle(covariance: Floats) -> tuple[tuple[float, ...], ...]:
    """Return a covariance row by row, without what stands above the diagonal."""
    return tuple(tuple(row[: place + 1].tolist()) for place, row in enumerate(covariance))


def quantiles(residuals: Floats) -> tuple[float, ...]:
    """Return `QUANTILES` quantiles in equal steps from 0 to 1."""
    levels: Floats = np.quantile(residuals, np.linspace(0, 1, QUANTILES))
    return tuple(np.maximum.accumulate(levels).tolist())
