"""Values do not depend on the number of threads, and are float64's to rounding."""

from collections.abc import Iterator

import naive_proxies as naive
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zc_search.images import load_batch
from zc_search.proxies import Probe, resolve_proxies
from zc_search.proxies.probe.normalisation import batch_norm, statistics
from zc_search.proxies.probe.passes import Subject, peculiarity
from zc_search.scoring.scorer import evaluate_proxies
from zc_search.spaces import Architecture
from zc_search.spaces.network import build_network

CELL = (
    "|nor_conv_1x1~0|+|skip_connect~0|nor_conv_3x3~1|"
    "+|nor_conv_3x3~0|skip_connect~1|skip_connect~2|"
)


@pytest.fixture
def own_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_values_are_those_of_float64_whatever_the_threads(own_threads: None) -> None:
    batch = load_batch(dataset="ImageNet16-120", batch_size=32)
    network = build_network(Architecture.from_string(CELL), dataset="ImageNet16-120", cells=1)
    names = ["grad_norm", "snip", "fisher"]
    proxies = resolve_proxies(names)
    exact = {n: getattr(naive, n)(network, batch.images, batch.labels) for n in names}
    for threads in (1, 2):
        torch.set_num_threads(threads)
        probe = Probe(network, batch.images, batch.labels, {"loss_gradients", "channel_saliency"})
        values, _ = evaluate_proxies(proxies, probe)
        assert values == pytest.approx(exact, rel=2e-6)  # PyTorch's differ by 1e-4


@pytest.mark.parametrize("size", [4, 16, 32])
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_normalisation_is_that_of_float64(size: int, layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    shape = 32, 16, size, size
    x, y, v = (torch.randn(shape).add(m).contiguous(memory_format=layout) for m in (2, 0, 0))
    norm = nn.BatchNorm2d(16)
    with torch.no_grad():
        norm.weight.uniform_(0.5, 2)

    def derivatives(x: Tensor, y: Tensor, v: Tensor) -> list[Tensor]:
        x.requires_grad_()
        if x.dtype == torch.float64:
            output = F.batch_norm(x, None, None, norm.weight.double(), norm.bias.double(), True)
        else:
            output = batch_norm(norm, x)
        (first,) = torch.autograd.grad(output, x, y.requires_grad_(), create_graph=True)
        return [output, first, *torch.autograd.grad(first, (x, y), v)]

    exact = derivatives(*(t.double() for t in (x, y, v)))
    for found, value in zip(derivatives(x, y, v), exact, strict=True):
        assert (found - value).abs().max() < 5e-6 * value.abs().max()
    mean, variance = statistics(x.detach())
    assert mean.double().allclose(x.double().mean((0, 2, 3)), rtol=1e-6)
    assert variance.double().allclose(x.double().var((0, 2, 3), correction=0), rtol=2e-6)


@pytest.mark.parametrize("threads", [1, 2])
def test_layers_are_accurate_in_every_pass(own_threads: None, threads: int) -> None:
    torch.manual_seed(0)
    torch.set_num_threads(threads)
    images, norm = torch.randn(64, 16, 32, 32) + 2, nn.BatchNorm2d(16)
    subject = Subject(norm, images, torch.zeros(64), seed=0, training=True)
    with subject.mode(graph=False):
        found = subject.call(subject.parameters, subject.images)
        assert peculiarity(norm) is None
    exact = F.batch_norm(images.double(), None, None, training=True)
    assert (found - exact).abs().max() < 1e-6  # 5e-6 or more with PyTorch's
    assert "forward" not in vars(norm)
