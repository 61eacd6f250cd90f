"""From standardised columns to a prediction: weights on record, or a regressor in memory."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from pydantic import BaseModel, model_validator

from zc_search.ensemble.models import Link
from zc_search.ensemble.scales import RECORD, Floats


class Weight(BaseModel):
    """The weight of one standardised feature.

    Attributes:
        feature: Name of the column.
        weight: What one standard deviation of the feature adds to the score.
        standard_error: Of the weight: in closed form for least squares with more rows than
            weights, of the posterior for the ridges (``ridge``, ``rank``, ``gap``), else the
            standard deviation of the bootstrap.
        low: 5% quantile of the weight, over the posterior of a ridge, else over the bootstrap.
        high: 95% quantile, likewise.
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
        intercept: Score where every column is at its training mean.
        weights: One for each column, in the feature map's order.
        covariance: Of the intercept and the weights, over a ridge's posterior or the bootstrap:
            the lower triangle, row by row, the intercept first.
        typical_variance: Of the score, the mean over the rows fitted to: what residuals of rows
            held out hold already.
        link: From score to percent accuracy; None where the score is the accuracy.
    """

    model_config = RECORD

    intercept: float
    weights: tuple[Weight, ...]
    covariance: tuple[tuple[float, ...], ...]
    typical_variance: float = 0.0
    link: Link | None = None

    def predict(self, matrix: Floats) -> Floats:
        """Return percent accuracy for rows of standardised columns."""
        return self._linked(self._score(matrix))

    def spread(self, matrix: Floats, deviations: float) -> tuple[Floats, Floats]:
        """Return how far a prediction falls and rises if the weights vary, in percent accuracy.

        Only where a row is more uncertain than those fitted to are on average.

        Args:
            matrix: Rows of standardised columns.
            deviations: How many standard deviations the score may move.
        """
        variance = score_variance(self.full_covariance(), matrix) - self.typical_variance
        score, step = self._score(matrix), deviations * np.sqrt(np.maximum(variance, 0.0))
        here = self._linked(score)
        return here - self._linked(score - step), self._linked(score + step) - here

    def full_covariance(self) -> Floats:
        """Return `covariance` as a square matrix."""
        lower = np.zeros((len(self.covariance), len(self.covariance)))
        for position, row in enumerate(self.covariance):
            lower[position, : position + 1] = row
        full: Floats = lower + np.tril(lower, -1).T
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


def score_variance(covariance: Floats, matrix: Floats) -> Floats:
    """Return the variance of each row's score, from that of the intercept and the weights."""
    design = np.column_stack([np.ones(len(matrix)), matrix])
    variance: Floats = ((design @ covariance) * design).sum(axis=1)
    return variance


@dataclass(frozen=True)
class ImportedRegressor:
    """A fitted scikit-learn regressor of a user's choice; it cannot be written to a file.

    Attributes:
        regressor: Predicts percent accuracy from standardised columns.
        importances: For each column of the scores table, what shuffling it costs on held-out
            rows, in Kendall's tau, and the standard deviation of that over the shuffles.
    """

    regressor: Any
    importances: tuple[tuple[str, float, float], ...]

    def predict(self, columns: pd.DataFrame) -> Floats:
        """Return percent accuracy for rows of standardised columns without missing values."""
        return np.asarray(self.regressor.predict(columns), dtype=np.float64)
