"""What a sampler costs a trial, by number of objectives and of trials before it.

    pytest -m slow -n 0 -s tests/measurements/test_sampler_overhead.py [-k "nsgaiii or local"]

Prints, for each sampler that a search file can name, the milliseconds that asking, suggesting and
telling took per trial, over the last fifth of 100, 500, 1,000 and 2,000 trials; nothing is asserted
of time. A sampler that has used up its minute is left at the trials it reached. The study is in
memory: a database adds its own price, the same for every sampler.
"""

import time
from zlib import crc32

import numpy as np
import optuna
import pytest

from zc_search.config import SAMPLERS
from zc_search.samplers import make_sampler
from zc_search.spaces import OPERATIONS, PARAMETERS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

OBJECTIVES = (1, 2, 3, 5, 10)
TRIALS = (100, 500, 1000, 2000)
MINUTE = 60.0
CASES = [(name, False) for name in SAMPLERS] + [
    (name, True) for name in SAMPLERS if "zc_search" not in SAMPLERS[name] and name != "brute_force"
]


def values(ops: list[str], objectives: int) -> list[float]:
    """Return figures of a cell that pull in different directions, the same each time."""
    rng = np.random.default_rng(crc32("".join(ops).encode()))
    depth = sum(op.startswith("nor_conv") for op in ops)
    return [depth * (-1) ** i + float(rng.normal()) for i in range(objectives)]


def milliseconds(name: str, distinct: bool, objectives: int) -> dict[int, float]:
    """Return the mean milliseconds of a trial before each of `TRIALS`."""
    sampler = make_sampler(name, {}, seed=0, distinct=distinct)
    study = optuna.create_study(directions=["maximize"] * objectives, sampler=sampler)
    spent: list[float] = []
    while len(spent) < TRIALS[-1] and sum(spent) < MINUTE:
        begun = time.perf_counter()
        trial = study.ask()
        ops = [trial.suggest_categorical(edge, OPERATIONS) for edge in PARAMETERS]
        asked = time.perf_counter()
        told = values(ops, objectives)
        telling = time.perf_counter()
        study.tell(trial, told)
        spent.append(time.perf_counter() - telling + asked - begun)
    reached = [count for count in TRIALS if count <= len(spent)] or [len(spent)]
    return {count: 1000 * float(np.mean(spent[count - count // 5 : count])) for count in reached}


@pytest.mark.parametrize(
    ("name", "distinct"), CASES, ids=[f"{name}-distinct" if d else name for name, d in CASES]
)
def test_overhead(name: str, distinct: bool) -> None:
    most = 1 if name == "predictor_guided" else OBJECTIVES[-1]
    print()
    for objectives in (count for count in OBJECTIVES if count <= most):
        found = milliseconds(name, distinct, objectives)
        said = "  ".join(f"{count:,}: {ms:8.2f}" for count, ms in found.items())
        print(f"{name + ' distinct' * distinct:28s} {objectives:2d} objectives  ms at {said}")
        assert all(ms > 0 for ms in found.values())
