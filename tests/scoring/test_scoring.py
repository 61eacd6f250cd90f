"""The zero-cost runner: tables of scores, the cache, and proxies of the user's own."""

import logging
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from naive_proxies import NAIVE
from torch import Tensor, nn

from zc_search.errors import ArchitectureError, DataError, ProxyError
from zc_search.images import Batch, load_batch
from zc_search.proxies import PROXIES, Probe, Proxy, Scalar, proxy, resolve_proxies, resolve_proxy
from zc_search.scoring.architectures import score_architectures
from zc_search.scoring.scorer import Scorer, Scores, evaluate_proxies, score_network
from zc_search.spaces import Architecture
from zc_search.spaces.network import build_network

SMALL = {"channels": 4, "cells": 1}
BUILT_IN = ", ".join(PROXIES)
REPEATABLE = list(NAIVE)  # no time is measured, and a value for any network

# Four strings of two functions: DEAD adds a convolution that nothing reads to SKIP, and OTHER
# is DENSE with its nodes in another order.
SKIP = Architecture.from_string("|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|")
DEAD = Architecture.from_string("|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|")
DENSE = Architecture.from_string(
    "|nor_conv_1x1~0|+|nor_conv_3x3~0|none~1|+|none~0|skip_connect~1|skip_connect~2|"
)
OTHER = Architecture.from_string(
    "|nor_conv_3x3~0|+|nor_conv_1x1~0|none~1|+|none~0|skip_connect~1|skip_connect~2|"
)
STRING_LEVEL = ["l2_norm", "params", "flops"]


def tensors(n: int = 6, side: int = 8, classes: int = 6) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, 3, side, side, generator=generator), torch.arange(n) % classes


def exactly(message: str) -> str:
    return f"^{re.escape(message)}$"


# The table --------------------------------------------------------------------------------------


def test_a_row_an_architecture_and_a_column_a_proxy_as_asked_for() -> None:
    names = ["params", "snip", "jacov", "l2_norm", "snip"]
    architectures = [SKIP, str(DENSE), SKIP, DEAD]
    table = score_architectures(iter(architectures), names, data=tensors(), **SMALL)
    assert list(table.columns) == ["params", "snip", "jacov", "l2_norm"]
    assert list(table.index) == [str(SKIP), str(DENSE), str(SKIP), str(DEAD)]
    assert table.index.name == "architecture"
    assert (table.dtypes == "float64").all()
    assert table.notna().all(axis=None)
    pd.testing.assert_series_equal(table.iloc[0], table.iloc[2])


def test_a_named_source_is_its_batch() -> None:
    arguments = {"archs": [SKIP, DENSE], "proxies": ["snip", "naswot_relu", "synflow"]}
    named = score_architectures(
        **arguments, data="noise", batch_size=8, seed=3, dataset="ImageNet16-120", **SMALL
    )
    batch = load_batch("noise", "ImageNet16-120", 8, 3)
    given = score_architectures(
        **arguments, data=(batch.images, batch.labels), seed=3, dataset="ImageNet16-120", **SMALL
    )
    pd.testing.assert_frame_equal(named, given, rtol=1e-12)
    other = score_architectures(
        **arguments, data="noise", batch_size=8, seed=4, dataset="ImageNet16-120", **SMALL
    )
    assert (named != other).all(axis=None)


@pytest.mark.parametrize("architecture", [SKIP, DENSE.representative()])
def test_it_is_the_score_of_the_benchmarks_network(architecture: Architecture) -> None:
    images, labels = tensors()
    names = REPEATABLE
    table = score_architectures([architecture], names, data=(images, labels), seed=5, **SMALL)
    network = build_network(architecture, seed=5, **SMALL)
    scores = score_network(network, names, images, labels)
    assert list(scores) == names
    assert scores == pytest.approx(table.iloc[0].to_dict(), rel=1e-6)


def test_isomorphs_share_what_depends_on_the_function_to_the_last_bit() -> None:
    names = REPEATABLE
    table = score_architectures([SKIP, DEAD, DENSE, OTHER], names, data=tensors(), **SMALL)
    shared = table.drop(columns=STRING_LEVEL).to_numpy().tolist()
    assert shared[0] == shared[1] != shared[2]
    assert shared[2] == shared[3]
    own = table[STRING_LEVEL]
    assert (own.loc[str(DEAD)] > own.loc[str(SKIP)]).all()
    # The order in which they are met does not matter either.
    reverse = score_architectures([OTHER, DENSE, DEAD, SKIP], names, data=tensors(), **SMALL)
    pd.testing.assert_frame_equal(table, reverse[::-1], check_exact=True)


