"""Search a space of cells by regularized evolution."""

import math

import optuna
import optunahub
from optuna.distributions import CategoricalDistribution

OPERATIONS = ("none", "skip", "conv1x1", "conv3x3", "pool")
SPACE = {f"edge{i}": CategoricalDistribution(OPERATIONS) for i in range(6)}


def objective(trial: optuna.Trial) -> float:
    """Stand for a training: three dissimilar convolutions and a skip connection are best."""
    cell = [trial.suggest_categorical(edge, OPERATIONS) for edge in SPACE]
    return sum(math.sqrt(cell.count(kind)) for kind in ("conv1x1", "conv3x3", "skip"))


package = optunahub.load_module("samplers/regularized_evolution")
sampler = package.RegularizedEvolutionSampler(
    population_size=10, tournament_size=5, search_space=SPACE, seed=0
)
study = optuna.create_study(direction="maximize", sampler=sampler)
study.optimize(objective, n_trials=60)
print(f"{study.best_value:.3f}", study.best_params)
