"""Search guided by a predictor: what is evaluated next is what a model of the past thinks best."""

import inspect
from collections.abc import Callable, Hashable, Mapping, Sequence
from statistics import NormalDist
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray
from optuna.study import Study
from optuna.trial import FrozenTrial

from .memory import Key, Memory, Outcome, RememberingSampler, at_least
from .moves import Params, Space, contains

Floats = NDArray[np.float64]

_REFIT = 2**32 - 3  # no trial has this number


class Regressor(Protocol):
    """What scikit-learn calls a regressor."""

    def fit(self, X: Any, y: Any) -> Any:
        """Fit to rows of features and their targets."""

    def predict(self, X: Any) -> Any:
        """Return a target for each row; with ``return_std=True`` its uncertainty too, if it can."""


def normal_scores(values: ArrayLike) -> Floats:
    """Return what a sample of the normal distribution with the same order would be expected to be.

    ``Φ^-1((rank - 1/2) / n)``, tied values sharing their mean rank. Accuracies crowd at the top and
    trail off below; their normal scores do not.
    """
    _, place, count = np.unique(
        np.asarray(values, dtype=np.float64), return_inverse=True, return_counts=True
    )
    levels = (np.cumsum(count) - count / 2) / count.sum()
    return np.array([NormalDist().inv_cdf(level) for level in levels])[place]


class Evidence(Memory):
    """What the trials say of the candidates, and what was made of it last."""

    def __init__(
        self, study: Study, space: Space, key: Key | None, candidates: Sequence[Params]
    ) -> None:
        super().__init__(study, space, key)
        self.row_of: dict[Hashable, int] = {}
        for row, params in enumerate(candidates):
            if contains(space, params):
                self.row_of.setdefault(self.key({name: params[name] for name in space}), row)
        self.candidates = np.fromiter(self.row_of.values(), dtype=np.int64)
        self.rows: list[int] = []
        self.losses: list[float] = []
        self.valued = self.fitted_at = 0
        self.predictions: Floats = np.empty((0, 0))
        self.spread: Floats = np.empty(0)

    def learn(self, outcome: Outcome) -> None:
        self._note(outcome.params, np.nan if outcome.violation else float(outcome.losses[0]))

    def learn_failure(self, params: Params) -> None:
        self._note(params, np.nan)

    def _note(self, params: Params, loss: float) -> None:
        row = self.row_of.get(self.key(params))
        if row is not None:
            self.rows.append(row)
            self.losses.append(loss)
            self.valued += not np.isnan(loss)

    def known(self, count: int) -> tuple[NDArray[np.int64], Floats]:
        """Return the first `count` rows and their values, those without one as bad as the worst."""
        values = -np.array(self.losses[:count])
        valued = ~np.isnan(values)
        worst = values[valued].min() if valued.any() else 0.0
        return np.array(self.rows[:count]), np.where(valued, values, worst)


