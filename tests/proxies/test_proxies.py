"""Each built-in proxy against a naive float64 version of its own, and against hand computation."""

import math
import re
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import naive_proxies as naive
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from zc_search.errors import ProxyError
from zc_search.proxies import PROXIES, Probe, resolve_proxy
from zc_search.proxies.probe.features import Agreement
from zc_search.proxies.probe.probe import cost_class
from zc_search.scoring.scorer import score_network
from zc_search.spaces import OPERATIONS, Architecture
from zc_search.spaces.network import build_network

CLASSES = 5


def randomised(network: nn.Module, seed: int = 0) -> nn.Module:
    """Draw all parameters, also scales and shifts of norms, so that none can be forgotten."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            bound = parameter[0].numel() ** -0.5
            low, high = (-bound, bound) if parameter.dim() > 1 else (-0.5, 0.5)
            if isinstance(module, nn.BatchNorm2d) and name == "weight":
                low, high = 0.5, 1.5
            nn.init.uniform_(parameter, low, high, generator=generator)
    return network


def cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3),
        nn.ReLU(),
        nn.Conv2d(6, 8, 3, stride=2, padding=1),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Linear(72, 16),
        nn.ReLU(),
        nn.Linear(16, CLASSES),
    )


def normalised_cnn() -> nn.Module:
    """Grouped, strided, dilated and oblong convolutions with batch normalisation."""
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 12, 3, stride=(2, 1), padding=(1, 0), groups=3),
        nn.BatchNorm2d(12),
        nn.GELU(),
        nn.Conv2d(12, 8, (2, 1), dilation=(2, 1), groups=4),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(32, CLASSES),
    )


def mlp() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 24), nn.ReLU(), nn.Linear(24, CLASSES))


class Branches(nn.Module):
    """Two heads of which one is discarded, a layer that never runs, and a residual sum."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.act = nn.ReLU()
        self.pool = nn.MaxPool2d(2)
        self.ignored = nn.Linear(96, 4)
        self.never = nn.Conv2d(6, 6, 3)
        self.head = nn.Linear(96, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = self.pool(x + self.act(self.norm(x))).flatten(1)
        self.ignored(x)
        return self.head(x)


def cell(text: str) -> Callable[[], nn.Module]:
    """Build a cell written as 0 (none), s (skip), 1, 3 (convolutions) and p (pooling)."""
    short = dict(zip("0s13p", OPERATIONS, strict=True))
    architecture = Architecture(tuple(short[op] for op in text))
    return lambda: build_network(architecture, channels=4, cells=1)


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "cnn": lambda: randomised(cnn()),
    "normalised cnn": lambda: randomised(normalised_cnn()),
    "mlp": lambda: randomised(mlp()),
    "branches": lambda: randomised(Branches()),
    "dense": cell("333333"),
    "mixed": cell("13p0s3"),
    "pooling before convolutions": cell("p1p33s"),
    "skips alone": cell("ssssss"),
    "pooling alone": cell("pppppp"),
    "one skip": cell("000s00"),
    "dead input of node 1": cell("033s13"),
    "dead output of node 1": cell("300s00"),
    "no path to the output": cell("330000"),
    "nones alone": cell("000000"),
    "dead convolutions with shifts": lambda: randomised(cell("033s13")()),
}


USUAL = {"cnn", "normalised cnn", "branches", "mixed", "dead output of node 1", "nones alone"}
CASES = [pytest.param(n, marks=() if n in USUAL else pytest.mark.thorough) for n in NETWORKS]


@lru_cache
def case(network: str) -> tuple[nn.Module, Tensor, Tensor]:
    images = torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(4))
    return NETWORKS[network](), images, torch.tensor([0, 3, 1, 4, 2, 0, 2, 1])


@lru_cache
def probe(network: str, dtype: torch.dtype) -> Probe:
    """Share the probe between the tests of a network, which is how proxies meet it."""
    module, images, labels = case(network)
    return Probe(
        naive.double(module) if dtype == torch.float64 else module, images.to(dtype), labels
    )


