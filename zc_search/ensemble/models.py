"""Models by name, all linear in the features but those that a user imports."""

from collections.abc import Mapping
from inspect import signature
from typing import Any, Self

import numpy as np
import pandas as pd
from pydantic import BaseModel, model_validator
from scipy.optimize import isotonic_regression
from scipy.stats import rankdata
from sklearn.base import BaseEstimator, RegressorMixin, is_regressor
from sklearn.linear_model import LinearRegression, RidgeCV

from zc_search._utils.plugins import import_here
from zc_search.config.types import MODELS
from zc_search.ensemble.ridge import fit_ridge, gaps_to_ceiling, ridge_covariance
from zc_search.ensemble.scales import RECORD, Floats
from zc_search.errors import EnsembleError, unknown_name

_ALPHAS = np.logspace(-2, 4, 13)


class Link(BaseModel):
    """A rising, piecewise linear map from a score to percent accuracy.

    Attributes:
        scores: Knots on the score's scale, ascending.
        accuracies: Accuracy at each knot, in percent, ascending.
        slope_below: Slope before the first knot; above zero.
        slope_above: Slope after the last knot; above zero.
        unit: What a score is measured in.
    """

    model_config = RECORD

    scores: tuple[float, ...]
    accuracies: tuple[float, ...]
    slope_below: float
    slope_above: float
    unit: str = "rank of the accuracy, 0 worst to 1 best"

    def __call__(self, scores: Floats) -> Floats:
        """Map scores to percent accuracy; NaN stays NaN."""
        below = np.minimum(scores - self.scores[0], 0.0) * self.slope_below
        above = np.maximum(scores - self.scores[-1], 0.0) * self.slope_above
        inside: Floats = np.interp(scores, self.scores, self.accuracies)
        return below + inside + above

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if not self.scores or len(self.scores) != len(self.accuracies):
            raise ValueError(f"{len(self.scores)} scores but {len(self.accuracies)} accuracies")
        if np.any(np.diff(self.scores) <= 0) or np.any(np.diff(self.accuracies) <= 0):
            raise ValueError("scores and accuracies must ascend")
        if min(self.slope_below, self.slope_above) <= 0:
            raise ValueError("slopes must be above 0")
        return self

    @classmethod
    def fit(cls, scores: Floats, accuracies: Floats) -> Self:
        """Centred isotonic regression (Oron and Flournoy 2017, CIR), so that no two scores tie.

        Isotonic regression gives steps; each step is placed at the mean score of its members, and
        the accuracies between two steps are interpolated. Beyond the ends the map goes on with the
        slope of the last piece or of the whole, whichever is flatter.
        """
        # Rounded, so that rounding errors between equal scores do not become cliffs.
        places, place = np.unique(np.round(scores, 9), return_inverse=True)
        counts = np.bincount(place)
        means = np.bincount(place, weights=accuracies) / counts
        y, step = np.unique(isotonic_regression(means, weights=counts).x, return_inverse=True)
        x = np.bincount(step, weights=places * counts) / np.bincount(step, weights=counts)
        if len(y) == 1:  # the scores say nothing; any slope keeps their order
            slopes = np.array([max(float(np.std(accuracies)), 1e-6)])
        else:
            whole = (y[-1] - y[0]) / (x[-1] - x[0])
            slopes = np.minimum(np.diff(y) / np.diff(x), whole)
        return cls(
            scores=tuple(x.tolist()),
            accuracies=tuple(y.tolist()),
            slope_below=float(slopes[0]),
            slope_above=float(slopes[-1]),
        )

    @classmethod
    def of_gaps(cls, ceiling: float, scores: Floats) -> Self:
        """Return ``ceiling - exp(-score)`` as straight pieces, from below all scores to above."""
        places = np.linspace(scores.min() - 1, scores.max() + 1, 101)
        accuracies = ceiling - np.exp(-places)
        slopes = np.diff(accuracies) / np.diff(places)
        return cls(
            scores=tuple(places.tolist()),
            accuracies=tuple(accuracies.tolist()),
            slope_below=float(slopes[0]),
            slope_above=float(slopes[-1]),
            unit=f"-log({ceiling:g} - accuracy)",
        )