class PredictorGuidedSampler(RememberingSampler[Evidence]):
    """Looks only at points that a model, refitted as values come, finds promising.

    The model predicts all candidates from features that cost nothing, such as zero-cost proxies.
    How sure it is of each is the deviation that it says itself (``predict(X, return_std=True)``),
    or the spread of copies fitted to resamples of the values known (Efron 1979, bootstrap). The
    next point is the new candidate of the largest ``mean + kappa * deviation`` (``"ucb"``, Srinivas
    et al. 2010, GP-UCB) or the one that a copy drawn at random likes best (``"thompson"``).
    Infeasible and pruned candidates count as bad as the worst. One objective.

    Args:
        candidates: Points to choose from; of those of equal key the first one is taken.
        features: Candidates x features, finite.
        make_regressor: Returns an unfitted model for a seed.
        acquisition: ``"ucb"`` or ``"thompson"``.
        kappa: How many deviations the mean is credited with.
        copies: Resamples of the bootstrap.
        prior: What is thought of each candidate beforehand, more being better.
        startup: Candidates looked at before the first fit: drawn at random, by `prior`.
        startup_share: The share of the candidates, best first by `prior`, that they are drawn from.
        refit_every: Values that come in between two fits.
        target: From values to what is fitted.
        search_space: What will be suggested. Without it the first trial is drawn at random.
        key: Points of equal key count as one; by default each point counts.
        seed: Of all random choices.
    """

    def __init__(
        self,
        candidates: Sequence[Mapping[str, Any]],
        features: ArrayLike,
        make_regressor: Callable[[int], Regressor],
        *,
        acquisition: Literal["ucb", "thompson"] = "ucb",
        kappa: float = 2.0,
        copies: int = 20,
        prior: ArrayLike | None = None,
        startup: int = 4,
        startup_share: float = 0.05,
        refit_every: int = 1,
        target: Callable[[Floats], Floats] = normal_scores,
        search_space: Space | None = None,
        key: Key | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(search_space, key, seed)
        self._candidates = [dict(params) for params in candidates]
        self._features = np.asarray(features, dtype=np.float64)
        self._prior = None if prior is None else np.asarray(prior, dtype=np.float64)
        self._make_regressor, self._target = make_regressor, target
        self._acquisition, self._kappa, self._copies = acquisition, kappa, copies
        self._startup, self._startup_share = startup, startup_share
        self._refit_every = refit_every
        self._check()

    def _check(self) -> None:
        count, shape = len(self._candidates), self._features.shape
        if len(shape) != 2 or shape[0] != count or not np.isfinite(self._features).all():
            allowed = f"{count} rows, one a candidate, all finite"
            raise ValueError(f"features of shape {shape}: Allowed: {allowed}")
        if self._prior is not None and self._prior.shape != (count,):
            raise ValueError(f"prior of shape {self._prior.shape}: Allowed: {count} numbers")
        if self._acquisition not in ("ucb", "thompson"):
            raise ValueError(f"acquisition={self._acquisition!r}: Allowed: ucb, thompson")
        if not 0 < self._startup_share <= 1:
            raise ValueError(f"startup_share={self._startup_share!r}: Allowed: above 0, at most 1")
        at_least(0, kappa=self._kappa)
        at_least(2, copies=self._copies)
        at_least(1, startup=self._startup, refit_every=self._refit_every)

    def sample_independent(self, study: Study, *args: Any, **kwargs: Any) -> Any:
        self._raise_error_if_multi_objective(study)
        return super().sample_independent(study, *args, **kwargs)

    def sample_relative(self, study: Study, *args: Any, **kwargs: Any) -> Params:
        self._raise_error_if_multi_objective(study)
        return super().sample_relative(study, *args, **kwargs)

    def _new_memory(self, study: Study, space: Space) -> Evidence:
        return Evidence(study, space, self._key, self._candidates)

    def _choose(
        self, study: Study, trial: FrozenTrial, memory: Evidence, rng: np.random.Generator
    ) -> Params:
        rows = memory.candidates
        if memory.valued < self._startup:
            order = self._by_prior(rows, rng)
        else:
            self._fit(memory)
            order = rows[np.argsort(-self._acquire(memory, rng)[rows], kind="stable")]
        points = ({n: self._candidates[row][n] for n in memory.space} for row in order)
        return memory.first_new(points) or memory.draw_new(rng)

    def _by_prior(self, rows: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """Return the best share of the rows in random order, then the others."""
        drawn = rng.permutation(rows)
        if self._prior is None:
            return drawn
        best_first = drawn[np.argsort(-np.nan_to_num(self._prior[drawn], nan=-np.inf))]
        best = int(np.ceil(self._startup_share * len(rows)))
        return np.concatenate([rng.permutation(best_first[:best]), best_first[best:]])

    def _fit(self, memory: Evidence) -> None:
        """Fit to as many values as there were at the last multiple of `refit_every`."""
        count = max(len(memory.rows) // self._refit_every * self._refit_every, 1)
        if count == memory.fitted_at:
            return
        memory.fitted_at = count
        rows, values = memory.known(count)
        targets, rng = self._target(values), self._rng(count, _REFIT)
        regressor = self._make_regressor(int(rng.integers(2**32)))
        says_how_sure = "return_std" in inspect.signature(regressor.predict).parameters
        if says_how_sure and self._acquisition == "ucb":
            regressor.fit(self._features[rows], targets)
            mean, spread = regressor.predict(self._features, return_std=True)  # type: ignore[call-arg]
            memory.predictions, memory.spread = np.atleast_2d(mean), np.asarray(spread)
            return
        memory.predictions = np.empty((self._copies, len(self._features)))
        for copy in range(self._copies):
            drawn = rng.integers(len(rows), size=len(rows))
            regressor = self._make_regressor(int(rng.integers(2**32)))
            regressor.fit(self._features[rows[drawn]], targets[drawn])
            memory.predictions[copy] = regressor.predict(self._features)
        memory.spread = memory.predictions.std(axis=0)

    def _acquire(self, memory: Evidence, rng: np.random.Generator) -> Floats:
        if self._acquisition == "thompson":
            return np.asarray(memory.predictions[int(rng.integers(len(memory.predictions)))])
        return np.asarray(memory.predictions.mean(axis=0) + self._kappa * memory.spread)
