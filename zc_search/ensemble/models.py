"""Models by name, as scikit-learn regressors, and what stays of a fitted one: its weights."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from inspect import signature
from typing import Annotated, Any, Self

import numpy as np
import pandas as pd
from pydantic import BaseModel, Field
from scipy.stats import norm
from sklearn.base import BaseEstimator, RegressorMixin, is_regressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel
from sklearn.linear_model import BayesianRidge, LinearRegression, Ridge, RidgeCV
from sklearn.model_selection import KFold
from sklearn.pipeline import Pipeline

from zc_search._utils.plugins import load_plugin
from zc_search.ensemble.features import AGGREGATE, ON_EDGE, RECORD, FeatureMap, Features
from zc_search.ensemble.tables import EnsembleSpec, Floats, check_model, numbers, spec_of
from zc_search.errors import EnsembleError
from zc_search.evaluation import kendall_tau

PRODUCT_SCALE = 1 / 3
"""Weight expected of a product, as a share of that of a column that is none."""

AGGREGATE_WORTH = 60
"""Accuracies that the order without any accuracy is worth to a ridge."""

PROCESS_WORTH = 45
"""The same for a Gaussian process, whose error falls faster as they become more."""

PROXY_SCALE = 0.3
"""Weight of a proxy in the process' distances, as a share of that of a feature of structure."""

OPERATIONS_SHARE = 0.01
"""Variance of the process' part of the operations, as a share of that of its other part."""

TUNED_ON = 500
"""Rows that settle a Gaussian process' parameters, at a cost of their cube."""

PORTION = 500
"""Rows that a Gaussian process predicts at once."""

ROWS_IN_A_FOLD = 3
"""With fewer held-out rows a rank correlation takes two values only."""


def make_model(name: str, seed: int = 0) -> Any:
    """Return an unfitted scikit-learn regressor; the seed is for an imported one that takes it."""
    own = {"linear": LinearRegression, "gap": GapRegression, "gp": GapProcess}
    own["ridge"] = partial(RidgeCV, np.logspace(-2, 4, 13))
    if name in own:
        return own[name]()
    check_model(name)
    regressor = load_plugin(name, "ensemble.model", EnsembleError)
    try:
        seeded = {"random_state": seed} if "random_state" in signature(regressor).parameters else {}
        model = regressor(**seeded)
        fits = hasattr(model, "fit") and is_regressor(model)
        why = "" if fits else "it is no scikit-learn regressor"
    except Exception as error:  # it is anybody's code
        why = str(error)
    if why:
        message = f"model {name!r} cannot be made: {why}"
        raise EnsembleError(message, key="ensemble.model", given=name)
    return model


def fit_pipeline(
    rows: pd.DataFrame,
    proxies: Sequence[str] | EnsembleSpec,
    *,
    population: pd.DataFrame | None = None,
    **settings: Any,
) -> Any:
    """Fit features and model to scores with accuracies; all rows finite, all distinct.

    Takes columns to predict from and settings of `EnsembleSpec`, or a whole one; and scores among
    which the aggregate ranks, by default the rows. Returns a scikit-learn pipeline from a table of
    scores to percent accuracy.
    """
    spec = spec_of(proxies, settings)
    features = Features(spec.proxies, spec.feature_set, spec.directions)
    model = make_model(spec.model, spec.seed)
    if isinstance(model, GapProcess):
        model.set_params(proxies=spec.proxies)
    steps = [("features", features), ("model", model)]
    return Pipeline(steps).fit(rows, numbers(rows, spec.target), features__population=population)


class Link(BaseModel):
    """A rising, piecewise linear map from a score, measured in `unit`, to percent accuracy."""

    model_config = RECORD

    scores: tuple[float, ...]
    accuracies: tuple[float, ...]
    slope_below: Annotated[float, Field(gt=0)]
    slope_above: Annotated[float, Field(gt=0)]
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


