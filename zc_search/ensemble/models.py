"""Models by name: from standardised columns to percent accuracy, as scikit-learn regressors."""

import warnings
from collections.abc import Sequence
from inspect import signature
from typing import Any, Self

import numpy as np
import pandas as pd
from pydantic import BaseModel, model_validator
from sklearn.base import BaseEstimator, RegressorMixin, is_regressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel
from sklearn.linear_model import BayesianRidge, LinearRegression, Ridge, RidgeCV
from sklearn.pipeline import Pipeline

from zc_search._utils.plugins import load_plugin
from zc_search.ensemble.features import AGGREGATE, RECORD, Features
from zc_search.ensemble.spec import EnsembleSpec, check_model, spec_of
from zc_search.ensemble.tables import Floats, numbers
from zc_search.errors import EnsembleError

PRODUCT_SCALE = 1 / 3
"""Weight expected of a product, as a share of that of a column that is none."""

AGGREGATE_WORTH = 30
"""Accuracies that the order without any accuracy is worth."""


def make_model(name: str, seed: int = 0) -> Any:
    """Return an unfitted scikit-learn regressor; the seed is for an imported one that takes it."""
    if name == "ridge":
        return RidgeCV(np.logspace(-2, 4, 13))
    if made := {"linear": LinearRegression, "gap": GapRegression, "gp": GapProcess}.get(name):
        return made()
    check_model(name)
    regressor = load_plugin(name, "ensemble.model", EnsembleError)
    try:
        seeded = "random_state" in signature(regressor).parameters
        model = regressor(random_state=seed) if seeded else regressor()
        wrong = ""
    except Exception as error:  # it is anybody's code
        wrong = f"cannot be made: {error}"
    else:
        known = isinstance(model, BaseEstimator) and is_regressor(model)
        wrong = "" if known else "is no scikit-learn regressor"
    if wrong:
        raise EnsembleError(f"model {name!r} {wrong}", key="ensemble.model", given=name)
    return model


def fit_pipeline(rows: pd.DataFrame, proxies: Sequence[str] | EnsembleSpec, **settings: Any) -> Any:
    """Fit features and model to rows that are already chosen; all finite, all distinct.

    Args:
        rows: Scores with accuracies.
        proxies: Columns to predict from, or a whole `EnsembleSpec`.
        **settings: Of `EnsembleSpec`.

    Returns:
        A scikit-learn pipeline from a table of scores to percent accuracy.

    Raises:
        EnsembleError: As for `fit_ensemble`.
    """
    spec = spec_of(proxies, settings)
    features = Features(spec.proxies, spec.feature_set, spec.directions)
    steps = [("features", features), ("model", make_model(spec.model, spec.seed))]
    return Pipeline(steps).fit(rows, numbers(rows, spec.target))


class Link(BaseModel):
    """A rising, piecewise linear map from a score, measured in `unit`, to percent accuracy."""

    model_config = RECORD

    scores: tuple[float, ...]
    accuracies: tuple[float, ...]
    slope_below: float
    slope_above: float
    unit: str

    def __call__(self, scores: Floats) -> Floats:
        """Map scores to percent accuracy; NaN stays NaN."""
        below = np.minimum(scores - self.scores[0], 0.0) * self.slope_below
        above = np.maximum(scores - self.scores[-1], 0.0) * self.slope_above
        inside: Floats = np.interp(scores, self.scores, self.accuracies)
        return below + inside + above

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

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if not self.scores or len(self.scores) != len(self.accuracies):
            raise ValueError(f"{len(self.scores)} scores but {len(self.accuracies)} accuracies")
        if np.any(np.diff(self.scores) <= 0) or np.any(np.diff(self.accuracies) <= 0):
            raise ValueError("scores and accuracies must ascend")
        if min(self.slope_below, self.slope_above) <= 0:
            raise ValueError("slopes must be above 0")
        return self


