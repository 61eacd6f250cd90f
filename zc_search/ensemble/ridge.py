"""A ridge regression that knows its columns, and the target that makes the best count most."""

import numpy as np
import pandas as pd
from sklearn.linear_model import BayesianRidge, LinearRegression, Ridge

from zc_search.ensemble.scales import Floats

PRODUCT_SCALE = 1 / 3
"""Weight expected of a product, as a share of that of a column that is none."""

AGGREGATE_WORTH = 30
"""Accuracies that the order without any accuracy is worth."""


def aggregate_line(X: pd.DataFrame, y: Floats) -> tuple[float, LinearRegression]:
    """Return how much the order without any accuracy should count, and the line that turns it.

    Returns:
        A share in (0, 1), and the fitted line from the column ``aggregate`` to `y`; not falling.
    """
    line = LinearRegression(positive=True).fit(X[["aggregate"]].to_numpy(), y)
    return AGGREGATE_WORTH / (AGGREGATE_WORTH + len(y)), line


def gaps_to_ceiling(accuracies: Floats) -> tuple[float, Floats]:
    """Return the ceiling of `GapRegression` in percent, and ``-log(ceiling - accuracy)``."""
    best = float(accuracies.max())
    # Where half of them are the best, or all.
    margin = (best - float(np.median(accuracies))) / 2 or float(np.std(accuracies)) or 1.0
    return best + margin, -np.log(best + margin - accuracies)


def fit_ridge(X: pd.DataFrame, y: Floats, alpha: float | None) -> tuple[Floats, float, float]:
    """Fit a ridge regression that knows what its columns are.

    The ridge is as strong as makes the training targets likeliest (`BayesianRidge`; MacKay 1992,
    Bayesian interpolation). Products ``a * b`` are taken to be weaker than what they are made of,
    by `PRODUCT_SCALE`. Where there is a column ``aggregate``, the prediction is the mean of the
    ridge's and of a line through that column alone, which weighs as much as `AGGREGATE_WORTH`
    rows: with few accuracies the order stays close to the one without any.

    Args:
        X: Named, standardised columns.
        y: Target.
        alpha: Strength of the ridge on a target of standard deviation one; None to choose it.

    Returns:
        Weights of the columns, intercept, and the ridge's strength.
    """
    columns = X.to_numpy(dtype=np.float64)
    expected = np.array([PRODUCT_SCALE if " * " in str(name) else 1.0 for name in X])
    # Of standard deviation one, so that the priors of the two variances play no part.
    spread = float(np.std(y)) or 1.0
    ridge = BayesianRidge() if alpha is None else Ridge(alpha)
    ridge.fit(columns * expected, y / spread)
    alpha = float(ridge.lambda_ / ridge.alpha_) if alpha is None else alpha
    weights: Floats = ridge.coef_ * expected * spread
    intercept = float(ridge.intercept_ * spread)
    if "aggregate" in X.columns:
        share, line = aggregate_line(X, y)
        weights, intercept = weights * (1 - share), intercept * (1 - share)
        weights[X.columns == "aggregate"] += share * line.coef_[0]
        intercept += share * float(line.intercept_)
    return weights, intercept, alpha


def ridge_posterior(columns: Floats, y: Floats, alpha: float) -> Floats:
    """Return how uncertain a ridge's weights are, given the prior that it stands for.

    ``s² (X'X + alpha I)^-1`` of centred columns, with ``s²`` the squared residuals over the rows
    that exceed the effective degrees of freedom (MacKay 1992, Bayesian interpolation).

    Args:
        columns: Rows x features, without the intercept.
        y: Target.
        alpha: Strength of the ridge.

    Returns:
        The covariance of the intercept and the weights, the intercept first.
    """
    centre = columns.mean(axis=0)
    design, target = columns - centre, y - y.mean()
    values, vectors = np.linalg.eigh(design.T @ design)
    values = np.maximum(values, 0.0)
    weights = vectors @ ((vectors.T @ (design.T @ target)) / (values + alpha))
    residuals = target - design @ weights
    spare = max(len(y) - 1 - float((values / (values + alpha)).sum()), 1e-6)
    variance = float(residuals @ residuals) / spare
    inner = (vectors * (variance / (values + alpha))) @ vectors.T
    return _with_intercept(inner, centre, variance / len(y))


def ridge_covariance(X: pd.DataFrame, y: Floats, alpha: float) -> Floats:
    """Return the covariance of the intercept and weights of `fit_ridge`, the intercept first.

    The ridge's is that of its posterior; the line through ``aggregate`` adds that of least
    squares, as if the two were independent.

    Args:
        X: See `fit_ridge`.
        y: Target.
        alpha: The ridge's strength.
    """
    expected = np.array([1.0, *(PRODUCT_SCALE if " * " in str(name) else 1.0 for name in X)])
    covariance = ridge_posterior(X.to_numpy(dtype=np.float64) * expected[1:], y, alpha)
    covariance = covariance * np.outer(expected, expected)
    if "aggregate" in X.columns:
        share, line = aggregate_line(X, y)
        own = X[["aggregate"]].to_numpy(dtype=np.float64)
        residuals = y - line.predict(own)
        variance = float(residuals @ residuals) / max(len(y) - 2, 1)
        scatter = float(((own - own.mean()) ** 2).sum())
        of_line = _with_intercept(
            np.array([[variance / scatter]]), own.mean(axis=0), variance / len(y)
        )
        place = [0, 1 + list(X.columns).index("aggregate")]
        covariance = covariance * (1 - share) ** 2
        covariance[np.ix_(place, place)] += share**2 * of_line
    return covariance


def _with_intercept(inner: Floats, centre: Floats, of_mean: float) -> Floats:
    """Return the covariance of ``mean - centre @ weights`` and the weights."""
    beside = -inner @ centre
    first = np.concatenate([[of_mean + centre @ inner @ centre], beside])
    return np.vstack([first, np.column_stack([beside, inner])])
