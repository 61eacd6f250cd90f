"""Search NAS-Bench-201 for accuracy against size with NSGA-II."""

import optuna
import optunahub

package = optunahub.load_module("benchmarks/zero_cost_nas")
problem = package.Problem(
    "nasbench201", {"val_accuracy": "maximize", "params": "minimize"}, dataset="cifar10"
)
sampler = optuna.samplers.NSGAIISampler(population_size=20, seed=0)
study = optuna.create_study(directions=problem.directions, sampler=sampler)
study.optimize(problem, n_trials=100)
for trial in sorted(study.best_trials, key=lambda trial: trial.values[1]):
    print(f"{trial.values[0]:.2f} % with {trial.values[1]:.3f} M parameters")
