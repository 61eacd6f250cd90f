"""A Probe measures once, in any order, and leaves the network as it was."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_proxies import NAIVE
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from zc_search.errors import ProxyError
from zc_search.proxies import PROXIES, Probe
from zc_search.proxies.probe.features import Agreement
from zc_search.proxies.probe.probe import MEASUREMENTS
from zc_search.scoring.scorer import evaluate_proxies
from zc_search.spaces import Architecture
from zc_search.spaces.network import build_network

SHARED, PER_IMAGE = (
    frozenset(name for name, kind in MEASUREMENTS.items() if kind.family == family)
    for family in ("shared", "per image")
)
REPEATABLE = sorted(set(MEASUREMENTS) - {"latency"})  # the rest measure time

LABELS = torch.tensor([0, 1, 2, 3, 0, 1])


def images() -> Tensor:
    return torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Counted(nn.Module):
    """Counts forward passes and remembers what every one of them was given."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1, bias=False),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Conv2d(4, 4, 3, groups=2),
            nn.ReLU(),
        )
        self.head = nn.Linear(4, 4)
        self.batches: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.batches.append(len(x))
        return self.head(self.features(x).mean((2, 3)))


def counted() -> Counted:
    torch.manual_seed(0)
    return Counted()


def everything_about(network: nn.Module) -> dict[str, object]:
    """Return all that a measurement could have changed, tensors copied."""
    return {
        "parameters": {k: v.detach().clone() for k, v in network.named_parameters()},
        "buffers": {k: v.clone() for k, v in network.named_buffers()},
        "grads": {
            k: None if v.grad is None else v.grad.clone() for k, v in network.named_parameters()
        },
        "requires_grad": {k: v.requires_grad for k, v in network.named_parameters()},
        "identities": [id(v) for v in (*network.parameters(), *network.buffers())],
        "strides": [v.stride() for v in network.parameters()],
        "training": [module.training for module in network.modules()],
        "hooks": [
            (len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks))
            for m in network.modules()
        ],
        "tensor hooks": [v._backward_hooks for v in network.parameters()],
        "random state": torch.get_rng_state(),
    }


def assert_same(first: object, second: object) -> None:
    match first, second:
        case Tensor(), Tensor():
            assert torch.equal(first, second)
        case dict(), dict():
            assert first.keys() == second.keys()
            for key, value in first.items():
                assert_same(value, second[key])
        case _:
            assert first == second


def assert_close(first: object, second: object) -> None:
    match first, second:
        case Agreement(), Agreement():
            assert torch.equal(first.matrix, second.matrix)
        case ((tuple() | list()), (tuple() | list())):
            for a, b in zip(first, second, strict=True):
                assert_close(a, b)
        case dict(), dict():
            assert first.keys() == second.keys()
            for key, value in first.items():
                assert_close(value, second[key])
        case Tensor(), Tensor():
            # Shared passes may sum in another order; zeros are zeros up to rounding.
            torch.testing.assert_close(first, second, rtol=1e-4, atol=1e-6, equal_nan=True)
        case torch.Generator(), torch.Generator():
            pass
        case _:
            assert type(first) is type(second)
            if hasattr(first, "__dict__"):
                assert_close(vars(first), vars(second))
            else:
                assert first == second


@pytest.fixture(scope="module")
def alone() -> dict[str, object]:
    """Every measurement by a Probe of its own that was told nothing."""
    return {m: getattr(Probe(counted(), images(), LABELS), m) for m in REPEATABLE}


# Values -----------------------------------------------------------------------------------------


@settings(max_examples=4, deadline=None)
@given(order=st.permutations(REPEATABLE), needs=st.sets(st.sampled_from(REPEATABLE)))
def test_neither_order_nor_announcement_changes_a_value(
    alone: dict[str, object], order: list[str], needs: set[str]
) -> None:
    probe = Probe(counted(), images(), LABELS, needs)
    for name in order:
        measured = getattr(probe, name)
        assert_close(measured, alone[name])
        assert getattr(probe, name) is measured


@settings(max_examples=4, deadline=None)
@given(names=st.permutations(sorted(set(PROXIES) - {"latency"})))
def test_proxies_do_not_depend_on_each_other(names: list[str]) -> None:
    network = build_network(
        Architecture.from_string(
            "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|none~1|nor_conv_1x1~2|"
        ),
        channels=4,
        cells=1,
    )
    needs = frozenset[str]().union(*(PROXIES[name].needs for name in names))
    together = Probe(network, images(), LABELS, needs)
    for name in names[:3]:
        by_itself = float(PROXIES[name](Probe(network, images(), LABELS, PROXIES[name].needs)))
        untold = float(PROXIES[name](Probe(network, images(), LABELS)))
        assert float(PROXIES[name](together)) == pytest.approx(by_itself, rel=1e-4, abs=1e-5)
        assert untold == pytest.approx(by_itself, rel=1e-4, abs=1e-5)


