"""A Gaussian process on the ensemble's features: the best order found here, without weights."""

import warnings
from typing import Self

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from zc_search.ensemble.models import Link
from zc_search.ensemble.ridge import aggregate_line, gaps_to_ceiling
from zc_search.ensemble.scales import Floats


class GapProcess(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A Gaussian process with the target of `GapRegression`; meant for ``rank+flow+aggregate``.

    One Matérn kernel of smoothness 3/2 over all columns but ``aggregate``, whose variance, length
    and noise make the training accuracies likeliest (Rasmussen and Williams 2006, section 5.4.1).
    The column ``aggregate`` counts as in `fit_ridge`.

    Attributes:
        process_: The fitted `GaussianProcessRegressor`.
        link_: From target to percent accuracy.
    """

    def fit(self, X: pd.DataFrame, y: Floats) -> Self:
        """Fit to named columns and percent accuracies."""
        ceiling, gaps = gaps_to_ceiling(np.asarray(y, dtype=np.float64))
        self._share, self._line = 0.0, None
        if "aggregate" in X.columns:
            self._share, self._line = aggregate_line(X, gaps)
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
        if self._line is not None:
            line = self._line.predict(X[["aggregate"]].to_numpy())
            scores = (1 - self._share) * scores + self._share * line
        return self.link_(scores)

    @staticmethod
    def _columns(X: pd.DataFrame) -> Floats:
        return X.drop(columns="aggregate", errors="ignore").to_numpy(dtype=np.float64)
