"""NAS-Bench-101's network: published sizes, division of channels, and cells by hand."""

import pytest
import torch
from test_spaces_nasbench101 import CONV1, CONV3, FIRST, INCEPTION, POOL
from torch import nn

from zc_search.errors import ArchitectureError, DataError
from zc_search.images.datasets import Task
from zc_search.proxies import PROXIES, Probe
from zc_search.scoring.direct import score_architectures
from zc_search.spaces import ModelSpec
from zc_search.spaces.nasbench101.network import SpecCell, SpecNetwork, vertex_channels
from zc_search.spaces.network import build_network

TRIVIAL = ModelSpec([[0, 1], [0, 0]], ("input", "output"))


def spec(edges: str, *ops: str) -> ModelSpec:
    return ModelSpec.from_string(f"{edges}:{','.join(ops)}")


def params(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


# Size -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "published"),
    [
        (FIRST, 8_555_530),
        (INCEPTION, 2_694_282),
        # The most that any cell of the benchmark has: a chain of five, fed by the input thrice.
        (spec("101110.10000.1000.100.10.1", *[CONV3] * 5), 49_979_274),
    ],
)
def test_parameters_are_the_published_ones(cell: ModelSpec, published: int) -> None:
    with torch.device("meta"):
        network = SpecNetwork(cell.pruned or cell, 128, 3, Task("cifar10", 10, 3, 32, 32))
    assert params(network) == published


def test_multiply_adds_by_hand() -> None:
    c, labels = 8, torch.tensor([0, 1])
    network = build_network(spec("11.1", CONV3), channels=c, cells=1)
    probe = Probe(network, torch.randn(2, 3, 32, 32), labels)
    total = 9 * 3 * c * 32**2
    for inputs, outputs, side in ((c, c, 32), (c, 2 * c, 16), (2 * c, 4 * c, 8)):
        projections = 2 * inputs * outputs  # into the vertex and into the output
        total += (projections + 9 * outputs * outputs) * side**2
    assert probe.multiply_adds == total + 4 * c * 10


# Channels -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("edges", "inputs", "outputs", "channels"),
    [  # of the authors' own tests of their builder
        ("100.10.1", 8, 16, [8, 16, 16, 16]),
        ("100.10.1", 16, 8, [16, 8, 8, 8]),
        ("1", 5, 1, [5, 1]),
        ("1100.010.10.1", 8, 16, [8, 16, 16, 16, 16]),
        ("110.01.1", 8, 15, [8, 8, 7, 15]),
        ("1110.001.01.1", 8, 8, [8, 3, 3, 2, 8]),
        ("1000.110.01.1", 8, 9, [8, 5, 5, 4, 9]),
        ("1010.101.10.1", 8, 15, [8, 8, 7, 7, 15]),
    ],
)
def test_channels_are_divided_as_published(
    edges: str, inputs: int, outputs: int, channels: list[int]
) -> None:
    cell = spec(edges, *[CONV3] * edges.count("."))
    assert vertex_channels(inputs, outputs, cell.matrix) == channels


# What a cell computes -------------------------------------------------------------------------


def test_a_cell_by_hand() -> None:
    """Sum at a vertex, truncation to it, concatenation and the input's projection at the output."""
    cell = SpecCell(spec("1101.111.01.1", CONV3, POOL, CONV1), 6, 5).eval()
    x = torch.randn(2, 6, 4, 4)
    to = cell.projections
    conv3, pool, conv1 = cell.operations
    assert set(to) == {"1", "2", "4"}
    assert vertex_channels(6, 5, cell._matrix) == [6, 2, 2, 1, 5]
    one = conv3(to["1"](x))
    two = pool(to["2"](x) + one)
    three = conv1(one[:, :1])
    expected = torch.cat([one, two, three], dim=1) + to["4"](x)
    assert torch.allclose(cell(x), expected, atol=1e-6)


def test_without_inner_vertices_the_cell_is_the_projection() -> None:
    cell = SpecCell(TRIVIAL, 3, 4).eval()
    x = torch.randn(2, 3, 5, 5)
    assert torch.equal(cell(x), cell.projections["1"](x))


def test_pooling_keeps_the_size_and_down_sampling_rounds_up() -> None:
    network = build_network(spec("10.1", POOL), channels=4, cells=2)
    assert isinstance(network, SpecNetwork)
    assert network.features(torch.randn(2, 3, 9, 9)).shape == (2, 16, 3, 3)
    assert network(torch.randn(2, 3, 9, 9)).shape == (2, 10)
    assert [type(layer) for layer in network.layers] == [
        *[SpecCell] * 2,
        nn.MaxPool2d,
        *[SpecCell] * 2,
        nn.MaxPool2d,
        *[SpecCell] * 2,
    ]


def test_dead_vertices_have_no_part() -> None:
    dead = spec("110.00.1", CONV3, CONV1)  # the first vertex leads nowhere
    alive = spec("10.1", CONV1)
    networks = [build_network(cell, channels=4, cells=1) for cell in (dead, alive)]
    assert params(networks[0]) == params(networks[1])
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(networks[0](x), networks[1](x))


def test_what_cannot_be_built_is_refused() -> None:
    with pytest.raises(ArchitectureError, match="is no cell of NAS-Bench-101: the input does not"):
        build_network(spec("10.0", CONV3))
    with pytest.raises(ValueError, match="at least 1, got 0 and 3"):
        build_network(TRIVIAL, channels=0)
    with pytest.raises(ValueError, match="channels: 1 cannot be divided among 2 vertices"):
        build_network(spec("110.01.1", CONV3, CONV3), channels=1)
    with pytest.raises(DataError, match="unknown dataset 'mnist'"):
        build_network(TRIVIAL, "mnist")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="no architecture: 'text'"):
        build_network("text")  # type: ignore[arg-type]


def test_every_proxy_has_a_value() -> None:
    table = score_architectures([FIRST], list(PROXIES), batch_size=4, channels=8, cells=1)
    assert not table.attrs.get("failures")
    assert table.notna().all(axis=None)


def test_isomorphic_cells_are_scored_alike() -> None:
    one = spec("110.01.1", CONV3, CONV1)
    other = spec("110.01.1", CONV1, CONV3)
    table = score_architectures(
        [one, other], ["jacov", "synflow"], batch_size=4, channels=5, cells=1
    )
    assert table.iloc[0].equals(table.iloc[1])