def test_repeats_are_averaged() -> None:
    names = ["snip", "l2_norm", "params"]
    arguments = {"archs": [DENSE], "proxies": names, "data": tensors(), **SMALL}
    once = [score_architectures(**arguments, seed=seed) for seed in (7, 8, 9)]
    pd.testing.assert_frame_equal(
        score_architectures(**arguments, seed=7, repeats=3), sum(once) / 3
    )
    assert once[0]["snip"].item() != once[1]["snip"].item()


# Any network ------------------------------------------------------------------------------------


def perceptron() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 24), nn.ReLU(), nn.Linear(24, 6)).eval()


def test_any_network_has_scores_and_stays_as_it_is() -> None:
    network = perceptron()
    before = [p.detach().clone() for p in network.parameters()]
    state = torch.get_rng_state()
    scores = score_network(network, REPEATABLE, *tensors())
    assert list(scores) == REPEATABLE
    assert all(type(value) is float and math.isfinite(value) for value in scores.values())
    assert all(map(torch.equal, before, network.parameters()))
    assert all(p.grad is None for p in network.parameters())
    assert not any(module.training for module in network.modules())
    assert torch.equal(state, torch.get_rng_state())
    assert scores["params"] == pytest.approx((193 * 24 + 25 * 6) / 1e6)
    assert scores["flops"] == pytest.approx((192 * 24 + 24 * 6) / 1e6)


def test_a_value_may_not_be_finite_and_what_cannot_be_measured_is_refused() -> None:
    assert score_network(perceptron(), [mine(infinite)], *tensors()) == {mine(infinite): math.inf}
    linear = nn.Sequential(nn.Flatten(), nn.Linear(192, 6))
    with pytest.raises(ProxyError, match="'naswot_relu' failed: ProxyError: no activation"):
        score_network(linear, ["naswot_relu"], *tensors(), strict=True)


def test_a_proxy_that_fails_costs_the_others_nothing_and_says_why(
    caplog: pytest.LogCaptureFixture,
) -> None:
    linear = nn.Sequential(nn.Flatten(), nn.Linear(192, 6))
    with caplog.at_level(logging.WARNING, "zc_search"):
        values = score_network(linear, ["params", "naswot_relu"], *tensors())
    assert values["params"] == 192 * 6 / 1e6 + 6 / 1e6
    assert math.isnan(values["naswot_relu"])
    assert "proxy naswot_relu has no value: ProxyError: no activation" in caplog.text


def test_any_floating_images_and_integer_labels_will_do() -> None:
    images, labels = tensors()
    expected = score_network(perceptron(), ["snip"], images, labels)
    given = score_network(perceptron(), ["snip"], images.double(), labels.to(torch.uint8))
    assert given == pytest.approx(expected, rel=1e-6)


# The cache --------------------------------------------------------------------------------------


CALLS: list[str] = []


@proxy("of_function", maximize=True, paper="test", needs={"loss_gradients"})
def of_function(probe: Probe) -> Scalar:
    """Record that it ran."""
    CALLS.append("function")
    return float(len(probe.loss_gradients))


@proxy("of_string", maximize=True, paper="test", counts_dead_edges=True)
def of_string(probe: Probe) -> Scalar:
    """Record that it ran."""
    CALLS.append("string")
    return float(len(probe.weights))


@pytest.fixture
def calls() -> list[str]:
    CALLS.clear()
    return CALLS


def scorer(*proxies: Proxy, **settings: object) -> Scorer:
    return Scorer(proxies, Batch.from_tensors(*tensors()), **(SMALL | settings))


def test_every_function_and_every_string_is_scored_once(calls: list[str]) -> None:
    runner = scorer(of_function, of_string)
    assert runner.score(SKIP).values == {"of_function": 8, "of_string": 8}
    assert calls == ["function", "string"]
    assert runner.score(DEAD).values == {"of_function": 8, "of_string": 11}
    assert calls == ["function", "string", "string"]
    again = runner.score(SKIP)
    assert (again.architecture, dict(again.values)) == (SKIP, {"of_function": 8, "of_string": 8})
    runner.score(DENSE)
    assert calls == ["function", "string", "string", "function", "string"]


