"""The suite for proxies."""

import math
import pickle
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from zc_search.errors import ProxyError
from zc_search.images import Batch
from zc_search.proxies import Proxy, resolve_proxy
from zc_search.scoring.scorer import evaluate_proxies, make_probe
from zc_search.testing._state import changed, of_network, process_kept


def _chain() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, 4),
    )


class _Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 6, 3, 2, 1), nn.Linear(6, 4)
        self.conv, self.norm, self.act = nn.Conv2d(6, 6, 3, 1, 1), nn.BatchNorm2d(6), nn.ReLU()

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem(images)
        x = x + self.act(self.norm(self.conv(x)))
        return self.head(x.mean((2, 3)))  # type: ignore[no-any-return]


class ProxyTestCase:
    """What every proxy keeps.

    >>> import pytest
    >>> class TestMyProxy(ProxyTestCase):
    ...     @pytest.fixture
    ...     def proxy(self):
    ...         return "my_proxies:score"  # or a `Proxy`

    Attributes:
        repeatable: Whether the value follows from network, batch and seed; a time does not.
        rel: How far, relatively, the value of a GPU may lie from that of the CPU.
    """

    repeatable = True
    rel = 1e-2

    @pytest.fixture
    def proxy(self) -> str | Proxy:
        """Return the proxy or its name; to be overridden."""
        raise NotImplementedError("override the fixture `proxy`")

    @pytest.fixture
    def resolved(self, proxy: str | Proxy) -> Proxy:
        """Return the proxy."""
        return proxy if isinstance(proxy, Proxy) else resolve_proxy(proxy)

    @pytest.fixture
    def networks(self) -> Mapping[str, nn.Module]:
        """Return networks that it must have a value for: images of 3 x 16 x 16, four classes."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            return {"a chain": _chain(), "a residual block": _Residual()}

    @pytest.fixture
    def batch(self) -> Batch:
        """Return eight images and their labels."""
        images = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
        return Batch.from_tensors(images, torch.arange(8) % 4)

    def _value(self, proxy: Proxy, network: nn.Module, batch: Batch, *company: Proxy) -> float:
        chosen = (*company, proxy)
        probe = make_probe(network, batch, chosen)
        return evaluate_proxies(chosen, probe, strict=True)[0][proxy.name]

    def test_it_says_what_it_is(self, resolved: Proxy) -> None:
        """It has a direction and a text, and is found by its name in another process."""
        assert resolved.direction in ("maximize", "minimize")
        assert resolved.definition
        assert resolved.cost in ("free", "low", "medium", "high")
        if _found(resolved.name):
            assert pickle.loads(pickle.dumps(resolved)).name == resolved.name

    def test_values_are_finite(
        self, resolved: Proxy, networks: Mapping[str, nn.Module], batch: Batch
    ) -> None:
        """Each network has a finite value, and no state of the process moves."""
        for network in networks.values():
            with process_kept():
                value = self._value(resolved, network, batch)
            assert math.isfinite(value)

    def test_values_repeat(
        self, resolved: Proxy, networks: Mapping[str, nn.Module], batch: Batch
    ) -> None:
        """The value is the same again, in other company, and without the caller's gradients."""
        if not self.repeatable:
            pytest.skip("is not repeatable")
        others = (resolve_proxy("snip"), resolve_proxy("naswot"))
        company = [p for p in others if p.name != resolved.name]
        for network in networks.values():
            value = self._value(resolved, network, batch)
            assert self._value(resolved, network, batch) == value
            assert self._value(resolved, network, batch, *company) == value
            with torch.no_grad():
                assert self._value(resolved, network, batch) == value

    def test_the_network_is_left_as_it_was(
        self, resolved: Proxy, networks: Mapping[str, nn.Module], batch: Batch
    ) -> None:
        """Weights, buffers, modes, gradients and hooks stay, and so does the batch."""
        for name, network in networks.items():
            for training in (True, False):
                network.train(training)
                first = next(network.parameters())
                first.grad = torch.ones_like(first)
                network.register_forward_hook(lambda *_: None)
                before = of_network(network)
                copy = Batch.from_tensors(batch.images, batch.labels)
                self._value(resolved, network, batch)
                assert not (left := changed(before, of_network(network))), f"{name}: {left}"
                assert torch.equal(batch.images, copy.images)
                assert torch.equal(batch.labels, copy.labels)

    def test_another_type_than_the_images_is_refused(
        self, resolved: Proxy, networks: Mapping[str, nn.Module], batch: Batch
    ) -> None:
        """A network of another floating-point type is named as the reason, or does not matter."""
        network = next(iter(networks.values())).double()
        try:
            assert math.isfinite(self._value(resolved, network, batch))
        except ProxyError as error:
            assert "float64" in str(error)  # noqa: PT017

    def test_a_gpu_gives_what_the_cpu_gives(
        self, resolved: Proxy, networks: Mapping[str, nn.Module], batch: Batch
    ) -> None:
        """Where there is a GPU, the value on it is that of the CPU, up to rounding."""
        if not torch.cuda.is_available() or not self.repeatable:
            pytest.skip("no GPU, or not repeatable")
        for network in networks.values():
            expected = self._value(resolved, network, batch)
            there = self._value(resolved, network.cuda(), batch.to("cuda"))
            assert there == pytest.approx(expected, rel=self.rel, abs=1e-6)


def _found(name: str) -> Proxy | None:
    """Return the proxy of a name, None where it leads to none."""
    try:
        return resolve_proxy(name)
    except ProxyError:
        return None
