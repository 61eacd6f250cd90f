"""The public suites fail for what breaks a promise, and run as they stand from anybody's folder."""

import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

import numpy as np
import pytest
import torch
from torch import nn

from zc_search.benchmarks import open_benchmark
from zc_search.benchmarks.base import Benchmark
from zc_search.errors import ProxyError
from zc_search.images import Batch, Task
from zc_search.proxies import Probe, Proxy, proxy
from zc_search.spaces import AnyArchitecture, SizeArchitecture, SizeSpace
from zc_search.spaces.nats_sss.architecture import STAGES
from zc_search.testing import AccuracyTestCase, ProxyTestCase, SpaceTestCase


class TestPackagedTable(AccuracyTestCase):
    @pytest.fixture(params=["cifar10", "cifar100", "ImageNet16-120"])
    def source(self, request: pytest.FixtureRequest) -> Benchmark:
        return open_benchmark(dataset=request.param)

    @pytest.fixture
    def architectures(self, source: Benchmark) -> list[AnyArchitecture]:
        return [source[0], source[1234], source[-1]]

    @pytest.fixture(params=["no architecture", SizeArchitecture((8,) * 5)], ids=["text", "other"])
    def unknown(self, request: pytest.FixtureRequest) -> Any:
        return request.param


class Own(SizeSpace):
    """A space whose methods are replaced, one by one."""

    __hash__ = SizeSpace.__hash__

    def build(self, architecture: Any, task: Task, seed: int = 0, **sizes: Any) -> nn.Module:
        network: nn.Module = SizeSpace().build(architecture, task, seed)
        return network


def _itself(space: SizeSpace, architecture: SizeArchitecture) -> Iterator[SizeArchitecture]:
    yield architecture


def _global_draw(space: SizeSpace, rng: np.random.Generator) -> SizeArchitecture:
    return SizeArchitecture((8, 8, 8, 8, int(np.random.choice([8, 16]))))


def _other_logits(space: SizeSpace, architecture: Any, task: Task, *_: Any, **__: Any) -> nn.Module:
    return SizeSpace().build(architecture, task._replace(classes=task.classes + 1))


def _unseeded(space: SizeSpace, architecture: Any, task: Task, *_: Any, **__: Any) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(3072, task.classes))


BROKEN: list[tuple[str, Callable[..., Any], str]] = [
    ("neighbours", _itself, "test_neighbours_are_others_of_the_space"),
    ("sample", _global_draw, "test_draws_follow_from_the_seed"),
    ("build", _other_logits, "test_networks_have_a_logit_a_class"),
    ("build", _unseeded, "test_weights_follow_from_the_seed"),
    (
        "costs",
        lambda *_, **__: {"params": 1.0, "flops": 1.0},
        "test_costs_are_those_of_the_network",
    ),
    ("structure", lambda *_: {"depth": math.nan}, "test_structure_is_finite"),
    ("draw", lambda *_: "<svg><g></svg>", "test_drawings_are_svg"),
    ("read", lambda *_: SizeArchitecture((8,) * 5), "test_texts_read_back"),
    ("parameters", lambda *_: dict.fromkeys(STAGES, 8), "test_parameters_lead_back"),
    ("__contains__", lambda *_: True, "test_draws_are_of_the_space"),
    ("__iter__", lambda _: iter(()), "test_the_size_is_the_number_of_architectures"),
]


@pytest.mark.parametrize(("method", "replacement", "test"), BROKEN, ids=[b[2] for b in BROKEN])
def test_a_broken_space_fails(
    monkeypatch: pytest.MonkeyPatch, method: str, replacement: Any, test: str
) -> None:
    monkeypatch.setattr(Own, method, replacement, raising=False)
    suite, space = SpaceTestCase(), Own()
    rng = np.random.default_rng(0)
    drawn: Any = [space.sample(rng) for _ in range(suite.draws)]
    wanted = getattr(suite, test).__code__.co_varnames[1:3]
    values = {"space": space, "drawn": drawn, "feasible": drawn[:1]}
    torch.manual_seed(0)
    with pytest.raises((AssertionError, ExpatError)):
        getattr(suite, test)(*(values[name] for name in wanted if name in values))


def _nan(probe: Probe) -> float:
    return math.nan


def _count(probe: Probe) -> float:
    _CALLS.append(0)
    return float(len(_CALLS))


def _trains(probe: Probe) -> float:
    network: nn.Module = probe.network
    network.train()
    next(network.parameters()).grad = None
    return 1.0


_CALLS: list[int] = []


@pytest.mark.parametrize(
    ("function", "test"),
    [
        (_nan, "test_values_are_finite"),
        (_count, "test_values_repeat"),
        (_trains, "test_the_network_is_left_as_it_was"),
    ],
)
def test_a_broken_proxy_fails(function: Any, test: str) -> None:
    class Unguarded(Proxy):
        """Calls the function with the network itself, as no proxy of a user's is called."""

        def __call__(self, probe: Probe) -> float:
            return float(self.function(probe))

    made = proxy("mine", maximize=True)(function)
    broken = Unguarded(**vars(made))
    network = nn.Sequential(nn.Flatten(), nn.Linear(768, 4))
    batch = Batch.from_tensors(torch.randn(4, 3, 16, 16), torch.arange(4))
    with pytest.raises((AssertionError, ProxyError)):
        getattr(ProxyTestCase(), test)(broken, {"one": network}, batch)


def test_a_source_that_gives_nan_fails() -> None:
    class Wrong:
        def __contains__(self, _: object) -> bool:
            return True

        def query(self, *_: object) -> dict[str, float]:
            return {"val_accuracy": math.nan}

    with pytest.raises(AssertionError):
        AccuracyTestCase().test_answers_are_finite(Wrong(), [SizeArchitecture((8,) * 5)])


LISTING = """
import pytest
from torch import nn
from zc_search.spaces import FunctionSpace
from zc_search.spaces.nats_sss.architecture import STAGES
from zc_search.testing import ProxyTestCase, SpaceTestCase

def build(trial, task):
    width = trial.suggest_int("width", 4, 8)
    return nn.Sequential(
        nn.Conv2d(task.channels, width, 3), nn.BatchNorm2d(width), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, task.classes),
    )

def score(probe):
    return probe.logits.std()

class TestMyNets(SpaceTestCase):
    @pytest.fixture
    def space(self):
        return FunctionSpace("test_mine:build")

class TestMyProxy(ProxyTestCase):
    @pytest.fixture
    def proxy(self):
        return "test_mine:score"
"""


@pytest.mark.thorough
def test_the_suites_run_from_a_folder_with_nothing_else_in_it(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(LISTING, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", "."]
    ran = subprocess.run(command, cwd=tmp_path, env=os.environ, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout
    assert " passed" in ran.stdout
