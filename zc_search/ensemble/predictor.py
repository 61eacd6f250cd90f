"""What stays of a fitted model: weights with their bounds, or a regressor held in memory."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from pydantic import BaseModel, model_validator
from scipy.stats import norm
from sklearn.base import clone
from sklearn.inspection import permutation_importance
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold
from sklearn.pipeline import Pipeline

from zc_search.ensemble.features import RECORD, FeatureMap
from zc_search.ensemble.models import (
    GapRegression,
    Link,
    fit_pipeline,
    gaps_to_ceiling,
    ridge_covariance,
    ridge_posterior,
)
from zc_search.ensemble.spec import EnsembleSpec
from zc_search.ensemble.tables import Floats, numbers
from zc_search.ensemble.validation import ROWS_IN_A_FOLD
from zc_search.evaluation import kendall_tau


class Weight(BaseModel):
    """What one standard deviation of a feature adds to the score, with its 90% interval.

    For a ridge (``ridge``, ``gap``) error and interval are those of its posterior, else of the
    bootstrap; the error is in closed form for least squares with more rows than weights.
    """

    model_config = RECORD

    feature: str
    weight: float
    standard_error: float
    low: float
    high: float


class LinearPredictor(BaseModel):
    """``score = intercept + sum of weight · column``, then the link where the model has one.

    Attributes:
        covariance: Of the intercept and the weights: the lower triangle, the intercept first.
        typical_variance: Of the score, the mean over the rows fitted to: what residuals of rows
            held out hold already.
    """

    model_config = RECORD

    intercept: float
    weights: tuple[Weight, ...]
    covariance: tuple[tuple[float, ...], ...]
    typical_variance: float = 0.0
    link: Link | None = None

    @classmethod
    def of(cls, pipeline: Pipeline, rows: pd.DataFrame, spec: EnsembleSpec) -> Self:
        """Write down a fitted linear model, and bound its weights: a ridge's by its posterior."""
        model, accuracies = pipeline["model"], numbers(rows, spec.target)
        columns = pipeline["features"].transform(rows)
        matrix, weights = columns.to_numpy(), model.coef_
        if isinstance(model, RidgeCV | GapRegression):
            if isinstance(model, GapRegression):
                gaps = gaps_to_ceiling(accuracies)[1]
                covariance = ridge_covariance(columns, gaps, model.alpha_)
            else:
                covariance = ridge_posterior(matrix, accuracies, float(model.alpha_))
            errors = np.sqrt(np.diag(covariance)[1:])
            reach = float(norm.ppf(0.95)) * errors
            low, high = weights - reach, weights + reach
        else:
            draws = _resampled(model, columns, accuracies, spec)
            covariance = np.atleast_2d(np.cov(draws, rowvar=False))
            closed = least_squares_errors(matrix, accuracies - model.predict(columns))
            errors = draws[:, 1:].std(axis=0, ddof=1) if closed is None else closed[1:]
            low, high = np.quantile(draws[:, 1:], [0.05, 0.95], axis=0)
        figures = (np.asarray(values).tolist() for values in (weights, errors, low, high))
        return cls(
            intercept=float(model.intercept_),
            weights=tuple(
                Weight(feature=name, weight=w, standard_error=e, low=a, high=b)
                for name, w, e, a, b in zip(columns, *figures, strict=True)
            ),
            covariance=tuple(tuple(row[: i + 1].tolist()) for i, row in enumerate(covariance)),
            typical_variance=float(_score_variance(covariance, matrix).mean()),
            link=getattr(model, "link_", None),
        )

    def predict(self, matrix: Floats) -> Floats:
        """Return percent accuracy for rows of standardised columns."""
        return self._linked(self._score(matrix))

    def spread(self, matrix: Floats, deviations: float) -> tuple[Floats, Floats]:
        """Return how far a prediction falls and rises if the weights vary, in percent accuracy.

        Only where a row is more uncertain than those fitted to are on average.
        """
        variance = _score_variance(self.full_covariance(), matrix) - self.typical_variance
        score, step = self._score(matrix), deviations * np.sqrt(np.maximum(variance, 0.0))
        here = self._linked(score)
        return here - self._linked(score - step), self._linked(score + step) - here

    def full_covariance(self) -> Floats:
        """Return `covariance` as a square matrix."""
        full = np.zeros((len(self.covariance), len(self.covariance)))
        for position, row in enumerate(self.covariance):
            full[position, : position + 1] = full[: position + 1, position] = row
        return full

    def _score(self, matrix: Floats) -> Floats:
        # Column by column and not as one product: a row's sum must not depend on how many rows
        # stand beside it, as it would in a blocked matrix product.
        score = np.full(len(matrix), self.intercept)
        for position, weight in enumerate(self.weights):
            score += weight.weight * matrix[:, position]
        return score

    def _linked(self, score: Floats) -> Floats:
        return score if self.link is None else self.link(score)

    @model_validator(mode="after")
    def _triangular(self) -> Self:
        if [len(row) for row in self.covariance] != list(range(1, len(self.weights) + 2)):
            raise ValueError(f"the covariance is no lower triangle of {len(self.weights) + 1} rows")
        return self


