"""More proxies against naive float64 versions, and what their measurements promise."""

import math
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace

import naive_more as naive
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor, nn

import zc_search
from zc_search.config import parse_config
from zc_search.errors import ProxyError
from zc_search.proxies import PROXIES, Probe, proxy, resolve_proxy
from zc_search.proxies.probe import data_free
from zc_search.proxies.probe.features import UnitPatterns, primary_blocks
from zc_search.proxies.probe.probe import MEASUREMENTS, cost_class
from zc_search.scoring.architectures import score_architectures
from zc_search.scoring.scorer import evaluate_proxies
from zc_search.spaces import OPERATIONS, Architecture
from zc_search.spaces.network import build_network

ONE_SKIP = "000s00"
UNREAD = "300s00"  # the same function, with a convolution that nothing reads
AZ_NAS = ("az_expressivity", "az_progressivity", "az_trainability")


def architecture(text: str) -> Architecture:
    """Read a cell written as 0 (none), s (skip), 1, 3 (convolutions) and p (pooling)."""
    short = dict(zip("0s13p", OPERATIONS, strict=True))
    return Architecture(tuple(short[op] for op in text))


def cell(text: str) -> nn.Module:
    return build_network(architecture(text), channels=4, cells=1)


def cnn(classes: int = 5) -> nn.Module:
    """Grouped, strided and dilated convolutions with biases; scales and shifts off 1 and 0."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1, bias=False),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 12, 3, stride=2, padding=1, groups=3),
        nn.BatchNorm2d(12),
        nn.ReLU(inplace=True),
        nn.Conv2d(12, 9, 2, dilation=2),
        nn.GELU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(9, classes),
    )
    for norm in network[1], network[4]:
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.uniform_(norm.bias, -0.5, 0.5)
    return network


def mlp() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 24), nn.ReLU(), nn.Linear(24, 5))


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "cnn": cnn,
    "many classes": lambda: cnn(classes=101),
    "mlp": mlp,
    "dense": lambda: cell("333333"),
    "mixed": lambda: cell("13p0s3"),
    "one skip": lambda: cell(ONE_SKIP),
    "dead output of node 1": lambda: cell(UNREAD),
    "dead input of node 1": lambda: cell("033s13"),
}
NEEDS = frozenset[str]().union(*(PROXIES[name].needs for name in naive.NAIVE))
NO_MAPS = {"zen", "meco", "meco_opt", "dextr", "dextr_svd", *AZ_NAS}


@lru_cache
def case(network: str) -> tuple[nn.Module, Tensor, Tensor]:
    images = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(4))
    return NETWORKS[network](), images, torch.tensor([0, 3, 1, 4, 1, 0])


@lru_cache
def probe(network: str, dtype: torch.dtype) -> Probe:
    module, images, labels = case(network)
    if dtype == torch.float64:
        module = naive.double(module)
    return Probe(module, images.to(dtype), labels, NEEDS)


@lru_cache
def truth(proxy: str, network: str) -> float:
    return naive.NAIVE[proxy](*case(network))


def defined(proxy: str, network: str) -> bool:
    if network == "mlp":
        return proxy not in NO_MAPS
    if network == "many classes":
        return proxy == "epe_nas"
    # The naive version reads the blocks of a cell network; others have tests of their own.
    return proxy not in AZ_NAS or network != "cnn"


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """Waiting for a second thread takes longer than these small networks do."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


FORMULAS = [n for n in NETWORKS if n not in {"dense", "dead output of node 1"}]
CASES = [(p, n) for p in naive.NAIVE for n in FORMULAS if defined(p, n)]


@pytest.mark.parametrize(("proxy", "network"), CASES)
def test_formulas_are_right_in_float64(proxy: str, network: str) -> None:
    rel = 1e-6 if proxy == "ntk" else 1e-9  # a condition number loses digits
    value = float(PROXIES[proxy](probe(network, torch.float64)))
    assert value == pytest.approx(truth(proxy, network), rel=rel, abs=1e-9, nan_ok=True)


# Units and signs near zero may change sides, so these differ by a few counts.
COUNTS = {"nwot": 0.05, "swap": 0.03, "reg_swap": 0.03, "gradsign": 0.03, "t_cet": 0.05}


