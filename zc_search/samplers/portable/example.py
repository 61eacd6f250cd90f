"""The four samplers on a cell of six edges: ``python -m zc_search.samplers.portable.example``."""

import math
from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution
from optuna.samplers import BaseSampler

from . import (
    DistinctSampler,
    LocalSearchSampler,
    PredictorGuidedSampler,
    RegularizedEvolutionSampler,
)

OPERATIONS = ("none", "skip", "conv1x1", "conv3x3", "pool")
SPACE = {f"edge{i}": CategoricalDistribution(OPERATIONS) for i in range(6)}


def worth(cell: Mapping[str, Any]) -> float:
    """Stand for a training: three dissimilar convolutions and a skip connection are best."""
    operations = [cell[edge] for edge in SPACE]
    return sum(math.sqrt(operations.count(kind)) for kind in ("conv1x1", "conv3x3", "skip"))


def key(cell: Mapping[str, Any]) -> tuple[str, ...]:
    """Say that the order of the edges is no matter."""
    return tuple(sorted(cell[edge] for edge in SPACE))


class LeastSquares:
    """The smallest regressor there is; any of scikit-learn's will do."""

    def fit(self, X: Any, y: Any) -> None:
        """Fit to rows of features."""
        design = np.column_stack([np.ones(len(X)), X])
        ridge = 0.1 * np.eye(design.shape[1])
        self.weights = np.linalg.solve(design.T @ design + ridge, design.T @ y)

    def predict(self, X: Any) -> Any:
        """Predict the target of each row."""
        return np.column_stack([np.ones(len(X)), X]) @ self.weights


def main(n_trials: int = 40) -> dict[str, float]:
    """Run each sampler; return the best value that each one found."""
    cells = [dict(zip(SPACE, ops, strict=True)) for ops in product(OPERATIONS, repeat=len(SPACE))]
    counts = [[key(cell).count(kind) for kind in OPERATIONS] for cell in cells]
    common: dict[str, Any] = {"search_space": SPACE, "key": key, "seed": 0}
    samplers: dict[str, BaseSampler] = {
        "regularized evolution": RegularizedEvolutionSampler(
            population_size=10, tournament_size=5, **common
        ),
        "local search": LocalSearchSampler(**common),
        "predictor-guided": PredictorGuidedSampler(
            cells, np.sqrt(counts), lambda seed: LeastSquares(), **common
        ),
        "distinct TPE": DistinctSampler(optuna.samplers.TPESampler(seed=0), **common),
    }
    found = {}
    for name, sampler in samplers.items():
        study = optuna.create_study(direction="maximize", sampler=sampler)
        study.optimize(
            lambda trial: worth({e: trial.suggest_categorical(e, OPERATIONS) for e in SPACE}),
            n_trials=n_trials,
        )
        found[name] = study.best_value
    return found


if __name__ == "__main__":
    for name, value in main().items():
        print(f"{name}: {value:.3f}")