@lru_cache
def truth(proxy: str, network: str) -> float:
    return naive.NAIVE[proxy](*case(network))


def value(proxy: str, network: str, dtype: torch.dtype) -> float:
    return float(PROXIES[proxy](probe(network, dtype)))


# Against the naive version ----------------------------------------------------------------------


@pytest.mark.parametrize("network", CASES)
@pytest.mark.parametrize("proxy", sorted(set(naive.NAIVE) - {"flops"}))
def test_formulas_are_right_in_float64(proxy: str, network: str) -> None:
    # A condition number and the logarithm of noisy ratios lose more digits than a sum.
    rel = {"tenas": 1e-6, "zico": 1e-6}.get(proxy, 1e-9)
    expected = pytest.approx(truth(proxy, network), rel=rel, abs=1e-12, nan_ok=True)
    assert value(proxy, network, torch.float64) == expected


def tolerance(proxy: str, network: str) -> float:
    """Return how far a float32 value may lie from the float64 truth."""
    expected = truth(proxy, network)
    match proxy:
        case "plain":  # positive and negative terms cancel; snip adds them without signs
            return 1e-5 * truth("snip", network)
        case "grasp":  # likewise
            return 1e-4 * sum(float(t.abs().sum()) for t in naive.grasp_terms(*case(network)))
        case "tenas":  # the error of a condition number grows with its square
            return 1e-6 * expected**2 + 1e-5
        case "zico":  # dominated by weights whose two gradients are all but equal
            return 5e-3 * abs(expected)
        case "naswot" | "naswot_relu":  # a unit near zero may change sides
            return 0.05
        case "jacov":  # reciprocals of small eigenvalues
            return 1e-4 * abs(expected)
    return 1e-5 * abs(expected)


@pytest.mark.parametrize("network", CASES)
@pytest.mark.parametrize("proxy", sorted(set(naive.NAIVE) - {"flops"}))
def test_values_are_right_in_float32(proxy: str, network: str) -> None:
    expected = truth(proxy, network)
    abs_tolerance = tolerance(proxy, network) if math.isfinite(expected) else 0
    assert value(proxy, network, torch.float32) == pytest.approx(
        expected, rel=0, abs=abs_tolerance, nan_ok=True
    )


# Convolutions that do not run count too: a cell with as many of them, all alive.
AS_MANY_ALIVE = {"dead output of node 1": "000300", "no path to the output": "3003s0"}


@pytest.mark.parametrize("network", CASES)
def test_flops_are_those_of_all_layers(network: str) -> None:
    module, images, labels = case(network)
    if network in AS_MANY_ALIVE:
        module = cell(AS_MANY_ALIVE[network])()
    expected = pytest.approx(naive.flops(module, images, labels), rel=1e-12)
    assert value("flops", network, torch.float32) == expected


@pytest.mark.parametrize("network", CASES)
def test_the_tangent_kernel_is_that_of_single_images(network: str) -> None:
    module, images, _ = case(network)
    expected = naive.tangent_kernel(module, images)
    scale = max(expected.max(), 1e-300)
    in_float64, in_float32 = (
        probe(network, dtype).tangent_kernel.numpy() for dtype in (torch.float64, torch.float32)
    )
    np.testing.assert_allclose(in_float64 / scale, expected / scale, rtol=0, atol=1e-12)
    np.testing.assert_allclose(in_float32 / scale, expected / scale, rtol=0, atol=1e-6)