class GapRegression(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Ridge regression on ``-log(ceiling - accuracy)``; see `fit_ridge`.

    The ceiling is above the best training accuracy by half its distance from the median, so that
    differences among good architectures count for more than among bad ones.
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


class PartMatern(Matern):  # type: ignore[misc]
    """A Matérn kernel of smoothness 3/2 and length 1 over some of the columns."""

    def __init__(self, first: int = 0, end: int | None = None) -> None:
        super().__init__(1.0, "fixed", nu=1.5)
        self.first, self.end = first, end

    def __call__(self, X: Floats, Y: Floats | None = None, eval_gradient: bool = False) -> Any:
        """Return the kernel between rows, and its gradient, which is empty, where asked for."""
        part = slice(self.first, self.end)
        return super().__call__(X[:, part], None if Y is None else Y[:, part], eval_gradient)


class GapProcess(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A Gaussian process with the target of `GapRegression`, for features of structure.

    The sum of two Matérn kernels: one over features of structure and, as a smaller part of its
    distances, `proxies`; and a weak one over which operation lies where, for what the features do
    not tell. ``aggregate`` counts as in `fit_ridge`. Variance and noise are the likeliest
    (Rasmussen and Williams 2006, section 5.4.1), for `TUNED_ON` evenly chosen rows where there are
    more; the kernels' lengths are given by their columns, as few rows do not tell them.
    """

    def __init__(self, proxies: Sequence[str] = ()) -> None:
        self.proxies = proxies

    def fit(self, X: pd.DataFrame, y: Floats) -> Self:
        """Fit to named columns and percent accuracies."""
        ceiling, gaps = gaps_to_ceiling(np.asarray(y, dtype=np.float64))
        self._line = _aggregate_line(X, gaps) if AGGREGATE in X.columns else None
        self._share = PROCESS_WORTH**2 / (PROCESS_WORTH**2 + len(gaps) ** 2)
        columns, size = self._columns(X)
        parts = [PartMatern(end=size)] if size else []
        if columns.shape[1] > size:
            parts.append(ConstantKernel(OPERATIONS_SHARE, "fixed") * PartMatern(size))
        kernel = ConstantKernel(10.0) * sum(parts[1:], parts[0]) + WhiteKernel(0.1, (1e-2, 1.0))
        some = np.linspace(0, len(gaps) - 1, min(len(gaps), TUNED_ON)).round().astype(int)
        self.process_ = GaussianProcessRegressor(kernel, normalize_y=True)
        with warnings.catch_warnings():  # a bound that is reached is an answer, not a failure
            warnings.simplefilter("ignore", ConvergenceWarning)
            self.process_.fit(columns[some], gaps[some])
        if len(gaps) > TUNED_ON:
            self.process_.set_params(kernel=self.process_.kernel_, optimizer=None)
            self.process_.fit(columns, gaps)
        self.link_ = Link.of_gaps(ceiling, gaps)
        return self

    def predict(self, X: pd.DataFrame) -> Floats:
        """Return percent accuracy."""
        columns, _ = self._columns(X)
        # In portions, as a whole space beside all rows fitted to takes long to write and to read.
        portions = np.array_split(columns, 1 + len(columns) // PORTION)
        scores = np.concatenate([self.process_.predict(portion) for portion in portions])
        if self._line is not None:
            beside = self._line.predict(X[[AGGREGATE]].to_numpy())
            scores = (1 - self._share) * scores + self._share * beside
        return self.link_(scores)

    def _columns(self, X: pd.DataFrame) -> tuple[Floats, int]:
        """Return the columns, by their kernel's length, and how many come before the operations."""
        named = X.drop(columns=AGGREGATE, errors="ignore")
        proxies = named.columns.isin(self.proxies)
        last = named.columns.str.contains(ON_EDGE, regex=False) & ~proxies
        weights = np.where(proxies, PROXY_SCALE, 1.0)
        for kind in (~last, last):  # standardised columns lie sqrt(2 · columns) apart on average
            weights[kind] /= 4 * np.linalg.norm(weights[kind])
        scaled = named.to_numpy(dtype=np.float64) * weights
        return np.hstack([scaled[:, ~last], scaled[:, last]]), int(np.count_nonzero(~last))


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

    The strength makes the training targets likeliest (MacKay 1992, Bayesian interpolation);
    products ``a * b`` are expected to be weaker by `PRODUCT_SCALE`. With a column ``aggregate``, a
    line through it alone takes part in the prediction and weighs as much as `AGGREGATE_WORTH` rows.
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
        share, line = _ridge_share(y), _aggregate_line(X, y)
        weights, intercept = weights * (1 - share), intercept * (1 - share)
        weights[X.columns == AGGREGATE] += share * line.coef_[0]
        intercept += share * float(line.intercept_)
    return weights, intercept, alpha


def ridge_posterior(columns: Floats, y: Floats, alpha: float) -> Floats:
    """Return the posterior covariance of a ridge's intercept and weights (MacKay 1992).

    ``s² (X'X + alpha I)^-1`` of centred columns, with ``s²`` the squared residuals over the rows
    that exceed the effective degrees of freedom.
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
    """Return the covariance of `fit_ridge`, the intercept first, as if its two parts were apart."""
    expected = np.array([1.0, *_expected(X)])
    covariance = ridge_posterior(X.to_numpy(dtype=np.float64) * expected[1:], y, alpha)
    covariance = covariance * np.outer(expected, expected)
    if AGGREGATE in X.columns:
        share, line = _ridge_share(y), _aggregate_line(X, y)
        alone = X[[AGGREGATE]].to_numpy(dtype=np.float64)
        residuals = y - line.predict(alone)
        variance = float(residuals @ residuals) / max(len(y) - 2, 1)
        inner = np.array([[variance / float(((alone - alone.mean()) ** 2).sum())]])
        of_line = _with_intercept(inner, alone.mean(axis=0), variance / len(y))
        place = [0, 1 + list(X.columns).index(AGGREGATE)]
        covariance = covariance * (1 - share) ** 2
        covariance[np.ix_(place, place)] += share**2 * of_line
    return covariance


def _expected(X: pd.DataFrame) -> Floats:
    return np.array([PRODUCT_SCALE if " * " in str(name) else 1.0 for name in X])


def _ridge_share(y: Floats) -> float:
    return AGGREGATE_WORTH / (AGGREGATE_WORTH + len(y))


def _aggregate_line(X: pd.DataFrame, y: Floats) -> LinearRegression:
    """Return the line through the order without any accuracy alone, not falling."""
    return LinearRegression(positive=True).fit(X[[AGGREGATE]].to_numpy(), y)


def _with_intercept(inner: Floats, centre: Floats, of_mean: float) -> Floats:
    """Return the covariance of ``mean - centre @ weights`` and the weights."""
    beside = -inner @ centre
    first = np.concatenate([[of_mean + centre @ inner @ centre], beside])
    return np.vstack([first, np.column_stack([beside, inner])])


class Weight(BaseModel):
    """What one standard deviation of a feature adds to the score, with its 90% interval.

    For a ridge (``ridge``, ``gap``) both are those of its posterior. For least squares the interval
    is the bootstrap's, the error in closed form; with fewer rows than weights, which do not settle
    them, it is the bootstrap's too, and the interval holds the weight and 0.
    """

    model_config = RECORD

    feature: str
    weight: float
    standard_error: float
    low: float
    high: float


class LinearPredictor(BaseModel):
    """``score = intercept + sum of weight · column``, then the link where the model has one."""

    model_config = RECORD

    intercept: float
    weights: tuple[Weight, ...]
    covariance: tuple[tuple[float, ...], ...]  # lower triangle, the intercept first
    typical_variance: float = 0.0  # of the score, mean over rows fitted to: their residuals hold it
    link: Link | None = None

    @classmethod
    def of(cls, pipeline: Pipeline, rows: pd.DataFrame, spec: EnsembleSpec) -> Self:
        """Write down a fitted linear model, and bound its weights: a ridge's by its posterior."""
        model, accuracies = pipeline["model"], numbers(rows, spec.target)
        columns = pipeline["features"].transform(rows)
        matrix, weights = columns.to_numpy(), model.coef_
        if isinstance(model, RidgeCV | GapRegression):
            if isinstance(model, RidgeCV):
                covariance = ridge_posterior(matrix, accuracies, float(model.alpha_))
            else:
                gaps = gaps_to_ceiling(accuracies)[1]
                covariance = ridge_covariance(columns, gaps, model.alpha_)
            errors = np.sqrt(np.diag(covariance)[1:])
            reach = float(norm.ppf(0.95)) * errors
            low, high = weights - reach, weights + reach
        else:
            draws = _resampled(matrix, accuracies, spec)
            covariance = np.atleast_2d(np.cov(draws, rowvar=False))
            closed = least_squares_errors(matrix, accuracies - model.predict(columns))
            errors = draws[:, 1:].std(axis=0, ddof=1) if closed is None else closed[1:]
            low, high = np.quantile(draws[:, 1:], [0.05, 0.95], axis=0)
            if closed is None:  # draws hold fewer rows still, and their weights lie nearer to 0
                around = np.vstack([low, high, weights, 0 * weights])
                low, high = around.min(axis=0), around.max(axis=0)
        figures = (np.asarray(values).tolist() for values in (weights, errors, low, high))
        names, table = Weight.model_fields, zip(columns, *figures, strict=True)
        return cls(
            intercept=float(model.intercept_),
            weights=tuple(Weight(**dict(zip(names, row, strict=True))) for row in table),
            covariance=tuple(tuple(row[: i + 1].tolist()) for i, row in enumerate(covariance)),
            typical_variance=float(_score_variance(covariance, matrix).mean()),
            link=getattr(model, "link_", None),
        )

    def predict(self, matrix: Floats) -> Floats:
        """Return percent accuracy for rows of standardised columns."""
        score = self._score(matrix)
        return score if self.link is None else self.link(score)

    def spread(self, matrix: Floats, deviations: float) -> tuple[Floats, Floats]:
        """Return how far a prediction falls and rises if the weights vary, in percent accuracy.

        Only where a row is more uncertain than those fitted to are on average.
        """
        variance = _score_variance(self.full_covariance(), matrix) - self.typical_variance
        score, step = self._score(matrix), deviations * np.sqrt(np.maximum(variance, 0.0))
        scores = (score - step, score, score + step)
        low, here, high = scores if self.link is None else map(self.link, scores)
        return here - low, high - here

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


@dataclass(frozen=True)
class FittedRegressor:
    """A fitted regressor without weights: ``gp``, or of a user's choice; no file can hold it.

    An importance: what shuffling a column of the scores costs in Kendall's tau, held out, and the
    standard deviation of that over the shuffles.
    """

    regressor: Any
    names: list[str]
    importances: tuple[tuple[str, float, float], ...]

    @classmethod
    def of(cls, pipeline: Pipeline, rows: pd.DataFrame, spec: EnsembleSpec) -> Self:
        """Measure by shuffling what a regressor draws on, held out in three folds if there can."""
        from sklearn.inspection import permutation_importance  # which loads half of scikit-learn

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
        importances = tuple(zip(inputs, means, deviations, strict=True))
        return cls(pipeline["model"], features.names, importances)

    def predict(self, matrix: Floats) -> Floats:
        """Return percent accuracy for rows of standardised columns; NaN where one is missing."""
        columns = pd.DataFrame(matrix, columns=self.names)
        usable = np.isfinite(matrix).all(axis=1)
        predicted = np.full(len(matrix), np.nan)
        if usable.any():
            predicted[usable] = self.regressor.predict(columns[usable])
        return predicted


def least_squares_errors(columns: Floats, residuals: Floats) -> Floats | None:
    """Return standard errors ``sqrt(s² · diag((X'X)^-1))``, the intercept's first.

    None where the weights are not settled by the rows.
    """
    design = np.column_stack([np.ones(len(columns)), columns])
    spare = len(columns) - design.shape[1]
    if spare < 1 or np.linalg.matrix_rank(design) < design.shape[1]:
        return None
    variance = float(residuals @ residuals) / spare
    triangle = np.linalg.inv(np.linalg.qr(design, mode="r"))
    errors: Floats = np.sqrt(variance * (triangle**2).sum(axis=1))
    return errors


def _resampled(values: Floats, accuracies: Floats, spec: EnsembleSpec) -> Floats:
    """Fit least squares to rows drawn with replacement (Efron 1979, the bootstrap of pairs).

    The features' constants stay as they are, so that the weights of all draws mean the same. Not
    for a ridge: a resample holds 63 % of the rows, so that it shrinks the weights further than the
    fit does, and its intervals lie too near 0. A row a draw, the intercept first. Scikit-learn's
    checks would take ten times as long as the fit.
    """
    random = np.random.default_rng(spec.seed)
    coefficients = []
    for _ in range(spec.n_bootstrap):
        rows = random.integers(len(values), size=len(values))
        matrix, targets = values[rows], accuracies[rows]
        centre, mean = matrix.mean(axis=0), targets.mean()
        weights = np.linalg.lstsq(matrix - centre, targets - mean, rcond=None)[0]
        coefficients.append([mean - centre @ weights, *weights])
    return np.array(coefficients)


def _score_variance(covariance: Floats, matrix: Floats) -> Floats:
    """Return the variance of each row's score."""
    design = np.column_stack([np.ones(len(matrix)), matrix])
    variance: Floats = ((design @ covariance) * design).sum(axis=1)
    return variance
