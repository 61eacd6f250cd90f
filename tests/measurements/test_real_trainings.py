"""Does a search that trains a dozen networks find better ones than a dozen at random?

    pytest -m slow -n 0 -s tests/measurements/test_real_trainings.py --repetitions 10

Both train for four epochs on scikit-learn's digits; judged is the best found, by training it anew
with another seed, on the images held out. The figure is the mean difference over the repetitions
with its standard error.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zc_search.config import Config, parse_config
from zc_search.scoring.scorer import open_images
from zc_search.search import run_search
from zc_search.study.training import Trainer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(0)]

TRAININGS = 12
SAMPLERS: dict[str, dict[str, Any]] = {
    "predictor_guided": {"sampler": "predictor_guided"},
    "random": {"sampler": "random", "distinct": True},
}


def settings(folder: Path, name: str, seed: int) -> Config:
    return parse_config(
        {
            "study": {
                "name": f"{name}-{seed}",
                "seed": seed,
                "max_accuracies": TRAININGS,
                "n_trials": 10 * TRAININGS,
                **SAMPLERS[name],
            },
            "space": {"channels": 8, "cells": 1},
            "data": {"source": "digits", "seed": seed},
            "benchmark": {"name": "train"},
            "objectives": {"val_accuracy": "maximize"},
            "proxies": {"compute": ["meco", "jacov", "synflow", "params"], "seed": seed},
            "training": {"epochs": 4, "augment": ["crop"], "seed": seed},
            "output": {"folder": str(folder), "report": False},
        }
    )


def best_of(folder: Path, name: str, seed: int) -> tuple[float, float]:
    """Return the best accuracy that a search saw, and what that network reaches by two others."""
    config = settings(folder, name, seed)
    trials = run_search(config).trials.dropna(subset=["val_accuracy"])
    assert trials["architecture"].nunique() == TRAININGS
    best = trials.loc[trials["val_accuracy"].idxmax()]
    trainer = Trainer(config, open_images(config.data), "")
    again = [
        trainer.train(str(best["architecture"]), s)["accuracy"] for s in (seed + 100, seed + 200)
    ]
    return float(best["val_accuracy"]), float(np.mean(again))


def test_it_finds_better_ones_than_chance(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in SAMPLERS}
    repetitions = request.config.getoption("--repetitions")
    for seed in range(repetitions):
        for name, pairs in found.items():
            pairs.append(best_of(tmp_path, name, seed))
            print(
                f"{seed} {name}: best {pairs[-1][0]:.2f} %, anew {pairs[-1][1]:.2f} %", flush=True
            )
    guided, random = (np.array(found[name]) for name in SAMPLERS)
    gains = guided - random
    errors = gains.std(0, ddof=1) / np.sqrt(repetitions)
    for what, at in (("best seen", 0), ("trained anew", 1)):
        means = f"{guided[:, at].mean():.2f} and {random[:, at].mean():.2f} %"
        print(
            f"{what}: {means}, {gains[:, at].mean():+.2f} points, standard error {errors[at]:.2f}"
        )
    assert gains[:, 1].mean() > errors[1]