class Odd(nn.Module):
    """A layer called twice, shared weights, odd padding, plain normalisation, constant inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.same = nn.Conv2d(3, 4, (2, 3), padding="same", padding_mode="reflect", bias=False)
        self.plain = nn.BatchNorm2d(4, affine=False, track_running_stats=False)
        self.norm = nn.BatchNorm2d(4, track_running_stats=False)
        self.twice = nn.Conv2d(4, 4, 3, padding=(1, 1), padding_mode="circular", groups=2)
        self.first = nn.Conv2d(4, 4, 3, padding="valid")
        self.second = nn.Conv2d(4, 4, 3, padding="same")
        self.second.weight = self.first.weight
        self.tokens = nn.Linear(4, 6)
        self.constant = nn.Linear(2, 6)
        self.head = nn.Linear(6, CLASSES)
        self.register_buffer("steps", torch.tensor(2))
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        assert not self.steps.is_floating_point()
        x = self.norm(self.act(self.same(x)))
        x = self.twice(self.plain(self.twice(x)))
        x = self.second(self.act(self.first(x))).flatten(2).transpose(1, 2)
        constant = self.act(self.constant(torch.ones(len(x), 2, dtype=x.dtype)))
        return self.head(self.tokens(x).tanh().mean(1) + constant)


def odd() -> tuple[nn.Module, Tensor, Tensor]:
    return randomised(Odd()), *case("cnn")[1:]


def test_every_image_has_its_own_gradient_in_odd_networks_too() -> None:
    network, images, labels = odd()
    measured = Probe(naive.double(network), images.double(), labels)
    expected = naive.tangent_kernel(tracking(network), images)
    np.testing.assert_allclose(measured.tangent_kernel, expected, rtol=1e-9)
    single = Probe(network, images, labels).tangent_kernel
    np.testing.assert_allclose(single / expected.max(), expected / expected.max(), atol=1e-6)
    rows = naive.image_gradients(tracking(network), images, (nn.Conv2d, nn.Linear), labels)
    signs = float(np.abs(np.sign(rows).sum(0)).sum())
    assert float(PROXIES["gradsign"](measured)) == signs


class Logit(nn.Module):
    """Keeps one logit."""

    def __init__(self, index: int) -> None:
        super().__init__()
        self.index = index

    def forward(self, logits: Tensor) -> Tensor:
        return logits[:, self.index]


def test_fisher_information_of_an_odd_network() -> None:
    network, images, labels = odd()
    sizes = [w.numel() for w in Probe(network, images, labels).weights.values()]
    first_weights = np.cumsum([0, *sizes])[[2, 5, 0, 3, 1]]  # by name, without the constant one
    jacobian = np.stack(
        [
            naive.image_gradients(
                nn.Sequential(tracking(network), Logit(k)), images, (nn.Conv2d, nn.Linear)
            )[:, first_weights]
            for k in range(CLASSES)
        ],
        axis=1,
    )
    probabilities = naive.double(network)(images.double()).softmax(1).detach().numpy()
    expected = np.zeros((5, 5))
    for p, j in zip(0.95 * probabilities + 0.05 / CLASSES, jacobian, strict=True):
        expected += j.T @ (np.diag(p) - np.outer(p, p)) @ j / len(images)
    measured = Probe(naive.double(network), images.double(), labels).fisher_information
    np.testing.assert_allclose(measured, expected, rtol=1e-9, atol=1e-12)


def tracking(network: nn.Module) -> nn.Module:
    """Return a network whose normalisations have running statistics, for the naive version."""
    network = naive.double(network)
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.track_running_stats = True
    return network


@pytest.mark.parametrize("proxy", ["grad_norm", "snip", "plain", "grasp"])
def test_a_shared_weight_counts_once(proxy: str) -> None:
    network, images, labels = odd()
    double = naive.double(network)
    weights = [
        w for n, w in double.named_parameters() if n.endswith("weight") and not n.startswith("norm")
    ]
    assert len(weights) == 6
    gradients = torch.autograd.grad(naive.loss(double, images, labels), weights, create_graph=True)
    product = torch.autograd.grad(sum(g.square().sum() for g in gradients) / 2, weights)
    pairs = list(zip(weights, gradients, product, strict=True))
    expected = {
        "grad_norm": sum(g.detach().norm() for g in gradients),
        "snip": sum((w * g).abs().sum() for w, g, _ in pairs),
        "plain": sum((w * g).sum() for w, g, _ in pairs),
        "grasp": -sum((w * h).sum() for w, _, h in pairs),
    }[proxy]
    shared = Probe(naive.double(network), images.double(), labels)
    assert list(shared.weights) == ["same", "twice", "first", "tokens", "constant", "head"]
    assert float(PROXIES[proxy](shared)) == pytest.approx(expected.item(), rel=1e-9)


def test_shared_weights_have_every_proxy() -> None:
    network, images, labels = odd()
    for name, of_name in PROXIES.items():
        assert math.isfinite(of_name(Probe(network, images, labels, of_name.needs))), name


def test_fisher_adds_calls_and_positions_before_it_squares() -> None:
    # A mask of ones on the channels of each layer, for each image: its gradient is the saliency.
    network, images, labels = odd()
    double = naive.double(network)
    masks: list[tuple[Tensor, int]] = []
    for layer in naive.layers(double):
        mask = torch.ones(len(images), len(layer.weight), dtype=torch.float64, requires_grad=True)
        masks.append((mask, layer.weight[0].numel()))

        def masked(layer: nn.Module, _: object, output: Tensor, mask: Tensor = mask) -> Tensor:
            if isinstance(layer, nn.Conv2d):
                return output * mask[:, :, None, None]
            return output * (mask if output.dim() == 2 else mask[:, None])

        layer.register_forward_hook(masked)
    gradients = torch.autograd.grad(naive.loss(double, images, labels), [m for m, _ in masks])
    expected = sum(
        n * float(g.square().mean(0).sum()) / 2 for g, (_, n) in zip(gradients, masks, strict=True)
    )
    value = PROXIES["fisher"](Probe(naive.double(network), images.double(), labels))
    assert float(value) == pytest.approx(expected, rel=1e-9)


def test_synflow_passes_every_kind_of_batch_normalisation_by() -> None:
    network, images, labels = odd()
    expected = naive.double(network)
    naive.without_normalisation(expected)
    for parameter in expected.parameters():
        parameter.data = parameter.data.abs()
    weights = [w for n, w in expected.named_parameters() if n.endswith("weight")]
    expected(torch.ones(1, 3, 8, 8, dtype=torch.float64)).sum().backward()
    flow = sum(float((w.detach() * w.grad).abs().sum()) for w in weights)
    value = PROXIES["synflow"](Probe(network, images, labels))
    assert float(value) == pytest.approx(math.log(flow), rel=1e-9)


# By hand ----------------------------------------------------------------------------------------


def one_layer(weight: list[list[float]]) -> nn.Module:
    """Map an image of one pixel to logits without bias."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(len(weight[0]), len(weight), bias=False))
    network[1].weight.data = torch.tensor(weight)
    return network