@pytest.mark.parametrize(
    ("proxy", "network"), [case for case in CASES if case[1] in {"cnn", "mlp", "mixed"}]
)
def test_values_are_right_in_float32(proxy: str, network: str) -> None:
    expected = truth(proxy, network)
    # The error of a condition number grows with its square.
    slack = 1e-6 * expected**2 if proxy == "ntk" else 1e-5
    rel = COUNTS.get(proxy, 1e-3)
    value = float(PROXIES[proxy](probe(network, torch.float32)))
    assert value == pytest.approx(expected, rel=rel, abs=slack, nan_ok=True)


@pytest.mark.parametrize("proxy", sorted(set(naive.NAIVE) - {"reg_swap"}))
def test_isomorphs_share_their_values(proxy: str) -> None:
    values = [
        float(PROXIES[proxy](probe(network, torch.float64)))
        for network in ("one skip", "dead output of node 1")
    ]
    assert values[0] == pytest.approx(values[1], rel=1e-9)


def test_the_first_isomorph_has_no_parameters_that_do_not_count() -> None:
    for index in range(0, 15625, 331):
        first = Architecture.from_index(index).representative()
        for op, expression in zip(first.ops, first.form.convolutions, strict=True):
            assert expression is not None or not op.startswith("nor_conv")


def test_two_names_of_one_proxy() -> None:
    assert PROXIES["nwot"].function is PROXIES["naswot_relu"].function


@pytest.mark.parametrize(
    ("whole", "parts"),
    [("tenas", ("linear_regions", "ntk")), ("vkdnw", ("layers", "vkdnw_entropy"))],
)
def test_sums_of_other_proxies(whole: str, parts: tuple[str, str]) -> None:
    shared = probe("dense", torch.float64)
    total = sum(float(PROXIES[name](shared)) for name in parts)
    assert float(PROXIES[whole](shared)) == pytest.approx(total, rel=1e-12)


def test_a_circle_that_a_linear_network_turns_has_the_curvature_of_an_ellipse() -> None:
    # At the end of an axis, as u . v = 0, it is b / a^2 with half-axes b towards the middle.
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 3, bias=False))
    measured = Probe(network, torch.zeros(2, 3, 2, 2), torch.tensor([0, 1]))
    random = torch.Generator().manual_seed(0)
    u, w = (torch.randn(12, generator=random).double() for _ in range(2))
    u /= u.norm()
    w -= u @ w * u
    weight = network[1].weight.detach().double()
    x, y = weight @ u, weight @ (w / w.norm())  # velocity y, acceleration -x
    expected = torch.linalg.cross(x, y).norm() / y.norm() ** 3
    assert float(measured.output_curvature) == pytest.approx(float(expected), rel=1e-5)


def test_az_complexity_is_the_multiply_adds() -> None:
    shared = probe("dense", torch.float32)
    assert PROXIES["az_complexity"](shared) == PROXIES["flops"](shared)


# By hand ----------------------------------------------------------------------------------------


def test_a_block_that_hands_its_input_on_is_not_trainable() -> None:
    assert float(PROXIES["az_trainability"](probe("one skip", torch.float32))) == -math.inf
    assert math.isfinite(float(PROXIES["az_trainability"](probe("mixed", torch.float32))))


def test_isotropic_features_have_the_largest_entropy() -> None:
    class Doubled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            return 2 * self.inner(x)

    class Collapsed(Doubled):
        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x)[:, :1].expand_as(x)

    network = nn.Sequential(nn.Conv2d(4, 4, 1), Doubled(), Collapsed(), nn.Flatten())
    nn.init.eye_(network[0].weight.data[:, :, 0, 0])
    # The four unit vectors and their opposites, as images of one pixel: a covariance of I / 4.
    images = torch.cat([torch.eye(4), -torch.eye(4)])[:, :, None, None]
    measured = Probe(network, images, torch.zeros(8, dtype=torch.int64))
    entropies = measured.block_entropies
    assert entropies.tolist() == pytest.approx([math.log(4), math.log(4), 0], abs=1e-6)
    assert float(PROXIES["az_expressivity"](measured)) == pytest.approx(2 * math.log(4))
    assert float(PROXIES["az_progressivity"](measured)) == pytest.approx(-math.log(4))
    # J = 2 I: 2 mean(g g^T), whose norm is at least that of its diagonal, 2.
    assert measured.block_jacobian_norms[0] >= 2