def test_logits_are_those_of_training_mode() -> None:
    network = counted().eval()
    expected = counted().train()(images())
    logits = Probe(network, images(), LABELS).logits
    torch.testing.assert_close(logits, expected.detach())
    assert not logits.requires_grad


def test_measurements_have_the_shapes_that_they_promise() -> None:
    probe = Probe(counted(), images(), LABELS, MEASUREMENTS)
    weights = {"features.0": (4, 3, 3, 3), "features.3": (4, 2, 3, 3), "head": (4, 4)}
    of_weights = [probe.weights, probe.loss_gradients, probe.synaptic_flow]
    for measured in (*of_weights, *probe.half_batch_gradients):
        assert {name: tuple(value.shape) for name, value in measured.items()} == weights
        assert list(measured) == list(weights)
    assert {k: tuple(v.shape) for k, v in probe.channel_saliency.items()} == dict.fromkeys(
        weights, (6, 4)
    )
    assert probe.gradient_curvature.shape == ()
    assert probe.input_jacobian.shape == (6, 3 * 8 * 8)
    assert probe.tangent_kernel.shape == probe.relu_agreement.matrix.shape == (6, 6)
    assert probe.relu_agreement.units == 4 * 8 * 8 + 4 * 6 * 6
    assert probe.layer_agreement.units == 4 * 8 * 8 + 4 * 6 * 6 + 4
    assert probe.multiply_adds == 27 * 4 * 64 + 18 * 4 * 36 + 16
    assert list(probe.parameters) == [name for name, _ in counted().named_parameters()]


def test_rows_of_the_jacobian_belong_to_the_pixels_in_their_order() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 4))
    probe = Probe(network, images(), LABELS)
    expected = network[1].weight.detach().sum(0).expand(6, -1)
    torch.testing.assert_close(probe.input_jacobian, expected)


# Passes -----------------------------------------------------------------------------------------


def test_nothing_is_measured_twice() -> None:
    network = counted()
    probe = Probe(network, images(), LABELS, MEASUREMENTS)
    assert network.batches == []
    first = [getattr(probe, name) for name in MEASUREMENTS]
    passes = len(network.batches)
    second = [getattr(probe, name) for name in MEASUREMENTS]
    assert all(a is b for a, b in zip(first, second, strict=True))
    assert len(network.batches) == passes


def test_the_first_fourteen_proxies_take_six_passes() -> None:
    network = counted()
    proxies = [PROXIES[name] for name in NAIVE]
    probe = Probe(network, images(), LABELS, frozenset().union(*(p.needs for p in proxies)))
    for proxy in proxies:
        proxy(probe)
    # Shared, two halves, linearised on one image, tangent kernel, one image for its multiply-adds.
    assert sorted(network.batches) == [1, 1, 3, 3, 6, 6]


@pytest.mark.parametrize(
    ("measurement", "together"),
    [(m, group) for group in (SHARED, PER_IMAGE) for m in sorted(group)],
)
def test_an_announced_measurement_serves_all_others_with_it(
    measurement: str, together: frozenset[str]
) -> None:
    network = counted()
    probe = Probe(network, images(), LABELS, together)
    getattr(probe, measurement)
    assert network.batches == [6]
    for name in together:
        getattr(probe, name)
    assert network.batches == [6]


@pytest.mark.parametrize("name", PROXIES)
def test_proxies_announce_all_that_they_read(name: str) -> None:
    of_proxy, of_needs = counted(), counted()
    proxy = PROXIES[name]
    proxy(Probe(of_proxy, images(), LABELS, proxy.needs))
    probe = Probe(of_needs, images(), LABELS, proxy.needs)
    for measurement in proxy.needs:
        getattr(probe, measurement)
    if name == "latency":  # as many passes as the machine's unrest asks for
        assert set(of_proxy.batches) == set(of_needs.batches)
    else:
        assert Counter(of_proxy.batches) <= Counter(of_needs.batches)


def test_unannounced_measurements_cost_at_most_a_pass_each() -> None:
    network = counted()
    probe = Probe(network, images(), LABELS)
    for name in sorted(SHARED):
        getattr(probe, name)
    assert len(network.batches) <= len(SHARED)


# The network afterwards -------------------------------------------------------------------------


def mixed_modes() -> Counted:
    network = counted()
    network.features[1].eval()
    network.head.bias.requires_grad_(False)
    network.head.weight.grad = torch.ones(4, 4)
    return network


@pytest.mark.parametrize("build", [mixed_modes, lambda: counted().eval(), counted])
@pytest.mark.parametrize("measurement", MEASUREMENTS)
def test_the_network_is_left_as_it_was(build: Callable[[], Counted], measurement: str) -> None:
    network = build()
    before = everything_about(network)
    pixels, labels = images(), LABELS.clone()
    getattr(Probe(network, pixels, labels, SHARED), measurement)
    assert_same(before, everything_about(network))
    assert_same(pixels, images())
    assert not pixels.requires_grad
    assert_same(labels, LABELS)
    assert torch.is_grad_enabled()