def test_seconds_are_of_the_computation() -> None:
    runner = scorer(*resolve_proxies(["snip", "synflow"]))
    first, second = runner.score(DENSE), runner.score(DENSE)
    assert 0 <= second.seconds < first.seconds


def test_remembered_scores_are_not_computed(calls: list[str]) -> None:
    runner = scorer(of_function, of_string)
    known = Scores(
        DEAD, {"of_function": 2.5, "of_string": math.nan, "extra": 1}, {"of_string": "why"}
    )
    runner.remember(known)
    scores = runner.score(DEAD)
    assert calls == []
    assert scores.values == pytest.approx({"of_function": 2.5, "of_string": math.nan}, nan_ok=True)
    assert scores.failures == {"of_string": "why"}
    # An isomorph shares the function's score alone.
    assert runner.score(SKIP).values == {"of_function": 2.5, "of_string": 8}
    assert runner.score(SKIP).failures == {}
    assert calls == ["string"]


def test_what_lacks_a_proxy_is_not_remembered_and_the_first_memory_stays(calls: list[str]) -> None:
    runner = scorer(of_function, of_string)
    runner.remember(Scores(SKIP, {"of_function": 1.0}))
    assert runner.score(SKIP).values == {"of_function": 8, "of_string": 8}
    runner.remember(Scores(SKIP, {"of_function": 1.0, "of_string": 1.0}))
    assert runner.score(SKIP).values == {"of_function": 8, "of_string": 8}
    assert calls == ["function", "string"]


# Proxies of the user's own ----------------------------------------------------------------------


def count_layers(probe: Probe) -> int:
    """Count convolutions and linear layers."""
    return len(probe.weights)


def tensor_of_one(probe: Probe) -> Tensor:
    return probe.weights["classifier"].mean()[None]


def with_default(probe: Probe, power: float = 2.0) -> float:
    return power


def infinite(probe: Probe) -> float:
    return math.inf


def nan(probe: Probe) -> Tensor:
    return torch.tensor(math.nan)


def text(probe: Probe) -> str:
    return "0.5"


def truth(probe: Probe) -> bool:
    return True


def nothing(probe: Probe) -> None:
    return None


def matrix(probe: Probe) -> Tensor:
    return torch.ones(2)


def divides(probe: Probe) -> float:
    return 1 / 0


def misses(probe: Probe) -> float:
    return probe.weights["no such layer"].sum()


def breaks(probe: Probe) -> float:
    raise RuntimeError("broken on purpose")


def two_arguments(probe: Probe, batch: Tensor) -> float:
    return 0.0


def no_argument() -> float:
    return 0.0


NUMBER = 3.5


def mine(function: Callable[..., object] | str) -> str:
    name = function if isinstance(function, str) else function.__name__
    return f"{__name__}:{name}"


def test_a_users_function_is_a_proxy_of_the_architecture_as_written() -> None:
    names = [mine(count_layers), mine(tensor_of_one), mine(with_default), "params"]
    table = score_architectures([SKIP, DEAD], names, data=tensors(), **SMALL)
    assert list(table.columns) == names
    assert table[mine(count_layers)].tolist() == [8, 11]
    expected = build_network(SKIP, **SMALL).classifier.weight.mean().item()
    assert table[mine(tensor_of_one)].tolist() == pytest.approx([expected] * 2, rel=1e-5)
    assert table[mine(with_default)].tolist() == [2, 2]


def test_a_users_proxy_keeps_what_its_decorator_says() -> None:
    found = resolve_proxy(mine("of_function"))
    assert found.name == mine("of_function")
    assert (found.function, found.needs) == (of_function.function, {"loss_gradients"})
    assert not found.counts_dead_edges
    assert resolve_proxy(mine("count_layers")).summary == "Count convolutions and linear layers."


