"""What sharing passes saves, as a ratio inside one run.

    pytest -m slow -n 0 -s tests/measurements/test_shared_passes.py [--peer FOLDER] [--threads N]

Prints, for a batch of 64 and five cells a stage, seconds and ratios; nothing is asserted of time,
only that both sides compute the same. What is compared takes turns, so that a machine that slows
down slows both sides down.
"""

import copy
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from statistics import median

import one_after_another as field
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zc_search.images import load_batch
from zc_search.proxies import Probe, resolve_proxies
from zc_search.scoring.scorer import evaluate_proxies
from zc_search.spaces import Architecture
from zc_search.spaces.network import build_network

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

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


@pytest.fixture(autouse=True)
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.config.getoption("--threads"))
    yield torch.get_num_threads()
    torch.set_num_threads(before)


@pytest.fixture(params=CELLS)
def case(request: pytest.FixtureRequest) -> tuple[nn.Module, Tensor, Tensor]:
    batch = load_batch(batch_size=BATCH)
    network = build_network(Architecture.from_string(CELLS[request.param]))
    return network, batch.images, batch.labels


def shared(
    network: nn.Module, images: Tensor, labels: Tensor, names: list[str]
) -> dict[str, float]:
    proxies = resolve_proxies(names)
    needs = frozenset().union(*(p.needs for p in proxies))
    return evaluate_proxies(proxies, Probe(network, images, labels, needs))[0]


def seconds(functions: Mapping[str, Callable[[], object]], rounds: int = 3) -> dict[str, float]:
    """Return each function's median time, all taking turns after a round to warm up."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds + 1):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            times[name].append(time.perf_counter() - start)
    return {name: median(taken[1:]) for name, taken in times.items()}


def test_shared_against_one_after_another(case, benchmark, request, threads) -> None:
    network, images, labels = case
    one_by_one: Mapping[str, field.Scorer] = field.NINE
    if peer := request.config.getoption("--peer"):
        one_by_one = peer_scorers(peer)
    names = [name for name in field.NINE if name in one_by_one]
    taken = seconds(
        {"plain pass": lambda: field.plain_pass(network, images, labels)}
        | {n: lambda n=n: one_by_one[n](network, images, labels) for n in names}
        | {f"ours {n}": lambda n=n: shared(network, images, labels, [n]) for n in names}
        | {"shared": lambda: shared(network, images, labels, names)}
        | {"with tenas": lambda: shared(network, images, labels, [*names, "tenas"])}
    )
    plain, total = taken["plain pass"], sum(taken[name] for name in names)
    print(f"\n{threads} threads, a plain pass takes {plain:.3f} s; in units of it:")
    for name in names:
        alone = taken[f"ours {name}"] / plain
        print(f"  {name:12} one after another {taken[name] / plain:6.2f}   ours alone {alone:6.2f}")
    together, ten = taken["shared"], taken["with tenas"]
    print(
        f"  all {len(names)} one after another {total / plain:.2f}, shared {together / plain:.2f}: "
        f"{total / together:.1f} x"
    )
    if not peer:
        start = time.perf_counter()
        field.tenas(network, images, labels)
        total += time.perf_counter() - start
        print(f"  with tenas {total / plain:.2f}, shared {ten / plain:.2f}: {total / ten:.1f} x")
    ours = benchmark.pedantic(lambda: shared(network, images, labels, names))
    for name in names:
        value = one_by_one[name](network, images, labels)
        assert value == pytest.approx(ours[name], rel=TOLERANCE.get(name, 1e-3)), name


def test_multiple_of_a_plain_pass_for_each_proxy_added(case, threads) -> None:
    network, images, labels = case
    first = {f"+ {TWELVE[k - 1]}": TWELVE[:k] for k in range(1, len(TWELVE) + 1)}
    taken = seconds(
        {"plain pass": lambda: field.plain_pass(network, images, labels)}
        | {label: lambda n=n: shared(network, images, labels, n) for label, n in first.items()}
    )
    print(f"\n{threads} threads, a plain pass takes {taken['plain pass']:.3f} s; in units of it:")
    for label in first:
        print(f"  {label:14} {taken[label] / taken['plain pass']:5.2f}")


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
            with warnings.catch_warnings(action="ignore"):  # it is written for an older torch
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

    # Its l2_norm is not among those that it loads, and does not take what it would be called with.
    return {n: scorer(n) for n in ("grad_norm", "snip", "grasp", "fisher", "plain")}
