"""The NAS-Bench-101 cell as a value, as published, and its network."""

import json
from itertools import permutations

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from nasbench101_cells import ANSWERED, CONV1, CONV3, FIRST, INCEPTION, POOL
from torch import nn

from zc_search.errors import ArchitectureError, DataError
from zc_search.images.datasets import Task
from zc_search.proxies import PROXIES, Probe
from zc_search.scoring.architectures import score_architectures
from zc_search.spaces import ModelSpec, ModelSpecSpace, read_architecture
from zc_search.spaces.nasbench101.architecture import VERTEX_OPERATIONS
from zc_search.spaces.nasbench101.network import SpecCell, SpecNetwork, vertex_channels
from zc_search.spaces.network import build_network


@st.composite
def specs(draw: st.DrawFn, most: int = 7) -> ModelSpec:
    size = draw(st.integers(2, most))
    bits = st.integers(0, 1)
    matrix = tuple(tuple(draw(bits) if s < t else 0 for t in range(size)) for s in range(size))
    inner = draw(st.lists(st.sampled_from(VERTEX_OPERATIONS), min_size=size - 2, max_size=size - 2))
    return ModelSpec(matrix, ("input", *inner, "output"))


def graph(spec: ModelSpec) -> nx.DiGraph:
    made = nx.DiGraph()
    made.add_nodes_from((v, {"op": op}) for v, op in enumerate(spec.ops))
    made.add_edges_from(
        (s, t) for s, row in enumerate(spec.matrix) for t, edge in enumerate(row) if edge
    )
    return made


# As published ---------------------------------------------------------------------------------


def test_the_hash_is_the_published_one() -> None:
    assert FIRST.function_key == "00005c142e6f48ac74fdcf73e3439874"


def test_the_representative_is_the_cell_that_was_trained() -> None:
    assert FIRST.representative() == FIRST
    assert INCEPTION.representative() == ANSWERED
    assert INCEPTION.function_key == ANSWERED.function_key