class NonNegative(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Least squares in which no proxy may count against its direction (Lawson and Hanson 1974).

    Args:
        directions: ``maximize`` or ``minimize`` for each proxy: whether more of it should mean
            more accuracy. A column without one takes the sign of its training correlation.

    Attributes:
        coef_: Weights of the columns, signed as in an ordinary regression.
        intercept_: Prediction where every column is zero.
    """

    def __init__(self, directions: Mapping[str, str] | None = None) -> None:
        self.directions = directions

    def fit(self, X: pd.DataFrame, y: Floats) -> Self:
        """Fit to named columns; a ramp such as ``snip[0-0.25]`` has its proxy's direction."""
        signs = np.where((X.to_numpy() - X.to_numpy().mean(axis=0)).T @ y < 0, -1.0, 1.0)
        directions = self.directions or {}
        for position, name in enumerate(X.columns):
            direction = directions.get(name) or directions.get(name.rpartition("[")[0])
            if direction:
                signs[position] = 1.0 if direction == "maximize" else -1.0
        try:
            inner = LinearRegression(positive=True).fit(X.to_numpy() * signs, y)
        except RuntimeError as error:  # the active set did not settle
            raise EnsembleError(f"non-negative least squares failed: {error}") from error
        self.coef_, self.intercept_ = inner.coef_ * signs, float(inner.intercept_)
        return self

    def predict(self, X: pd.DataFrame) -> Floats:
        """Return percent accuracy."""
        predicted: Floats = X.to_numpy() @ self.coef_ + self.intercept_
        return predicted


class RankRegression(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Ridge regression on the rank of the accuracy, mapped back to accuracy by a rising curve.

    Accuracies crowd at the top and trail off below; their ranks do not, so that the weights are
    not spent on how bad the worst cells are.

    Args:
        alpha: Strength of the ridge; None to choose it; see `fit_ridge`.

    Attributes:
        coef_: Weights of the columns, in ranks (0 worst, 1 best training accuracy).
        intercept_: Rank predicted where every column is zero.
        alpha_: The ridge's strength.
        link_: From rank to percent accuracy.
    """

    def __init__(self, alpha: float | None = None) -> None:
        self.alpha = alpha

    def fit(self, X: pd.DataFrame, y: Floats) -> Self:
        """Fit to columns and percent accuracies; tied accuracies share their mean rank."""
        ranks = self._target(y)
        self.coef_, self.intercept_, self.alpha_ = fit_ridge(X, ranks, self.alpha)
        scores = np.asarray(X) @ self.coef_ + self.intercept_
        self.link_ = Link.fit(scores, np.asarray(y, dtype=np.float64))
        return self

    def covariance(self, X: pd.DataFrame, y: Floats) -> Floats:
        """Return `ridge_covariance` for what it was fitted to."""
        return ridge_covariance(X, self._target(y), self.alpha_)

    @staticmethod
    def _target(y: Floats) -> Floats:
        ranks: Floats = (rankdata(y) - 0.5) / len(y)
        return ranks

    def predict(self, X: pd.DataFrame) -> Floats:
        """Return percent accuracy."""
        return self.link_(np.asarray(X) @ self.coef_ + self.intercept_)


class GapRegression(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Ridge regression on how far an accuracy falls short of the best, on a logarithm.

    The target is ``-log(ceiling - accuracy)``, the ceiling above the best training accuracy by
    half its distance from the median: differences among good architectures count for more than
    differences among bad ones, and failures do not count for everything.

    Args:
        alpha: Strength of the ridge; None to choose it; see `fit_ridge`.

    Attributes:
        coef_: Weights of the columns, in the target's natural logarithm.
        intercept_: Target predicted where every column is zero.
        alpha_: The ridge's strength.
        link_: From target to percent accuracy.
    """

    def __init__(self, alpha: float | None = None) -> None:
        self.alpha = alpha

    def fit(self, X: pd.DataFrame, y: Floats) -> Self:
        """Fit to named columns and percent accuracies."""
        ceiling, gaps = gaps_to_ceiling(np.asarray(y, dtype=np.float64))
        self.coef_, self.intercept_, self.alpha_ = fit_ridge(X, gaps, self.alpha)
        self.link_ = Link.of_gaps(ceiling, gaps)
        return self

    def covariance(self, X: pd.DataFrame, y: Floats) -> Floats:
        """Return `ridge_covariance` for what it was fitted to."""
        return ridge_covariance(X, gaps_to_ceiling(y)[1], self.alpha_)

    def predict(self, X: pd.DataFrame) -> Floats:
        """Return percent accuracy."""
        return self.link_(np.asarray(X) @ self.coef_ + self.intercept_)


def make_model(name: str, directions: Mapping[str, str] | None, seed: int) -> Any:
    """Return an unfitted scikit-learn regressor.

    Args:
        name: One of `MODELS`, or ``module:Class`` of a regressor that needs no argument.
        directions: See `NonNegative`.
        seed: ``random_state`` of an imported regressor that takes one.

    Raises:
        EnsembleError: No such model, or the class is no regressor.
    """
    match name:
        case "linear":
            return LinearRegression()
        case "ridge":
            return RidgeCV(_ALPHAS)
        case "nonnegative":
            return NonNegative(directions)
        case "rank":
            return RankRegression()
        case "gap":
            return GapRegression()
    module, colon, attribute = name.partition(":")
    if not colon:
        raise EnsembleError(f"{unknown_name('model', name, MODELS)}, or module:Class")
    try:
        regressor = getattr(import_here(module), attribute)
        seeded = "random_state" in signature(regressor).parameters
        model = regressor(random_state=seed) if seeded else regressor()
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise EnsembleError(f"model {name!r} cannot be made: {error}") from error
    if not (hasattr(model, "__sklearn_tags__") and is_regressor(model)):
        raise EnsembleError(f"model {name!r} is no scikit-learn regressor")
    return model
