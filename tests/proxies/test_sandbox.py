"""A user's own proxy may ruin what it is given, and nothing of that is left behind."""

import random
import sys
import warnings
from collections.abc import Iterator
from types import ModuleType

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zc_search.errors import ProxyError
from zc_search.proxies import Probe
from zc_search.scoring.architectures import score_architectures
from zc_search.scoring.scorer import score_network

CELLS = (
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|none~1|+|skip_connect~0|none~1|nor_conv_3x3~2|",
    "|nor_conv_1x1~0|+|nor_conv_3x3~0|none~1|+|nor_conv_1x1~0|nor_conv_1x1~1|nor_conv_3x3~2|",
)
IMAGES = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def train(probe: Probe) -> float:
    network = probe.network
    optimiser = torch.optim.SGD(network.parameters(), lr=0.5)
    for _ in range(2):
        optimiser.zero_grad()
        loss = F.cross_entropy(network(probe.images), probe.labels)
        loss.backward()
        optimiser.step()
    network.requires_grad_(False).eval()
    return loss.item()


def relabel(probe: Probe) -> float:
    probe.labels.zero_()
    probe.images.fill_(1)
    return 1.0


def spoil_measurements(probe: Probe) -> float:
    probe.logits.zero_()
    for gradient in probe.loss_gradients.values():
        gradient.zero_()
    return float(probe.evaluating.logits.sum())


def change_settings(_: Probe) -> float:
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    return 1.0


def draw(_: Probe) -> float:
    return float(torch.rand(())) + random.random() + np.random.rand()  # noqa: S311


def measured_first(probe: Probe) -> float:
    train(probe)
    return float(probe.logits.sum())


@pytest.fixture(autouse=True)
def guests(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    module = ModuleType("guests")
    for function in train, relabel, spoil_measurements, change_settings, draw, measured_first:
        setattr(module, function.__name__, function)
    monkeypatch.setitem(sys.modules, "guests", module)
    yield
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()


NAMES = ["l2_norm", "snip", "naswot"]


def scores(names: list[str]) -> list[list[float]]:
    table = score_architectures(CELLS, names, data="noise", batch_size=8, channels=4, cells=1)
    return table[NAMES].to_numpy().tolist()


@pytest.fixture(scope="module")
def untouched() -> list[list[float]]:
    return scores(NAMES)


def test_what_proxies_do_to_network_batch_and_measurements_touches_no_other(
    untouched: list[list[float]],
) -> None:
    behaviours = ("train", "relabel", "spoil_measurements")
    assert scores([*(f"guests:{b}" for b in behaviours), *NAMES]) == untouched


def test_settings_are_put_back_and_the_proxy_is_named_once(untouched: list[list[float]]) -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("default")
        assert scores(["guests:change_settings", *NAMES]) == untouched
    (message,) = [str(w.message) for w in said if "is put back" in str(w.message)]
    assert message.startswith("proxy 'guests:change_settings' changed torch's default d")


def test_random_states_are_put_back_and_torchs_draws_repeat() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(192, 4))
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    expected = random.random(), np.random.rand(), float(torch.rand(()))  # noqa: S311
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    first = score_network(network, ["guests:draw"], IMAGES, torch.arange(4))
    assert first == score_network(network, ["guests:draw"], IMAGES, torch.arange(4))
    assert expected == (random.random(), np.random.rand(), float(torch.rand(())))  # noqa: S311


def test_the_users_network_is_as_it_was_and_is_what_is_measured() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 4))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    labels = torch.arange(4)
    value = score_network(network, ["guests:measured_first"], IMAGES, labels)
    assert all(parameter.grad is None for parameter in network.parameters())
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert value["guests:measured_first"] == pytest.approx(network(IMAGES).sum().item(), rel=1e-4)


def test_a_network_that_cannot_be_copied_is_refused() -> None:
    class Keeping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(192, 4)
            self.doubled = 2 * self.layer.weight

        def forward(self, x: Tensor) -> Tensor:
            return F.linear(x.flatten(1), self.doubled)

    with pytest.raises(ProxyError, match="network cannot be copied for a proxy that may change it"):
        score_network(Keeping(), ["guests:train"], IMAGES, torch.arange(4), strict=True)