def test_layers_by_hand() -> None:
    # Stem, two residual blocks of three convolutions, classifier; and six convolutions a cell.
    assert float(PROXIES["layers"](probe("one skip", torch.float32))) == 1 + 2 * 3 + 1
    assert float(PROXIES["layers"](probe("dense", torch.float32))) == 1 + 2 * 3 + 1 + 3 * 6


def test_a_regularised_swap_falls_off_with_size() -> None:
    shared = probe("dense", torch.float32)
    millions = float(PROXIES["params"](shared))
    patterns = float(PROXIES["swap"](shared))
    assert float(resolve_proxy(f"reg_swap[mu={millions},sigma=0.1]")(shared)) == patterns
    assert float(resolve_proxy(f"reg_swap[mu={millions + 1},sigma=0.5]")(shared)) == pytest.approx(
        patterns * math.exp(-2)
    )


def test_latency_is_the_time_of_one_pass_in_milliseconds() -> None:
    class Slow(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            assert not self.training
            assert not torch.is_grad_enabled()
            time.sleep(0.005)
            return x.flatten(1)

    network = Slow()
    measured = Probe(network, torch.zeros(2, 3, 1, 1), torch.tensor([0, 1])).latency
    assert 5 <= measured < 500
    assert network.training


def test_the_least_pass_counts_and_a_busy_machine_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, passes = [0.0], iter([900.0, 320.0, 60.0, 28.0, 40.0, 11.7, *[320.0] * 99])
    references = iter([50.0, 1.0, 3.0, 3.0, 3.0, 3.0, *[2.0] * 99])

    class Network(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            clock[0] += next(passes) / 1000
            return x.flatten(1)

    def reference(images: Tensor) -> Tensor:
        clock[0] += next(references) / 1000
        return images

    monkeypatch.setattr(data_free, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    monkeypatch.setattr(data_free, "_reference", reference)
    monkeypatch.setattr(data_free, "_least_reference", {})
    measured = data_free.timing(Probe(Network(), torch.zeros(2, 3, 1, 1), torch.tensor([0, 1])), 1)
    assert measured.milliseconds == pytest.approx(11.7)  # neither the median nor the first
    assert measured.load == pytest.approx(3.0, rel=0.5)
    assert measured.load > 1.5


# Measurements -----------------------------------------------------------------------------------


@settings(deadline=None)
@given(
    st.tuples(st.sampled_from([1, 2, 23, 24, 25, 63, 64, 65, 130]), st.integers(1, 40)).flatmap(
        lambda shape: arrays(np.bool_, shape)
    ),
    st.integers(0, 40),
)
def test_unit_patterns_are_counted_exactly(bits: np.ndarray, split: int) -> None:
    counted = UnitPatterns(len(bits), torch.device("cpu"))
    for layer in (bits[:, :split], bits[:, split:]):
        counted.add(torch.from_numpy(layer).float())
    assert counted.count() == len(np.unique(bits.T, axis=0))


def test_no_units_have_no_patterns() -> None:
    assert UnitPatterns(4, torch.device("cpu")).count() == 0


def test_blocks_of_a_cell_network_are_its_cells() -> None:
    network = cell("333333")
    assert list(primary_blocks(network)) == [f"cells.{i}" for i in range(5)]
    wrapped = nn.Sequential(nn.Identity(), network)
    assert list(primary_blocks(wrapped)) == [f"1.cells.{i}" for i in range(5)]


def test_blocks_of_a_chain_are_its_convolutions() -> None:
    assert list(primary_blocks(cnn())) == ["0", "3", "6"]
    assert primary_blocks(mlp()) == {}
    measured = Probe(cnn(), *case("cnn")[1:])
    assert measured.block_entropies.shape == (4,)
    assert measured.block_jacobian_norms.shape == (3,)
    assert bool(measured.block_jacobian_norms.isfinite().all())


@pytest.mark.parametrize(
    ("proxy", "reason"),
    [
        ("zen", "no module of the network returns feature maps, N x C x H x W"),
        ("meco", "no layer of the network returns feature maps, N x C x H x W"),
        ("dextr", "no layer of the network returns feature maps, N x C x H x W"),
        ("meco_opt", "no layer of the network returns feature maps, N x C x H x W"),
        *((name, "no block of the network maps feature maps to feature maps") for name in AZ_NAS),
    ],
)
def test_what_has_no_feature_maps_has_no_value_and_a_reason(proxy: str, reason: str) -> None:
    values, failures = evaluate_proxies([PROXIES[proxy]], probe("mlp", torch.float32))
    assert math.isnan(values[proxy])
    assert failures == {proxy: f"ValueError: {reason}"}


@pytest.mark.parametrize("text", ["000000", "330000"])
def test_a_dead_network_spoils_no_measurement_that_it_has(text: str) -> None:
    measured = Probe(cell(text), *case("dense")[1:], MEASUREMENTS)
    assert {float(g.abs().sum()) > 0 for g in measured.loss_gradients.values()} == {False}
    assert float(PROXIES["layers"](measured)) == 0
    assert float(PROXIES["az_trainability"](measured)) < -1e5  # no gradient passes
    _, failures = evaluate_proxies([PROXIES["vkdnw_entropy"]], measured)
    assert failures == {"vkdnw_entropy": "ValueError: the logits do not depend on the image"}


@pytest.mark.parametrize("proxy", ["zen", "meco_opt", "dextr_curvature", "az_trainability"])
def test_what_is_drawn_follows_the_seed(proxy: str) -> None:
    network, images, labels = NETWORKS["dense"](), *case("dense")[1:]
    before = torch.get_rng_state()
    first, again, other = (
        float(PROXIES[proxy](Probe(network, images, labels, seed=seed))) for seed in (0, 0, 1)
    )
    assert first == again != other
    assert torch.equal(before, torch.get_rng_state())


def test_neighbours_draw_the_same_gaussian_weights() -> None:
    # A cell with a layer more; what they share is drawn alike, so zen of the stem would agree.
    shallow, deep = (
        Probe(cell(text), *case("dense")[1:]).gaussian_perturbation for text in ("000s00", "000300")
    )
    assert shallow[1] < deep[1]


def test_costs_are_those_of_what_is_needed() -> None:
    assert cost_class([]) == cost_class(["multiply_adds"]) == "free"
    assert cost_class(["loss_gradients"]) == "low"
    assert cost_class(["tangent_kernel"]) == "medium"
    assert cost_class(["loss_gradients", "gradient_curvature"]) == "high"
    with pytest.raises(ProxyError) as caught:
        proxy("mine", maximize=True, needs={"loss_gradient"})
    assert (caught.value.given, caught.value.hint) == ("loss_gradient", "loss_gradients")


# A proxy of one's own ---------------------------------------------------------------------------

SEARCH = """
[study]
name = "own"
n_trials = 6
sampler = "random"

[space]
channels = 2
cells = 1

[data]
source = "noise"
batch_size = 4

[objectives]
"example_proxy:weighted_params" = "maximize"
snip = "maximize"
"""


def test_a_proxy_of_ones_own_is_scored_like_any_other() -> None:
    names = ["example_proxy:weighted_params", "example_proxy:bare", "params"]
    table = score_architectures(
        [architecture(text) for text in ("000s00", "000100", "000300")],
        names,
        data="noise",
        batch_size=4,
        channels=2,
        cells=1,
    )
    assert list(table) == names
    assert table[names[0]].is_monotonic_increasing
    assert table.notna().all(axis=None)
    own = resolve_proxy(names[0])
    assert own.paper == "an example"
    assert own.cost == "free"
    assert own.summary.startswith("Thousands of weights")


@pytest.mark.thorough
def test_a_proxy_of_ones_own_is_an_objective(tmp_path: Path) -> None:
    config = parse_config(SEARCH, [f"output.folder={str(tmp_path)!r}", "output.report=false"])
    result = zc_search.run_search(config)
    assert result.trials["example_proxy:weighted_params"].gt(0).all()
