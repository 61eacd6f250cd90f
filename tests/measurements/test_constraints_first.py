"""What is saved where limits are checked before a network is scored.

    pytest -m slow -n 0 -s tests/measurements/test_constraints_first.py

Of 1,000 random cells 70 % are beyond a limit of parameters, and four proxies are wanted of each.
Prints the processor seconds with limits checked first, and with every cell scored before it is
judged; the share that is saved is asserted, as processor time hardly depends on a busy machine.
Cells are small and few, so that it takes minutes: what is saved is the share of the dear part.
"""

import time

import numpy as np
import optuna
import pytest

from zc_search.spaces import Architecture
from zc_search.study import Objective

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

TRIALS, BEYOND = 1000, 0.7
SETTINGS = {
    "space": {"name": "nasbench201", "channels": 4, "cells": 1},
    "objectives": {"jacov": "maximize", "snip": "maximize", "params": "minimize"},
    "proxies": {"compute": ["grad_norm", "synflow"], "cache": "off"},
    "data": {"source": "noise", "batch_size": 8},
    "benchmark": "none",
}


def seconds(objective: Objective, cells: list[Architecture]) -> float:
    """Return the processor seconds of one study of these cells, each scored by itself."""
    study = optuna.create_study(directions=objective.directions)
    for cell in cells:
        study.enqueue_trial(objective.space.parameters(cell))
    begun = time.process_time()
    study.optimize(objective, n_trials=len(cells))
    return time.process_time() - begun


def test_time_saved_by_limits() -> None:
    rng, distinct = np.random.default_rng(0), {}
    while len(distinct) < TRIALS:
        cell = Architecture.from_index(int(rng.integers(15_625)))
        if cell.infeasible is None:
            distinct.setdefault(cell.function_key, cell)
    cells = [*distinct.values()]
    free = Objective(**SETTINGS)
    costs = [
        free.scorer.fresh(p for p in free.proxies if p.name == "params").score(c) for c in cells
    ]
    limit = float(np.quantile([c.values["params"] for c in costs], 1 - BEYOND))
    first = Objective(**SETTINGS, constraints={"max_params": int(limit * 1e6)})
    beyond = sum(first.limits.check(c).refused is not None for c in cells)
    spent = {"all scored": seconds(free, cells), "limits first": seconds(first, cells)}
    saved = 1 - spent["limits first"] / spent["all scored"]
    print(f"\n{beyond} of {len(cells)} cells beyond {limit:.4f} M parameters")
    print(", ".join(f"{name} {value:.1f} s" for name, value in spent.items()), f"saved {saved:.1%}")
    assert saved > 0.6