@pytest.mark.parametrize(("vertices", "cells"), [(2, 1), (3, 7), (4, 91), (5, 2_532)])
def test_there_are_as_many_cells_as_the_authors_counted(vertices: int, cells: int) -> None:
    """Of the 423,624 published ones 1, 6, 84 and 2,441 have 2, 3, 4 and 5 vertices."""
    found = set()
    for size in range(2, vertices + 1):
        pairs = [(s, t) for t in range(size) for s in range(t)]
        for bits in range(2 ** len(pairs)):
            matrix = [[0] * size for _ in range(size)]
            for place, (s, t) in enumerate(pairs):
                matrix[s][t] = bits >> place & 1
            plain = ModelSpec(matrix, ("input", *[CONV3] * (size - 2), "output"))
            if plain.pruned is not plain or plain.infeasible:
                continue
            for number in range(3 ** (size - 2)):
                ops = [VERTEX_OPERATIONS[number // 3**v % 3] for v in range(size - 2)]
                found.add(ModelSpec(matrix, ("input", *ops, "output")).function_key)
    assert len(found) == cells


# Functions ------------------------------------------------------------------------------------


@given(specs(5), specs(5))
def test_equal_hashes_are_isomorphic_graphs(one: ModelSpec, other: ModelSpec) -> None:
    if one.pruned is None or other.pruned is None:
        assert (one.function_key == other.function_key) == (one.pruned is other.pruned)
        return
    same = nx.is_isomorphic(
        graph(one.pruned), graph(other.pruned), node_match=lambda a, b: a["op"] == b["op"]
    )
    assert (one.function_key == other.function_key) == same
    assert (one.representative() == other.representative()) == same


@given(specs())
def test_pruning_keeps_what_lies_between_input_and_output(spec: ModelSpec) -> None:
    whole, last = graph(spec), len(spec.ops) - 1
    live = (nx.descendants(whole, 0) | {0}) & (nx.ancestors(whole, last) | {last})
    if not nx.has_path(whole, 0, last):
        assert spec.pruned is None
        assert spec.infeasible == "the input does not reach the output"
        assert spec.function_key == ""
        assert spec.representative() is spec
        return
    assert spec.pruned is not None
    assert spec.pruned.ops == tuple(spec.ops[v] for v in sorted(live))
    assert spec.pruned.edges == whole.subgraph(live).number_of_edges()
    assert (spec.infeasible is None) == (spec.pruned.edges <= 9)


@given(specs(), st.randoms())
def test_the_order_of_the_vertices_does_not_matter(spec: ModelSpec, random: object) -> None:
    orders = [(0, *order, len(spec.ops) - 1) for order in permutations(range(1, len(spec.ops) - 1))]
    order = random.choice(orders)  # type: ignore[attr-defined]
    matrix = [[spec.matrix[s][t] for t in order] for s in order]
    if any(matrix[s][t] for s in range(len(order)) for t in range(s)):
        return
    moved = ModelSpec(matrix, tuple(spec.ops[v] for v in order))
    assert moved.function_key == spec.function_key
    if spec.pruned is not None:
        assert moved.representative() == spec.representative()


def test_too_many_edges_are_infeasible() -> None:
    full = ModelSpec(
        [[int(s < t) for t in range(5)] for s in range(5)], ("input", *[CONV3] * 3, "output")
    )
    assert full.infeasible == "10 edges, at most 9 are allowed"


# Texts ----------------------------------------------------------------------------------------


@given(specs())
def test_texts_lead_back(spec: ModelSpec) -> None:
    assert ModelSpec.from_string(str(spec)) == read_architecture(str(spec)) == spec
    for matrix, ops in (("matrix", "ops"), ("module_adjacency", "module_operations")):
        text = json.dumps({matrix: spec.matrix, ops: spec.ops})
        assert read_architecture(text) == spec
    assert ModelSpec(np.array(spec.matrix), list(spec.ops)) == spec  # type: ignore[arg-type]


@given(specs(), specs())
def test_numbers_tell_cells_apart(one: ModelSpec, other: ModelSpec) -> None:
    assert (one.index == other.index) == (one == other)


def test_a_text_is_short_and_can_be_read() -> None:
    assert str(FIRST) == f"100110.10000.1001.010.10.1:{CONV3},{POOL},{CONV3},{CONV3},{CONV1}"
    assert str(ModelSpec([[0, 1], [0, 0]], ("input", "output"))) == "1:"


@given(st.text(max_size=30) | st.from_regex(r"[01.]{1,9}:[a-z0-9,-]{0,30}", fullmatch=True))
def test_other_texts_are_refused(text: str) -> None:
    try:
        spec = ModelSpec.from_string(text)
    except ArchitectureError:
        return
    assert ModelSpec.from_string(str(spec)) == spec


ENDS = ("input", "output")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ModelSpec([[0]], ("input",)), "Allowed: a square matrix of 2 to 7 rows"),
        (lambda: ModelSpec([[0, 1]], ENDS), "a square matrix"),
        (lambda: ModelSpec([[0] * 8] * 8, ("input",) * 8), "a square matrix of 2 to 7 rows"),
        (lambda: ModelSpec("01", ENDS), "matrix: '01' is given"),
        (lambda: ModelSpec([[0, 2], [0, 0]], ENDS), "zeros and ones"),
        (lambda: ModelSpec([[0, "1"], [0, 0]], ENDS), "zeros and ones"),
        (lambda: ModelSpec([[0, 1], [1, 0]], ENDS), "every edge goes to a later vertex"),
        (
            lambda: ModelSpec([[0, 1], [0, 0]], ("input",)),
            "2 names, as many as the matrix has rows",
        ),
        (lambda: ModelSpec([[0, 1], [0, 0]], "io"), "ops: 'io' is given"),
        (
            lambda: ModelSpec([[0, 1], [0, 0]], ("in", "output")),
            "the first input and the last output",
        ),
        (
            lambda: ModelSpec([[0] * 3] * 3, ("input", "conv3x3", "output")),
            r"ops\[1\]: unknown operation 'conv3x3'; did you mean 'conv3x3-bn-relu'",
        ),
        (
            lambda: ModelSpec.from_string("11.11:maxpool3x3"),
            "the rows of a cell of 3 vertices have",
        ),
        (lambda: ModelSpec.from_string("nothing"), "not a cell of NAS-Bench-101: 'nothing'; such"),
        (lambda: ModelSpec.from_string('{"matrix": 3}'), "not a cell of NAS-Bench-101"),
        (lambda: ModelSpec.from_string('{"matrix": 3, "ops": 4}'), "matrix: 3 is given"),
        (lambda: ModelSpec.from_string("[" * 100_000), "not a cell of NAS-Bench-101"),
        (lambda: ModelSpecSpace(vertices=8), "vertices: 8; Allowed: 2 to 7"),
        (lambda: ModelSpecSpace(operations=()), r"operations: \(\) is given; Allowed: one or more"),
        (lambda: ModelSpecSpace(operations=("conv",)), "operations: unknown choice 'conv'"),
        (lambda: ModelSpecSpace().architecture({"edge_0_1": 1}), "nothing given for edge_0_2"),
    ],
)
def test_what_is_no_cell_is_named(make: object, message: str) -> None:
    with pytest.raises(ArchitectureError, match=message):
        make()  # type: ignore[operator]


