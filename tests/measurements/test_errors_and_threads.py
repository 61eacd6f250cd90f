"""How far each proxy is from float64, and from itself with other numbers of threads.

pytest -m slow -n 0 -s tests/measurements/test_errors_and_threads.py
"""

import copy
import random
from dataclasses import replace
from statistics import median

import pytest
import torch
from torch import nn

from zc_search.images import Batch, load_batch
from zc_search.proxies import PROXIES, resolve_proxies
from zc_search.scoring.scorer import evaluate_proxies, make_probe
from zc_search.spaces import Architecture
from zc_search.spaces.network import build_network

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

DATASET = "ImageNet16-120"
CELLS = 8
THREADS = (1, 2, 4, 8)
LIMITS = {"zico": 2e-3, "grasp": 3e-5}
LIMIT = 1e-5
NAMES = sorted(set(PROXIES) - {"latency", "epe_nas"})  # a time; and no image shares its class


def cells() -> list[Architecture]:
    dear = "|nor_conv_1x1~0|+|none~0|skip_connect~1|+|nor_conv_1x1~0|avg_pool_3x3~1|nor_conv_1x1~2|"
    drawn = random.Random(5)  # noqa: S311
    found = [Architecture.from_string(dear)]
    while len(found) < CELLS:
        ops = drawn.choices(["skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"], k=6)
        found.append(Architecture(tuple(ops)))
    return found


def values(network: nn.Module, batch: Batch) -> dict[str, float]:
    chosen = resolve_proxies(NAMES)
    return evaluate_proxies(chosen, make_probe(network, batch, chosen))[0]


def test_errors_and_threads() -> None:
    batch = load_batch(dataset=DATASET, batch_size=32)
    exactly = replace(batch, images=batch.images.double())
    errors: dict[str, list[float]] = {name: [] for name in NAMES}
    spreads: dict[str, list[float]] = {name: [] for name in NAMES}
    before = torch.get_num_threads()
    try:
        for cell in cells():
            network = build_network(cell, dataset=DATASET)
            exact = values(copy.deepcopy(network).double(), exactly)
            found = []
            for threads in THREADS:
                torch.set_num_threads(threads)
                found.append(values(network, batch))
            torch.set_num_threads(before)
            for name in NAMES:
                size = abs(exact[name]) or 1.0
                run = [f[name] for f in found]
                errors[name] += [abs(value - exact[name]) / size for value in run]
                spreads[name].append((max(run) - min(run)) / size)
    finally:
        torch.set_num_threads(before)
    print(f"\n{'proxy':18} {'error: median':>14} {'largest':>8} {'threads: median':>16} largest")
    for name in NAMES:
        e, s = errors[name], spreads[name]
        print(f"{name:18} {median(e):14.1e} {max(e):8.1e} {median(s):16.1e} {max(s):.1e}")
    for name in NAMES:
        assert median(errors[name] + spreads[name]) < LIMITS.get(name, LIMIT), name
