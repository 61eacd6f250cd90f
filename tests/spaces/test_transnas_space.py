"""The micro cells of TransNAS-Bench-101: texts, functions, and their network."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from zc_search.errors import ArchitectureError
from zc_search.images import Task
from zc_search.spaces import EDGES, MicroCell, MicroSpace, read_architecture
from zc_search.spaces.nasbench201.architecture import PATHS
from zc_search.spaces.transnas_micro.network import FactorizedReduction, MicroNetwork

SCENES = Task("class_scene", 47, 3, 224, 224)


def test_the_text_is_the_benchmarks() -> None:
    """The example of its authors: node 1 skip, node 2 none and conv 1x1, node 3 three conv 3x3."""
    cell = read_architecture("64-41414-1_02_333")
    assert isinstance(cell, MicroCell)
    named = dict(zip(EDGES, cell.ops, strict=True))
    assert (named[1, 0], named[2, 0], named[2, 1]) == ("skip_connect", "none", "nor_conv_1x1")
    assert {named[3, source] for source in range(3)} == {"nor_conv_3x3"}
    assert cell.compact() == "1|02|333"
    assert MicroSpace().size == 4096


def test_cells_without_a_path_are_infeasible() -> None:
    infeasible = [cell for cell in MicroSpace() if cell.infeasible]
    by_hand = [
        cell
        for cell in MicroSpace()
        if not any(all(cell.ops[e] != "none" for e in edges) for edges in PATHS.values())
    ]
    assert infeasible == by_hand
    assert all(cell.representative().ops == ("none",) * 6 for cell in infeasible)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("3_00_003", "3_00_303", False),
        ("3_03_000", "0_00_000", True),  # nothing reaches the output
        ("3_20_013", "2_30_031", True),  # nodes 1 and 2 exchanged
        ("3_21_013", "2_31_031", False),  # but not across an edge between them
        ("3_00_100", "0_00_100", True),  # a dead edge
    ],
)
def test_functions_are_those_of_the_live_part(one: str, other: str, same: bool) -> None:
    cells = [MicroCell.from_string(f"64-41414-{text}") for text in (one, other)]
    assert (cells[0].function_key == cells[1].function_key) is same
    assert (cells[0].representative() == cells[1].representative()) is same


def count(text: str) -> int:
    with torch.device("meta"):
        network = MicroNetwork(MicroCell.from_string(f"64-41414-{text}"), SCENES)
    return sum(p.numel() for p in network.parameters())


def test_parameters_by_hand() -> None:
    stem = 27 * 32 + 2 * 32 + 9 * 32 * 64 + 2 * 64
    bare = stem + 513 * 47
    pairs = [(64, 128), (128, 128), (128, 256), (256, 256), (256, 512)]
    assert count("0_00_000") == bare
    # An edge from the input changes the channels in the first cell of a module, others never.
    assert count("0_00_300") == bare + sum(9 * a * b + 2 * b + 9 * b * b + 2 * b for a, b in pairs)
    assert count("0_00_002") == bare + sum(2 * (b * b + 2 * b) for _, b in pairs)
    assert count("0_00_100") == bare + sum(a * b + 2 * b for a, b in pairs[::2])


def test_a_cell_by_hand() -> None:
    network = MicroSpace().build(MicroCell.from_string("64-41414-1_20_031"), SCENES, 0).eval()
    cell, x = network.cells[0], torch.randn(2, 64, 6, 6)
    reduced = cell.edges[0]
    assert isinstance(reduced, FactorizedReduction)
    y = F.relu(x)
    shifted = F.pad(y, (0, 1, 0, 1))[:, :, 1:, 1:]
    halves = (
        F.conv2d(y, reduced.here.weight, stride=2),
        F.conv2d(shifted, reduced.beside.weight, stride=2),
    )
    one = reduced.norm(torch.cat(halves, 1))
    two = cell.edges[1].op[2](F.conv2d(y, cell.edges[1].op[1].weight, stride=2))
    three = cell.edges[4].op[2](F.conv2d(F.relu(one), cell.edges[4].op[1].weight, padding=1)) + two
    torch.testing.assert_close(cell(x), three)


@pytest.mark.parametrize(("side", "last"), [(224, 7), (64, 4), (32, 4), (33, 5)])
def test_maps_of_other_images_are_not_smaller(side: int, last: int) -> None:
    with torch.device("meta"):
        network = MicroNetwork(MicroCell.from_string("64-41414-1_02_333"), SCENES)
        task = SCENES._replace(height=side, width=side)
        network = MicroNetwork(MicroCell.from_string("64-41414-1_02_333"), task)
        maps = network.cells(network.stem(torch.zeros(1, 3, side, side)))
    assert maps.shape == (1, 512, last, last)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MicroCell.from_string("64-41414-1_02_33"), "no micro cell of TransNAS-Bench-101"),
        (lambda: MicroCell.from_string("64-41414-1_02_334"), "op_3_2: unknown operation '4'"),
        (lambda: MicroCell(("avg_pool_3x3",) * 6), "op_1_0: unknown operation 'avg_pool_3x3'"),
    ],
)
def test_what_is_no_cell_is_named(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ArchitectureError, match=message):
        make()


def test_draws_of_a_restricted_space() -> None:
    space = MicroSpace.of_choices({"op_1_0": ["skip_connect"]})
    assert space.size == 4**5
    drawn = space.sample(np.random.default_rng(0))
    assert drawn.ops[0] == "skip_connect"