# The space ------------------------------------------------------------------------------------

SPACE = ModelSpecSpace()


@given(specs())
def test_parameters_name_the_same_function(spec: ModelSpec) -> None:
    named = SPACE.architecture(SPACE.parameters(spec))
    assert len(named.ops) == 7
    assert named.function_key == spec.function_key
    if len(spec.ops) == 7:
        assert named == spec


def test_draws_are_feasible_and_repeat_with_their_seed() -> None:
    drawn = [SPACE.sample(np.random.default_rng(seed)) for seed in range(200)]
    assert drawn == [SPACE.sample(np.random.default_rng(seed)) for seed in range(200)]
    assert all(spec.infeasible is None and spec in SPACE for spec in drawn)


def test_neighbours_are_one_step_away_and_compute_something_else() -> None:
    here = SPACE.parameters(FIRST)
    found = list(SPACE.neighbours(FIRST))
    keys = {spec.function_key for spec in found}
    assert len(keys) == len(found)
    assert FIRST.function_key not in keys
    for spec in found:
        there = SPACE.parameters(spec)
        assert spec.infeasible is None
        assert sum(there[name] != here[name] for name in here) == 1
    # Nine edges: none can be added, and each vertex has two other operations.
    assert sum(spec.ops != FIRST.ops for spec in found) == 10


def test_a_restricted_space_has_its_own() -> None:
    space = ModelSpecSpace(4, (CONV3, POOL))
    assert list(space.choices) == [
        *("edge_0_1", "edge_0_2", "edge_0_3", "edge_1_2", "edge_1_3", "edge_2_3"),
        *("op_1", "op_2"),
    ]
    assert (space.size, SPACE.size) == (None, 423_624)
    rng = np.random.default_rng(0)
    assert all(space.sample(rng) in space for _ in range(50))
    assert FIRST not in space
    assert ModelSpec([[0] * 3] * 3, ("input", CONV1, "output")) not in space
    with pytest.raises(ArchitectureError, match="is outside the search space"):
        space.parameters(FIRST)


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


def test_a_matrix_may_be_of_truth_values() -> None:
    matrix = np.array([[0, 1], [0, 0]])
    ops = ("input", "output")
    assert ModelSpec(matrix.astype(bool), ops) == ModelSpec(matrix, ops)


@given(specs(6))
def test_structure_is_what_networkx_counts(spec: ModelSpec) -> None:
    found, whole = ModelSpecSpace().structure(spec), graph(spec)
    paths = [*nx.all_simple_paths(whole, 0, len(spec.ops) - 1)]
    assert found["paths"] == len(paths)
    inner = [[spec.ops[v] for v in path[1:-1]] for path in paths]
    assert found["most operations on a path"] == max(map(len, inner), default=0)
    for operation in VERTEX_OPERATIONS:
        counts = [ops.count(operation) for ops in inner]
        assert found[f"fewest {operation} on a path"] == min(counts, default=0)
        assert found[f"most {operation} on a path"] == max(counts, default=0)
    live = whole.subgraph({v for path in paths for v in path})
    assert found["edges"] == live.number_of_edges()
    assert found["vertices"] == live.number_of_nodes()
    if paths:
        assert found["into the output"] == live.in_degree(len(spec.ops) - 1)
        assert found["out of the input"] == live.out_degree(0)
    assert ModelSpecSpace().structure(spec.representative()) == found
