"""Models that a predictor-guided search fits to few accuracies, by name."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, DotProduct, WhiteKernel
from sklearn.linear_model import BayesianRidge
from sklearn.tree import DecisionTreeRegressor

from zc_search.ensemble.models import make_model
from zc_search.errors import EnsembleError, ZcSearchError, unknown_name

_LENGTH = 2.0  # two candidates at random are √2 apart: see `Knowledge.features`
_NOISE = 0.05  # of a variance of 1


class Model(NamedTuple):
    """A model, and how a search listens to it.

    Attributes:
        make: Returns an unfitted regressor for a seed.
        kappa: How many deviations a search credits its mean with.
        copies: Resamples that its uncertainty is taken from, where it does not say it itself.
    """

    make: Callable[[int], Any]
    kappa: float
    copies: int = 20


def _process(seed: int) -> GaussianProcessRegressor:
    kernel = RBF(_LENGTH, "fixed") + DotProduct(0.0, "fixed") + WhiteKernel(_NOISE, "fixed")
    return GaussianProcessRegressor(kernel, optimizer=None)


def _tree(seed: int) -> DecisionTreeRegressor:
    return DecisionTreeRegressor(max_features=0.3, random_state=seed)


MODELS: Mapping[str, Model] = {
    "gp": Model(_process, kappa=2.0),
    "linear": Model(lambda seed: BayesianRidge(), kappa=1.0),
    "random_forest": Model(_tree, kappa=1.0, copies=50),
}
"""Models by name: a Gaussian process around a linear trend, Bayesian ridge regression, and trees
that are grown on resamples, which is a random forest (Breiman 2001). Width, noise and kappa were
chosen on the benchmark's tables, once for all data sets."""


def find_model(name: str) -> Model:
    """Return a model.

    Args:
        name: A key of `MODELS`, or ``module:Class`` of a scikit-learn regressor that needs no
            argument.

    Raises:
        ZcSearchError: No such model.
    """
    if name in MODELS:
        return MODELS[name]
    if ":" not in name:
        raise ZcSearchError(f"{unknown_name('model', name, MODELS)}, module:Class")
    try:
        make_model(name, None, 0)
    except EnsembleError as error:
        raise ZcSearchError(str(error)) from error
    return Model(lambda seed: make_model(name, None, seed), kappa=1.0)