def pixels(*rows: list[float]) -> Tensor:
    return torch.tensor(rows)[:, :, None, None]


def score(proxy: str, network: nn.Module, images: Tensor, labels: list[int]) -> float:
    return float(PROXIES[proxy](Probe(network, images, torch.tensor(labels))))


def test_loss_proxies_of_one_layer_by_hand() -> None:
    # One pixel of value 2, two classes with equal logits w x = 0.5 * 2: softmax is a half each.
    network, images, labels = one_layer([[0.5], [0.5]]), pixels([2.0], [2.0]), [0, 0]
    # dL/dw_k = (p_k - y_k) x = -1 and 1.
    assert score("grad_norm", network, images, labels) == pytest.approx(math.sqrt(2))
    assert score("snip", network, images, labels) == pytest.approx(0.5 + 0.5)
    assert score("plain", network, images, labels) == pytest.approx(0)
    assert score("l2_norm", network, images, labels) == pytest.approx(math.sqrt(0.5))
    # H = x^2 [[p q, -p q], [-p q, p q]] = [[1, -1], [-1, 1]], so H g = (-2, 2).
    assert score("grasp", network, images, labels) == pytest.approx(-(0.5 * -2 + 0.5 * 2))
    # a dL/da of each image: 1 * (-1/2)/2 and 1 * (1/2)/2; two images, one weight a channel.
    assert score("fisher", network, images, labels) == pytest.approx(2 * (1 / 4) ** 2 / 2)
    assert score("params", network, images, labels) == pytest.approx(2e-6)
    assert score("flops", network, images, labels) == pytest.approx(2e-6)


