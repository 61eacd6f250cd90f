"""What stays of a fitted pipeline: weights with their bounds, or importances."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LinearRegression, RidgeCV
from sklearn.model_selection import KFold
from sklearn.pipeline import Pipeline

from zc_search.ensemble.features import FeatureMap
from zc_search.ensemble.models import GapRegression, RankRegression
from zc_search.ensemble.predictor import ImportedRegressor, LinearPredictor, score_variance
from zc_search.ensemble.ridge import ridge_posterior
from zc_search.ensemble.scales import Floats
from zc_search.ensemble.tables import numbers
from zc_search.ensemble.uncertainty import (
    bootstrap_records,
    least_squares_errors,
    lower_triangle,
    posterior_records,
    resampled_coefficients,
)
from zc_search.ensemble.validation import ROWS_IN_A_FOLD
from zc_search.errors import ArchitectureError
from zc_search.evaluation import kendall_tau
from zc_search.spaces import Architecture


def linear_predictor(
    pipeline: Pipeline, rows: pd.DataFrame, target: str, n_bootstrap: int, seed: int
) -> LinearPredictor:
    """Write down a fitted linear model, and bound its weights: a ridge's by its posterior."""
    model, accuracies = pipeline["model"], numbers(rows, target)
    columns = pipeline["features"].transform(rows)
    names, matrix = list(columns), columns.to_numpy()
    if isinstance(model, RidgeCV):
        covariance = ridge_posterior(matrix, accuracies, float(model.alpha_))
        weights = posterior_records(names, model.coef_, covariance)
    elif isinstance(model, RankRegression | GapRegression):
        covariance = model.covariance(columns, accuracies)
        weights = posterior_records(names, model.coef_, covariance)
    else:
        errors = None
        if isinstance(model, LinearRegression):
            errors = least_squares_errors(matrix, accuracies - model.predict(columns))
        coefficients = resampled_coefficients(model, columns, accuracies, n_bootstrap, seed)
        covariance = np.atleast_2d(np.cov(coefficients, rowvar=False))
        weights = bootstrap_records(names, model.coef_, errors, coefficients)
    return LinearPredictor(
        intercept=float(model.intercept_),
        weights=weights,
        covariance=lower_triangle(covariance),
        typical_variance=float(score_variance(covariance, matrix).mean()),
        link=getattr(model, "link_", None),
    )


def imported_regressor(
    pipeline: Pipeline,
    fit: Callable[[pd.DataFrame], Pipeline],
    rows: pd.DataFrame,
    target: str,
    seed: int,
) -> ImportedRegressor:
    """Measure by shuffling what an imported regressor draws on.

    Held out in three folds where there are rows for it, else on the rows fitted to.
    """
    features: FeatureMap = pipeline["features"].map_
    inputs = [scale.proxy for scale in features.proxies] + ["architecture"] * features.cell
    splits = [(rows, rows)]
    if len(rows) >= 3 * ROWS_IN_A_FOLD:
        folds = KFold(3, shuffle=True, random_state=seed).split(rows)
        splits = [(rows.iloc[training], rows.iloc[held_out]) for training, held_out in folds]
    costs = []
    for training, judged in splits:
        found = permutation_importance(
            fit(training),
            judged[inputs],
            numbers(judged, target),
            scoring=_kendall_scorer,
            n_repeats=5,
            random_state=seed,
        )
        costs.append(found["importances"])
    drops = np.concatenate(costs, axis=1)
    return ImportedRegressor(
        pipeline["model"],
        tuple(zip(inputs, drops.mean(axis=1).tolist(), drops.std(axis=1).tolist(), strict=True)),
    )


def indices(rows: pd.DataFrame) -> tuple[int, ...] | None:
    """Return `Architecture.index` of each row, ascending; None where cells are not known."""
    if "architecture" not in rows:
        return None
    try:
        return tuple(sorted(Architecture.from_string(text).index for text in rows["architecture"]))
    except ArchitectureError:  # of another search space
        return None


def _kendall_scorer(pipeline: Pipeline, table: pd.DataFrame, accuracies: Floats) -> float:
    return kendall_tau(np.asarray(pipeline.predict(table)), accuracies)
