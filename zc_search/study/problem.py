"""An objective as a benchmark problem of OptunaHub."""

from collections.abc import Mapping, Sequence
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FixedTrial, Trial

from zc_search._utils.text import install_hint
from zc_search.study.objective import FEASIBLE, Objective

try:
    from optunahub.benchmarks import BaseProblem
except ImportError as error:
    raise ImportError(f"a problem needs optunahub: {install_hint('optunahub')}") from error

__all__ = ["Problem"]


class Problem(BaseProblem):
    """An architecture's proxies, accuracy and cost, as OptunaHub's benchmarks are asked for theirs.

    >>> problem = Problem("nasbench201", {"val_accuracy": "maximize", "params": "minimize"})
    >>> study = optuna.create_study(directions=problem.directions)  # doctest: +SKIP
    >>> study.optimize(problem, n_trials=50)  # doctest: +SKIP

    Args:
        space: See `Objective`, of which all arguments may be given; or an `Objective`.
        objectives: See `Objective`.

    Attributes:
        objective: What scores; `zc_search.conclude` takes it together with a study.
    """

    def __init__(
        self,
        space: str | Mapping[str, Any] | Objective = "nasbench201",
        objectives: Sequence[str] | Mapping[str, Any] = (),
        **settings: Any,
    ) -> None:
        if not isinstance(space, Objective):
            space = Objective(space, objectives, **settings)
        self.objective: Objective = space

    def __call__(self, trial: Trial) -> list[float]:
        """Score an architecture of Optuna's choice and record it; see `Objective`."""
        return self.objective(trial)

    @property
    def search_space(self) -> dict[str, BaseDistribution]:
        """Every parameter that a trial may be asked for."""
        return dict(self.objective.space.distributions())

    @property
    def directions(self) -> list[StudyDirection]:
        """The directions of the values."""
        return [StudyDirection[direction.upper()] for direction in self.objective.directions]

    @property
    def metric_names(self) -> list[str]:
        """The names of the values, for `Study.set_metric_names`."""
        return self.objective.metric_names

    def evaluate(self, params: dict[str, Any]) -> list[float]:
        """Return the values of an architecture, without a study; NaN for what has none.

        Raises:
            ArchitectureError: A parameter is missing or has a value that the space does not.
        """
        architecture = self.objective.space.architecture(params)
        refused = self.objective.limits.check(architecture).refused
        scores = None if refused else self.objective.scorer.score(architecture)
        return self.objective.values(
            self.objective.record(FixedTrial(params), architecture, scores)
        )

    def evaluate_constraints(self, params: dict[str, Any]) -> dict[str, float]:
        """Return by constraint how far an architecture is beyond it, before it is scored.

        What is at or below 0 is kept. Limits of a latency are known of a scored trial only.
        """
        architecture = self.objective.space.architecture(params)
        check = self.objective.limits.check(architecture)
        return {FEASIBLE: float(architecture.infeasible is not None), **check.beyond}