@pytest.mark.parametrize(
    ("broken", "reason", "value"),
    [
        (infinite, "the value is inf", math.inf),
        (nan, "the value is nan", math.nan),
        (text, "TypeError: returned str '0.5', not a number", math.nan),
        (truth, "TypeError: returned bool True, not a number", math.nan),
        (nothing, "TypeError: returned NoneType None, not a number", math.nan),
        (
            matrix,
            "TypeError: returned a tensor torch.float32 of shape (2,), not a number",
            math.nan,
        ),
        (divides, "ZeroDivisionError: division by zero", math.nan),
        (misses, "KeyError: 'no such layer'", math.nan),
        (breaks, "RuntimeError: broken on purpose", math.nan),
    ],
)
def test_a_broken_proxy_is_recorded_and_loses_nothing(
    broken: Callable[[Probe], object], reason: str, value: float
) -> None:
    alone = scorer(*resolve_proxies(["snip", "params"])).score(DENSE)
    scores = scorer(*resolve_proxies(["snip", mine(broken), "params"])).score(DENSE)
    where = ""
    if broken in (divides, misses, breaks):  # it raises in a line of its own
        line = broken.__code__.co_firstlineno + 1
        where = f" (test_scoring.py, line {line}, in {broken.__name__}: "
    assert scores.failures.keys() == {mine(broken)}
    said = scores.failures[mine(broken)]
    assert said.startswith(reason + where)
    assert where or said == reason
    assert list(scores.values) == ["snip", mine(broken), "params"]
    assert scores.values == pytest.approx(
        {**alone.values, mine(broken): value}, rel=1e-12, nan_ok=True
    )


def test_what_breaks_without_a_search_is_an_error() -> None:
    message = f"proxy '{mine(breaks)}' failed: RuntimeError: broken on purpose (test_scoring.py, "
    with pytest.raises(ProxyError) as error:
        score_network(perceptron(), ["snip", mine(breaks)], *tensors(), strict=True)
    assert str(error.value).startswith(message)
    message = f"proxy '{mine(text)}' failed: TypeError: returned str '0.5', not a number"
    with pytest.raises(ProxyError, match=exactly(message)):
        score_network(perceptron(), [mine(text)], *tensors(), strict=True)


def test_values_are_floats_and_stay_in_order() -> None:
    proxies = resolve_proxies([mine(count_layers), "synflow", mine(nothing), "params", "l2_norm"])
    values, failures = evaluate_proxies(proxies, Probe(perceptron(), *tensors()))
    assert list(values) == [p.name for p in proxies]
    assert {type(v) for v in values.values()} == {float}
    assert list(failures) == [mine(nothing)]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "snipp",
            f"unknown proxy 'snipp'; did you mean 'snip'? Allowed: {BUILT_IN}, module:function",
        ),
        ("accuracy", f"unknown proxy 'accuracy'; Allowed: {BUILT_IN}, module:function"),
        (
            mine(two_arguments),
            f"proxy '{mine(two_arguments)}' must take one argument, a Probe; two_arguments(probe: "
            "zc_search.proxies.probe.probe.Probe, batch: torch.Tensor) -> float does not",
        ),
        (
            mine(no_argument),
            f"proxy '{mine(no_argument)}' must take one argument, a Probe; "
            "no_argument() -> float does not",
        ),
        (mine("NUMBER"), f"proxy '{mine('NUMBER')}' is a float, not a function of a Probe"),
        (mine("missing"), f"proxy '{mine('missing')}': '{__name__}' has no 'missing'"),
        (
            "no_such_module:f",
            "proxy 'no_such_module:f': cannot import 'no_such_module' "
            "(No module named 'no_such_module')",
        ),
    ],
)
def test_what_is_no_proxy_is_refused_before_anything_is_scored(name: str, message: str) -> None:
    with pytest.raises(ProxyError, match=exactly(message)):
        score_architectures([SKIP], ["snip", name], data=tensors(), **SMALL)


def announce(folder: Path, line: str) -> None:
    """Pretend that a package with one entry point is installed in `folder`."""
    info = folder / "users_package-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: users-package\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[zc_search.proxies]\n{line}\n")


def test_installed_packages_announce_proxies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    announce(tmp_path, "announced = users_proxies:half")
    (tmp_path / "users_proxies.py").write_text("def half(probe):\n    return 0.5\n")
    with pytest.raises(ProxyError, match="unknown proxy 'announced'"):
        resolve_proxy("announced")
    monkeypatch.syspath_prepend(tmp_path)
    assert score_network(perceptron(), ["announced"], *tensors()) == {"announced": 0.5}
    message = (
        "unknown proxy 'anounced'; did you mean 'announced'? "
        f"Allowed: {BUILT_IN}, announced, module:function"
    )
    with pytest.raises(ProxyError, match=exactly(message)):
        resolve_proxy("anounced")