class FailingBatchNorm(nn.BatchNorm2d):
    """Changes its buffers and then fails."""

    def forward(self, x: Tensor) -> Tensor:
        super().forward(x)
        raise RuntimeError("no such layer")


@pytest.mark.parametrize("measurement", MEASUREMENTS)
def test_the_network_is_left_as_it_was_even_if_it_fails(measurement: str) -> None:
    network = mixed_modes()
    network.features[1] = FailingBatchNorm(4)
    before = everything_about(network)
    probe = Probe(network, images(), LABELS, SHARED)
    with pytest.raises(RuntimeError, match=r"^no such layer$"):
        getattr(probe, measurement)
    assert_same(before, everything_about(network))


def test_a_users_own_hooks_stay() -> None:
    network = counted()
    calls: list[str] = []
    network.head.register_forward_hook(lambda *_: calls.append("hook"))
    assert Probe(network, images(), LABELS).loss_gradients
    assert calls == ["hook"]
    assert len(network.head._forward_hooks) == 1


def test_gradients_do_not_need_the_callers_grad_mode() -> None:
    expected = Probe(counted(), images(), LABELS, REPEATABLE)
    with torch.no_grad():
        probe = Probe(counted(), images(), LABELS, REPEATABLE)
        for name in REPEATABLE:
            assert_close(getattr(probe, name), getattr(expected, name))
        assert not torch.is_grad_enabled()


def test_frozen_parameters_have_gradients_too() -> None:
    frozen = counted().requires_grad_(False)
    expected = Probe(counted(), images(), LABELS).loss_gradients
    assert_close(Probe(frozen, images(), LABELS).loss_gradients, expected)


def test_a_failed_measurement_does_not_spoil_the_others() -> None:
    network = counted()
    probe = Probe(network, images(), LABELS + 3, SHARED)  # classes 4 to 6 do not exist
    with pytest.raises(ProxyError, match="there is a label 6"):
        _ = probe.loss_gradients
    expected = Probe(counted(), images(), LABELS)
    assert_close(probe.input_jacobian, expected.input_jacobian)
    assert_close(probe.relu_agreement, expected.relu_agreement)


class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, y: Tensor) -> Tensor:
        return 2 * ctx.saved_tensors[0] * y


class Once(nn.Module):
    """Has no second derivative."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Linear(3 * 8, 4)
        self.head = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(Square.apply(self.tokens(x.transpose(1, 2).flatten(2))).mean(1))


@pytest.mark.parametrize("first", ["grad_norm", "snip", "grasp"])
def test_a_measurement_that_cannot_be_made_costs_no_other(first: str) -> None:
    torch.manual_seed(0)
    network = Once()
    proxies = [PROXIES[name] for name in (first, "grad_norm", "snip", "grasp", "naswot")]
    needs = frozenset[str]().union(*(p.needs for p in proxies))
    values, failures = evaluate_proxies(proxies, Probe(network, images(), LABELS, needs))
    assert set(failures) == {"grasp"}
    assert "twice" in failures["grasp"]
    for name in ("grad_norm", "snip", "naswot"):
        alone = float(PROXIES[name](Probe(network, images(), LABELS)))
        assert values[name] == pytest.approx(alone, rel=1e-6)


# What the network draws -------------------------------------------------------------------------


class Drawing(nn.Module):
    """Drops units by a module and by a function."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.act = nn.ReLU()
        self.drop = nn.Dropout(0.3)
        self.head = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.dropout(self.drop(self.act(self.conv(x))), 0.2, self.training)
        return self.head(x.mean((2, 3)))


@pytest.mark.parametrize("measurement", REPEATABLE)
def test_dropout_draws_from_the_probes_seed_alone(measurement: str) -> None:
    torch.manual_seed(0)
    network = Drawing()
    torch.manual_seed(1)
    first = getattr(Probe(network, images(), LABELS, seed=3), measurement)
    torch.manual_seed(2)
    before = torch.get_rng_state()
    second = getattr(Probe(network, images(), LABELS, seed=3), measurement)
    assert torch.equal(before, torch.get_rng_state())
    assert_close(first, second)


def test_dropout_is_that_of_the_seed() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(192, 4))
    torch.manual_seed(3)
    expected = network.train()(images()).detach()
    torch.testing.assert_close(Probe(network, images(), LABELS, seed=3).logits, expected)


# Inference mode ---------------------------------------------------------------------------------


def test_everything_works_in_inference_mode(alone: dict[str, object]) -> None:
    with torch.inference_mode():
        probe = Probe(counted(), images(), LABELS.clone(), REPEATABLE)
        for name in (*REPEATABLE, "latency"):
            measured = getattr(probe, name)
            if name != "latency":
                assert_close(measured, alone[name])
        assert torch.is_inference_mode_enabled()