@dataclass(frozen=True)
class FittedRegressor:
    """A fitted regressor without weights: ``gp``, or of a user's choice; no file can hold it.

    An importance is what shuffling a column of the scores table costs on held-out rows, in
    Kendall's tau, and the standard deviation of that over the shuffles.
    """

    regressor: Any
    importances: tuple[tuple[str, float, float], ...]

    @classmethod
    def of(cls, pipeline: Pipeline, rows: pd.DataFrame, spec: EnsembleSpec) -> Self:
        """Measure by shuffling what a regressor draws on, held out in three folds if there can."""
        features: FeatureMap = pipeline["features"].map_
        inputs = [scale.proxy for scale in features.proxies] + ["architecture"] * features.structure
        splits = [(rows, rows)]
        if len(rows) >= 3 * ROWS_IN_A_FOLD:
            folds = KFold(3, shuffle=True, random_state=spec.seed).split(rows)
            splits = [(rows.iloc[training], rows.iloc[held_out]) for training, held_out in folds]
        costs = [
            permutation_importance(
                fit_pipeline(training, spec),
                judged[inputs],
                numbers(judged, spec.target),
                scoring=lambda fitted, table, true: kendall_tau(fitted.predict(table), true),
                n_repeats=5,
                random_state=spec.seed,
            )["importances"]
            for training, judged in splits
        ]
        drops = np.concatenate(costs, axis=1)
        means, deviations = drops.mean(axis=1).tolist(), drops.std(axis=1).tolist()
        return cls(pipeline["model"], tuple(zip(inputs, means, deviations, strict=True)))

    def predict(self, matrix: Floats, names: list[str]) -> Floats:
        """Return percent accuracy for rows of standardised columns; NaN where one is missing."""
        predicted = np.full(len(matrix), np.nan)
        usable = np.isfinite(matrix).all(axis=1)
        if usable.any():
            predicted[usable] = self.regressor.predict(pd.DataFrame(matrix[usable], columns=names))
        return predicted


def least_squares_errors(columns: Floats, residuals: Floats) -> Floats | None:
    """Return standard errors ``sqrt(s² · diag((X'X)^-1))``, the intercept's first.

    ``s²`` is the sum of squared residuals over the rows that exceed the weights in number. None
    where weights are as many as rows, or are not settled by them.
    """
    design = np.column_stack([np.ones(len(columns)), columns])
    spare = len(columns) - design.shape[1]
    if spare < 1 or np.linalg.matrix_rank(design) < design.shape[1]:
        return None
    variance = float(residuals @ residuals) / spare
    triangle = np.linalg.inv(np.linalg.qr(design, mode="r"))
    errors: Floats = np.sqrt(variance * (triangle**2).sum(axis=1))
    return errors


def _resampled(model: Any, columns: pd.DataFrame, accuracies: Floats, spec: EnsembleSpec) -> Floats:
    """Refit a model to rows drawn with replacement (Efron 1979, the bootstrap of pairs).

    The features' constants stay as they are, so that the weights of all draws mean the same. Not
    for a ridge: a resample holds 63 % of the rows, so that it shrinks the weights further than the
    fit does, and its intervals lie too near 0. A row a draw, the intercept first.
    """
    random = np.random.default_rng(spec.seed)
    coefficients = []
    for _ in range(spec.n_bootstrap):
        rows = random.integers(len(columns), size=len(columns))
        fitted = clone(model).fit(columns.iloc[rows], accuracies[rows])
        coefficients.append([fitted.intercept_, *fitted.coef_])
    return np.array(coefficients)


def _score_variance(covariance: Floats, matrix: Floats) -> Floats:
    """Return the variance of each row's score, from that of the intercept and the weights."""
    design = np.column_stack([np.ones(len(matrix)), matrix])
    variance: Floats = ((design @ covariance) * design).sum(axis=1)
    return variance