class GapRegression(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Ridge regression on how far an accuracy falls short of the best, on a logarithm.

    The target is ``-log(ceiling - accuracy)``, the ceiling above the best training accuracy by
    half its distance from the median: differences among good architectures count for more than
    differences among bad ones, and failures do not count for everything. See `fit_ridge`.
    """

    def fit(self, X: pd.DataFrame, y: Floats) -> Self:
        """Fit to named columns and percent accuracies."""
        ceiling, gaps = gaps_to_ceiling(np.asarray(y, dtype=np.float64))
        self.coef_, self.intercept_, self.alpha_ = fit_ridge(X, gaps)
        self.link_ = Link.of_gaps(ceiling, gaps)
        return self

    def predict(self, X: pd.DataFrame) -> Floats:
        """Return percent accuracy."""
        return self.link_(np.asarray(X) @ self.coef_ + self.intercept_)


class GapProcess(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A Gaussian process with the target of `GapRegression`; for ``rank+structure+aggregate``.

    One Matérn kernel of smoothness 3/2 over all columns but ``aggregate``, whose variance, length
    and noise make the training accuracies likeliest (Rasmussen and Williams 2006, section 5.4.1).
    The column ``aggregate`` counts as in `fit_ridge`.
    """

    def fit(self, X: pd.DataFrame, y: Floats) -> Self:
        """Fit to named columns and percent accuracies."""
        ceiling, gaps = gaps_to_ceiling(np.asarray(y, dtype=np.float64))
        self._beside = _aggregate_line(X, gaps) if AGGREGATE in X.columns else None
        columns = self._columns(X)
        # Standardised columns lie sqrt(2 · columns) apart on average.
        apart = np.sqrt(columns.shape[1])
        kernel = ConstantKernel(10.0) * Matern(5 * apart, (0.3 * apart, 30 * apart), nu=1.5)
        noise = WhiteKernel(0.02, (1e-4, 1.0))
        self.process_ = GaussianProcessRegressor(kernel + noise, normalize_y=True)
        with warnings.catch_warnings():  # a bound that is reached is an answer, not a failure
            warnings.simplefilter("ignore", ConvergenceWarning)
            self.process_.fit(columns, gaps)
        self.link_ = Link.of_gaps(ceiling, gaps)
        return self

    def predict(self, X: pd.DataFrame) -> Floats:
        """Return percent accuracy."""
        scores = self.process_.predict(self._columns(X))
        if self._beside is not None:
            share, line = self._beside
            scores = (1 - share) * scores + share * line.predict(X[[AGGREGATE]].to_numpy())
        return self.link_(scores)

    @staticmethod
    def _columns(X: pd.DataFrame) -> Floats:
        return X.drop(columns=AGGREGATE, errors="ignore").to_numpy(dtype=np.float64)


def gaps_to_ceiling(accuracies: Floats) -> tuple[float, Floats]:
    """Return the ceiling of `GapRegression` in percent, and ``-log(ceiling - accuracy)``."""
    best = float(accuracies.max())
    # Where half of them are the best, or all.
    margin = (best - float(np.median(accuracies))) / 2 or float(np.std(accuracies)) or 1.0
    return best + margin, -np.log(best + margin - accuracies)


def fit_ridge(
    X: pd.DataFrame, y: Floats, alpha: float | None = None
) -> tuple[Floats, float, float]:
    """Fit a ridge that knows its columns; return their weights, the intercept, its strength.

    The ridge is as strong as makes the training targets likeliest (`BayesianRidge`; MacKay 1992,
    Bayesian interpolation). Products ``a * b`` are taken to be weaker than what they are made of,
    by `PRODUCT_SCALE`. Where there is a column ``aggregate``, the prediction is the mean of the
    ridge's and of a line through that column alone, which weighs as much as `AGGREGATE_WORTH`
    rows: with few accuracies the order stays close to the one without any.
    """
    expected = _expected(X)
    # Of standard deviation one, so that the priors of the two variances play no part.
    spread = float(np.std(y)) or 1.0
    ridge = BayesianRidge() if alpha is None else Ridge(alpha)
    ridge.fit(X.to_numpy(dtype=np.float64) * expected, y / spread)
    alpha = float(ridge.lambda_ / ridge.alpha_) if alpha is None else alpha
    weights: Floats = ridge.coef_ * expected * spread
    intercept = float(ridge.intercept_ * spread)
    if AGGREGATE in X.columns:
        share, line = _aggregate_line(X, y)
        weights, intercept = weights * (1 - share), intercept * (1 - share)
        weights[X.columns == AGGREGATE] += share * line.coef_[0]
        intercept += share * float(line.intercept_)
    return weights, intercept, alpha


def ridge_posterior(columns: Floats, y: Floats, alpha: float) -> Floats:
    """Return the covariance of a ridge's intercept and weights, given the prior it stands for.

    ``s² (X'X + alpha I)^-1`` of centred columns, with ``s²`` the squared residuals over the rows
    that exceed the effective degrees of freedom (MacKay 1992, Bayesian interpolation).
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
    """
    expected = np.array([1.0, *_expected(X)])
    covariance = ridge_posterior(X.to_numpy(dtype=np.float64) * expected[1:], y, alpha)
    covariance = covariance * np.outer(expected, expected)
    if AGGREGATE in X.columns:
        share, line = _aggregate_line(X, y)
        alone = X[[AGGREGATE]].to_numpy(dtype=np.float64)
        residuals = y - line.predict(alone)
        variance = float(residuals @ residuals) / max(len(y) - 2, 1)
        scatter = float(((alone - alone.mean()) ** 2).sum())
        of_line = _with_intercept(
            np.array([[variance / scatter]]), alone.mean(axis=0), variance / len(y)
        )
        place = [0, 1 + list(X.columns).index(AGGREGATE)]
        covariance = covariance * (1 - share) ** 2
        covariance[np.ix_(place, place)] += share**2 * of_line
    return covariance


def _expected(X: pd.DataFrame) -> Floats:
    return np.array([PRODUCT_SCALE if " * " in str(name) else 1.0 for name in X])


def _aggregate_line(X: pd.DataFrame, y: Floats) -> tuple[float, LinearRegression]:
    """Return how much the order without any accuracy should count, and its line, not falling."""
    line = LinearRegression(positive=True).fit(X[[AGGREGATE]].to_numpy(), y)
    return AGGREGATE_WORTH / (AGGREGATE_WORTH + len(y)), line


def _with_intercept(inner: Floats, centre: Floats, of_mean: float) -> Floats:
    """Return the covariance of ``mean - centre @ weights`` and the weights."""
    beside = -inner @ centre
    first = np.concatenate([[of_mean + centre @ inner @ centre], beside])
    return np.vstack([first, np.column_stack([beside, inner])])