@pytest.mark.parametrize("proxy", ["plain", "grasp"])
def test_derivatives_along_the_weights_by_differences(proxy: str) -> None:
    # plain is d/dc L(c w) at c = 1, and grasp minus d/dc |g(c w)|^2 / 2.
    module, images, labels = case("cnn")
    h = 1e-5

    def at(c: float) -> float:
        scaled = naive.double(module)
        for layer in naive.layers(scaled):
            layer.weight.data *= c
        if proxy == "plain":
            return naive.loss(scaled, images, labels).item()
        return -naive.half_squared_gradient(scaled, images, labels).item()

    slope = (at(1 + h) - at(1 - h)) / (2 * h)
    assert value(proxy, "cnn", torch.float64) == pytest.approx(slope, rel=1e-6)


def test_synflow_counts_every_path_once_a_layer() -> None:
    # Without biases each of L layers carries the whole flow R, the sum of all outputs.
    first, second = torch.tensor([[1.0, -2.0], [3.0, -4.0]]), torch.tensor([[-5.0, 6.0]])
    network = nn.Sequential(
        nn.Flatten(), nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 1, bias=False)
    )
    network[1].weight.data, network[3].weight.data = first, second
    flow = 5 * (1 + 2) + 6 * (3 + 4)
    images = pixels([0.3, -0.7], [9.0, 1.0])
    assert score("synflow", network, images, [0, 0]) == pytest.approx(math.log(2 * flow))


def test_synflow_survives_what_float32_does_not() -> None:
    layers = [layer for _ in range(60) for layer in (nn.Linear(40, 40, bias=False), nn.ReLU())]
    for layer in layers[::2]:
        layer.weight.data = torch.ones(40, 40)
    network = nn.Sequential(nn.Flatten(), *layers)
    expected = math.log(60) + 61 * math.log(40)  # 3e97
    assert score("synflow", network, torch.ones(2, 40, 1, 1), [0, 0]) == pytest.approx(expected)


def test_codes_by_hand() -> None:
    # Units (x, y, x - y) of three images: 100 -> +-+, 010 -> -+-, both -> ++-.
    network = nn.Sequential(
        nn.Flatten(), nn.Linear(2, 3, bias=False), nn.ReLU(), nn.Linear(3, 2, bias=False)
    )
    network[1].weight.data = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, -1.0]])
    network[3].weight.data = torch.tensor([[1.0, 1.0, 1.0], [-1.0, -1.0, -1.0]])
    images = pixels([1.0, -1.0], [-1.0, 1.0], [1.0, 2.0])
    # Agreements on three units: 0 between the first two, 1 and 2 with the third.
    matrix = np.array([[3, 0, 1], [0, 3, 2], [1, 2, 3]])
    assert score("naswot_relu", network, images, [0, 1, 0]) == pytest.approx(
        math.log(round(np.linalg.det(matrix)))
    )
    # The signs of the last layer agree for all three images, on one unit positive, one negative.
    assert score("naswot", network, images, [0, 1, 0]) == pytest.approx(
        math.log(round(np.linalg.det(matrix + 2)))
    )


def test_equal_images_have_no_determinant() -> None:
    module, images, labels = case("cnn")
    twins = torch.cat([images[:4], images[:4]])
    for proxy in ("naswot", "naswot_relu"):
        assert score(proxy, module, twins, labels.tolist()) == -math.inf


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 20), st.integers(1, 500), st.integers(0, 2**32 - 1))
def test_twins_are_singular_whatever_the_rounding(images: int, units: int, seed: int) -> None:
    bits = np.random.default_rng(seed).random((images, units)) < 0.3
    bits[-1] = bits[0]
    counted = Agreement(images, torch.device("cpu"))
    counted.add(torch.tensor(bits))
    assert counted.log_determinant() == -math.inf