def test_an_announced_name_does_not_replace_a_built_in_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    announce(tmp_path, "snip = math:pi")
    monkeypatch.syspath_prepend(tmp_path)
    assert resolve_proxy("snip") is PROXIES["snip"]


# Errors -----------------------------------------------------------------------------------------


DATASETS = "Allowed: cifar10, cifar10-valid, cifar100, ImageNet16-120"


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        (
            {"dataset": "cifar_100"},
            DataError,
            f"unknown dataset 'cifar_100'; did you mean 'cifar100'? {DATASETS}",
        ),
        (
            {"data": "patch"},
            DataError,
            "unknown image source 'patch'; did you mean 'patches'? "
            "Allowed: patches, noise, cifar10, cifar100, ImageNet16-120",
        ),
        ({"batch_size": 1}, DataError, "batch_size must be a whole number of at least 2, given 1"),
        (
            {"data": (torch.zeros(2, 3, 8, 8), torch.tensor([0, 10]))},
            DataError,
            "the batch has label 10, but cifar10 has only 10 classes",
        ),
        (
            {"data": (torch.zeros(2, 3, 8), torch.tensor([0, 1]))},
            DataError,
            "images must be a floating tensor (N, channels, height, width)",
        ),
        (
            {"archs": [SKIP, "|none~0|"]},
            ArchitectureError,
            "not an architecture string: '|none~0|'; such as |nor_conv_3x3~0|+|nor_conv_3x3~0|"
            "skip_connect~1|+|none~0|avg_pool_3x3~1|nor_conv_1x1~2|",
        ),
    ],
)
def test_wrong_arguments_are_refused(
    arguments: dict[str, object], kind: type[Exception], message: str
) -> None:
    given = {"archs": [SKIP], "proxies": ["snip"], **SMALL, **arguments}
    with pytest.raises(kind, match=re.escape(message)):
        score_architectures(**given)


def test_a_scorer_for_an_unknown_dataset_is_refused() -> None:
    message = f"unknown dataset 'cifar'; did you mean 'cifar10'? {DATASETS}"
    with pytest.raises(DataError, match=exactly(message)):
        scorer(of_string, dataset="cifar")


def test_a_device_that_is_not_there_is_refused() -> None:
    message = (
        f"proxies.device: 'cuda:99' is not there, torch {torch.__version__} sees "
        f"{torch.cuda.device_count()} GPUs; use 'cpu' or 'auto'"
    )
    with pytest.raises(ProxyError, match=exactly(message)):
        scorer(of_string, device="cuda:99")
    assert scorer(of_string, device="auto").score(SKIP).values == {"of_string": 8}


def test_images_of_a_single_network_are_checked() -> None:
    images, labels = tensors()
    with pytest.raises(DataError, match="labels"):
        score_network(perceptron(), ["snip"], images, labels[:5])


OF_ALL = {
    "proxies": [name for name in PROXIES if name != "latency"],
    "data": "noise",
    "batch_size": 6,
    "dataset": "ImageNet16-120",
    **SMALL,
}


@pytest.fixture(scope="module")
def of_all() -> pd.DataFrame:
    return score_architectures([DENSE], **OF_ALL)


@pytest.mark.parametrize("default", [{"dtype": torch.float64}, {"device": "meta"}])
def test_scores_are_those_of_float32_on_the_cpu_whatever_torchs_defaults(
    default: dict[str, Any], of_all: pd.DataFrame
) -> None:
    try:
        torch.set_default_dtype(default.get("dtype", torch.float32))
        torch.set_default_device(default.get("device"))
        network = build_network(DENSE, **SMALL)
        found = score_architectures([DENSE], **OF_ALL)
        assert torch.get_default_dtype() == default.get("dtype", torch.float32)
        assert torch.get_default_device().type == default.get("device", "cpu")
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_default_device(None)
    pd.testing.assert_frame_equal(found, of_all, check_exact=True)
    weights = {(p.dtype, p.device.type) for p in network.parameters()}
    assert weights == {(torch.float32, "cpu")}
