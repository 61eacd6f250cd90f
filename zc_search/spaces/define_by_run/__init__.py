"""A space of somebody's own: ``build(trial, task)`` asks an Optuna trial, and returns a network."""