def test_agreement_adds_up_over_layers_and_counts_patterns() -> None:
    rng = np.random.default_rng(0)
    layers = [rng.choice([-1.0, 0.0, 1.0], (5, 3)), rng.normal(size=(5, 2, 2, 2))]
    for layer in layers:
        layer[3] = layer[1]
    counted = Agreement(5, torch.device("cpu"))
    for layer in layers:
        counted.add(torch.tensor(layer))
    bits = np.concatenate([layer.reshape(5, -1) > 0 for layer in layers], axis=1)
    np.testing.assert_array_equal(counted.matrix, naive.agreement(bits))
    assert counted.units == 11
    assert counted.distinct_patterns() == 4
    assert counted.log_determinant() == -math.inf


def test_jacov_of_uncorrelated_and_of_equal_rows() -> None:
    # A linear network gives all images one Jacobian: eigenvalues N and N - 1 zeros.
    network, k = one_layer([[1.0, 2.0, 4.0], [3.0, 1.0, 0.0]]), 1e-5
    images = pixels([1.0, 0.0, 2.0], [0.0, 1.0, 5.0])
    equal = -(math.log(2 + k) + 1 / (2 + k) + math.log(k) + 1 / k)
    assert score("jacov", network, images, [0, 1]) == pytest.approx(equal, rel=1e-4)
    # |x| has the signs of the image for its Jacobian; these two are uncorrelated.
    absolute = nn.Sequential(nn.Flatten(), nn.Linear(4, 8, bias=False), nn.ReLU(), nn.Linear(8, 1))
    absolute[1].weight.data = torch.cat([torch.eye(4), -torch.eye(4)])
    absolute[3].weight.data = torch.ones(1, 8)
    images = pixels([1.0, 2.0, -3.0, -4.0], [1.0, -1.0, 1.0, -1.0])
    uncorrelated = -2 * (math.log(1 + k) + 1 / (1 + k))
    assert score("jacov", absolute, images, [0, 0]) == pytest.approx(uncorrelated)


@pytest.mark.parametrize("count", [2, 3])
def test_zico_of_halves_that_cannot_be_normalised(count: int) -> None:
    network = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(12), nn.Linear(12, 3))
    images, labels = torch.randn(count, 3, 2, 2), torch.arange(count)
    message = f"halves of {count} images are too few for this network; give 4 or more"
    with pytest.raises(ProxyError, match=message):
        score_network(network, ["zico"], images, labels, strict=True)


def test_zico_of_one_layer_by_hand() -> None:
    # Zero weights: softmax is a half each, dL/dw = -+x/2 of each half of the batch.
    images, labels = pixels([2.0], [4.0], [6.0], [6.0]), [0, 0, 0, 0]
    # Gradients 1.5 and 3 in size: mean 2.25, population deviation 0.75, a ratio of 3 twice.
    network = one_layer([[0.0], [0.0]])
    assert score("zico", network, images, labels) == pytest.approx(math.log(3 + 3))
    # The odd image is left out; equal gradients are, too, and then nothing is left.
    assert score("zico", network, torch.cat([images, images[:1]]), [0] * 5) == pytest.approx(
        math.log(6)
    )
    assert score("zico", network, pixels([2.0], [2.0]), [0, 0]) == 0


def test_tenas_of_a_linear_layer_by_hand() -> None:
    # f(x) sums two logits, so df/dW is the image twice: K = 2 [[4, 0], [0, 1]]. One region.
    network = nn.Sequential(one_layer([[1.0, 1.0], [1.0, 1.0]]), nn.ReLU())
    assert score("tenas", network, pixels([2.0, 0.0], [0.0, 1.0]), [0, 1]) == pytest.approx(1 - 4)


