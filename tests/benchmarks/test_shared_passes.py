"""What sharing passes saves, as a ratio inside one run.

    pytest -m slow tests/benchmarks -s [--peer FOLDER]

Prints, for a batch of 64 and five cells a stage, seconds and ratios; nothing is asserted of time,
only that both sides compute the same.
"""

import copy
import sys
import time
from collections.abc import Callable
from statistics import median

import one_after_another as field
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zc_search.data import load_batch
from zc_search.networks import build_network
from zc_search.proxies import Probe, resolve_proxies
from zc_search.scoring import evaluate_proxies
from zc_search.spaces import Architecture

pytestmark = pytest.mark.slow

CELLS = {
    "dear": "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|"
    "+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|",
    "median": "|nor_conv_1x1~0|+|nor_conv_3x3~0|avg_pool_3x3~1|"
    "+|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|",
}
BATCH = 64
TWELVE = [*field.NINE, "jacov", "synflow", "params"]
# float32 on both sides; zico divides by differences of nearly equal gradients
TOLERANCE = {"zico": 0.05, "grasp": 0.05, "plain": 0.05}


@pytest.fixture(params=CELLS)
def case(request: pytest.FixtureRequest) -> tuple[nn.Module, Tensor, Tensor]:
    batch = load_batch(batch_size=BATCH)
    network = build_network(Architecture.from_string(CELLS[request.param]))
    return network, batch.images, batch.labels


def shared(network: nn.Module, images: Tensor, labels: Tensor, names: list[str]) -> dict:
    proxies = resolve_proxies(names)
    needs = frozenset().union(*(p.needs for p in proxies))
    return evaluate_proxies(proxies, Probe(network, images, labels, needs))[0]


def seconds(function: Callable[[], object], rounds: int = 3) -> float:
    times = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return median(times[1:])  # the first one warms up


def test_shared_against_one_after_another(case, benchmark, request) -> None:
    network, images, labels = case
    names = list(field.NINE)
    one_by_one = field.NINE | {"tenas": field.tenas}
    if peer := request.config.getoption("--peer"):
        one_by_one = peer_scorers(peer)
        names = [name for name in names if name in one_by_one]
    ours = benchmark.pedantic(
        lambda: shared(network, images, labels, names), rounds=3, warmup_rounds=1
    )
    plain = seconds(lambda: field.plain_pass(network, images, labels))
    together = benchmark.stats.stats.median
    theirs = {}
    print(f"\nplain pass {plain:.3f} s; nine shared {together:.3f} s = {together / plain:.2f} x")
    for name in names:
        theirs[name] = seconds(lambda name=name: one_by_one[name](network, images, labels), 1)
        alone = seconds(lambda name=name: shared(network, images, labels, [name]), 1)
        print(f"  {name:12} one after another {theirs[name]:7.3f} s, ours alone {alone:7.3f} s")
    total = sum(theirs.values())
    print(f"  all {len(names)}: {total:.2f} s, {total / together:.1f} x ours")
    if not peer:
        start = time.perf_counter()
        field.tenas(network, images, labels)
        with_tenas = total + time.perf_counter() - start
        ten = seconds(lambda: shared(network, images, labels, [*names, "tenas"]), 1)
        print(f"  with tenas: {with_tenas:.2f} s against {ten:.2f} s, {with_tenas / ten:.1f} x")
    for name in names:
        value = one_by_one[name](network, images, labels)
        assert value == pytest.approx(ours[name], rel=TOLERANCE.get(name, 1e-3)), name


def test_multiple_of_a_plain_pass_for_each_proxy_added(case) -> None:
    network, images, labels = case
    plain = seconds(lambda: field.plain_pass(network, images, labels))
    print(f"\nplain pass {plain:.3f} s")
    for count in range(1, len(TWELVE) + 1):
        names = TWELVE[:count]
        taken = seconds(lambda names=names: shared(network, images, labels, names), 2)
        print(f"  + {names[-1]:12} {taken / plain:5.2f} x a plain pass")


def peer_scorers(folder: str) -> dict[str, field.Scorer]:
    """Return the scorers of a checkout of zero-cost-nas (`foresight`)."""
    sys.path.insert(0, folder)
    from foresight.pruners.predictive import find_measures

    class Prunable(nn.Module):
        def __init__(self, network: nn.Module) -> None:
            super().__init__()
            self.network = network

        def forward(self, images: Tensor) -> Tensor:
            return self.network(images)

        def get_prunable_copy(self, bn: bool = True) -> nn.Module:
            assert bn, "synflow is not timed"
            return Prunable(copy.deepcopy(self.network))

    def scorer(name: str) -> field.Scorer:
        def score(network: nn.Module, images: Tensor, labels: Tensor) -> float:
            found = find_measures(
                Prunable(network.train()),
                [(images, labels)],
                ("random", 1, 10),
                torch.device("cpu"),
                F.cross_entropy,
                [name],
            )
            return float(found[name])

        return score

    return {n: scorer(n) for n in ("grad_norm", "snip", "grasp", "fisher", "plain", "l2_norm")}
