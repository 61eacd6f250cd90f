"""Are the five that a search chooses on one's own images better than five at random?

    pytest -m slow tests/measurements/test_own_images.py -s --repetitions 10 [--cifar10 FOLDER]

Each repetition searches and trains with other seeds; the figure is the mean difference with its
standard error over the repetitions.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zc_search.config import parse_config
from zc_search.deploy.training import train_run
from zc_search.ensemble import RECOMMENDED_PROXIES
from zc_search.search import run_search

pytestmark = [pytest.mark.slow, pytest.mark.timeout(0)]

DIGITS = {
    "data": {"source": "digits"},
    "training": {"epochs": 12, "augment": ["crop"]},
}
CIFAR10 = {
    "data": {"source": "cifar10", "resolution": 16},
    "training": {"epochs": 8},
}


def differences(folder: Path, settings: dict[str, Any], repetitions: int) -> list[float]:
    """Chosen less random, mean validation accuracy in percentage points, by repetition."""
    gains = []
    for seed in range(repetitions):
        config = parse_config(
            {
                "study": {"name": f"r{seed}", "n_trials": 60, "seed": seed},
                "space": {"channels": 8, "cells": 1},
                "data": settings["data"] | {"seed": seed},
                "proxies": {"compute": list(RECOMMENDED_PROXIES), "seed": seed},
                "benchmark": {"name": "none"},
                "objectives": {"meco": "maximize", "jacov": "maximize", "params": "minimize"},
                "training": settings["training"] | {"seed": seed},
                "output": {"folder": str(folder)},
            }
        )
        groups = train_run(run_search(config).folder, top=5).groups.set_index("group")
        means = groups["mean"]
        gains.append(means["chosen"] - means["random"])
        print(
            f"repetition {seed}: chosen {means['chosen']:.2f} %, random {means['random']:.2f} %, "
            f"most parameters {means['most parameters']:.2f} %",
            flush=True,
        )
    return gains


@pytest.mark.parametrize("name", ["digits", "cifar10"])
def test_the_chosen_beat_random_ones(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    settings = DIGITS
    if name == "cifar10":
        path = request.config.getoption("--cifar10")
        if path is None:
            pytest.skip("needs --cifar10 FOLDER")
        settings = CIFAR10 | {"data": CIFAR10["data"] | {"path": path}}
    gains = differences(tmp_path, settings, request.config.getoption("--repetitions"))
    error = np.std(gains, ddof=1) / np.sqrt(len(gains))
    print(f"{name}: {np.mean(gains):+.2f} points, standard error {error:.2f}, {len(gains)} times")
    assert np.mean(gains) > error