def test_a_singular_tangent_kernel_is_the_worst_and_not_the_best() -> None:
    # Three weights cannot tell twenty images apart; the smallest eigenvalue is rounding.
    images = torch.randn(20, 3, 1, 1, generator=torch.Generator().manual_seed(0))
    for proxy in ("tenas", "ntk"):
        three = nn.Sequential(one_layer([[1.0, 2.0, 3.0]] * 2), nn.ReLU())
        assert score(proxy, three, images, [0, 1] * 10) == -math.inf
        zeros = nn.Sequential(one_layer([[0.0, 0.0]] * 2), nn.ReLU())
        assert score(proxy, zeros, torch.zeros(2, 2, 1, 1), [0, 1]) == -math.inf


@pytest.mark.parametrize(
    "proxy", ["grad_norm", "snip", "plain", "l2_norm", "grasp", "fisher", "zico"]
)
def test_a_network_without_weights_has_nothing_to_add(proxy: str) -> None:
    network = nn.Sequential(nn.BatchNorm2d(3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    value = score(proxy, network, case("cnn")[1], [0, 1, 2, 0, 1, 2, 0, 1])
    assert str(value) == "0.0"


def test_the_costs_of_an_oblong_image() -> None:
    network = cell("333333")()
    images = torch.zeros(2, 3, 8, 16)
    assert score("flops", network, images, [0, 1]) == naive.flops(network, images, torch.zeros(2))


# The list ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PROXIES)
def test_every_proxy_is_documented(name: str) -> None:
    proxy = PROXIES[name]
    assert proxy.name == name
    assert proxy.paper
    assert proxy.summary.endswith((".", ","))
    assert proxy.cost == cost_class(proxy.needs)


def test_proxies_count_dead_edges_if_they_say_so() -> None:
    # "dead output of node 1" is "one skip" with a convolution that nothing reads.
    counting = {name for name in naive.NAIVE if PROXIES[name].counts_dead_edges}
    assert counting == {"params", "flops", "l2_norm"}
    for name in naive.NAIVE:
        dead, alive = (value(name, n, torch.float64) for n in ("dead output of node 1", "one skip"))
        assert (dead != pytest.approx(alive, rel=1e-9)) == (name in counting), name


# A name of the user's own -----------------------------------------------------------------------

MODULES = {
    "users_good": "class Of:\n    @staticmethod\n    def method(probe):\n        return 1.0\n",
    "users_broken": "None.attribute\n",
    "users_needy": "import no_such_package\n",
}


@pytest.fixture
def users_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "users-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: users\nVersion: 1.0\n")
    lines = [
        "missing = users_good:missing",
        "needy = users_needy:f",
        "bare = users_good",
        "odd = 1",
    ]
    lines += ["fine = users_good:Of.method", "extra = users_good:Of.method [extra]"]
    (info / "entry_points.txt").write_text("\n".join(["[zc_search.proxies]", *lines]))
    for name, text in MODULES.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("users_modules")
@pytest.mark.parametrize("name", ["users_good:Of.method", "fine", "extra"])
def test_a_proxy_may_be_the_method_of_a_class(name: str) -> None:
    found = resolve_proxy(name)
    assert found.name == name
    assert found(probe("mlp", torch.float32)) == 1.0


@pytest.mark.usefixtures("users_modules")
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (":f", "':f' is not of the form 'module:attribute'"),
        (".a:f", "'.a:f' is not of the form 'module:attribute'"),
        ("a:", "'a:' is not of the form 'module:attribute'"),
        ("a:b:c", "'a:b:c' is not of the form 'module:attribute'"),
        ("users_good:Of.other", "'users_good' has no 'Of.other'"),
        (
            "users_broken:f",
            "importing 'users_broken' raised AttributeError: "
            "'NoneType' object has no attribute 'attribute'",
        ),
        ("missing", "'users_good' has no 'missing'"),
        ("needy", "cannot import 'users_needy' (No module named 'no_such_package')"),
        ("bare", "'users_good' is not of the form 'module:attribute'"),
        ("odd", "'1' is not of the form 'module:attribute'"),
    ],
)
def test_a_name_that_leads_nowhere_says_why(name: str, reason: str) -> None:
    with pytest.raises(ProxyError, match=f"^{re.escape(f'proxy {name!r}: {reason}')}$"):
        resolve_proxy(name)
