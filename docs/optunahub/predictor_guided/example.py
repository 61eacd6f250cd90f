"""Search a space of cells with a regressor, from one neighbour to the next, and without repeats."""

import math
from itertools import product

import optuna
import optunahub
from optuna.distributions import CategoricalDistribution
from sklearn.linear_model import Ridge

OPERATIONS = ("none", "skip", "conv1x1", "conv3x3", "pool")
SPACE = {f"edge{i}": CategoricalDistribution(OPERATIONS) for i in range(4)}


def objective(trial: optuna.Trial) -> float:
    """Stand for a training: three dissimilar convolutions and a skip connection are best."""
    cell = [trial.suggest_categorical(edge, OPERATIONS) for edge in SPACE]
    return sum(math.sqrt(cell.count(kind)) for kind in ("conv1x1", "conv3x3", "skip"))


package = optunahub.load_module("samplers/predictor_guided")
cells = [dict(zip(SPACE, operations, strict=True)) for operations in product(OPERATIONS, repeat=4)]
features = [[list(cell.values()).count(kind) for kind in OPERATIONS] for cell in cells]
common = {"search_space": SPACE, "seed": 0}
for sampler in (
    package.PredictorGuidedSampler(cells, features, lambda seed: Ridge(0.1), **common),
    package.LocalSearchSampler(**common),
    package.DistinctSampler(optuna.samplers.TPESampler(seed=0), **common),
):
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(objective, n_trials=40)
    print(f"{sampler}: {study.best_value:.3f}")
