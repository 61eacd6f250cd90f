"""The cell as a value: notations, counts of different cells, and the space of a search."""

import re
from collections import Counter, defaultdict
from itertools import islice, product

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from zc_search.errors import ArchitectureError
from zc_search.spaces import (
    EDGES,
    OPERATIONS,
    PARAMETERS,
    Architecture,
    CellSpace,
    all_architectures,
)
from zc_search.spaces.nasbench201.architecture import function_form, live_edges, pruned_form

EVERYTHING = dict.fromkeys(PARAMETERS, OPERATIONS)

architectures = st.integers(0, 15_624).map(Architecture.from_index)


def cell(*ops: str) -> Architecture:
    """Write operations as 0 (none), s (skip), 1 and 3 (convolutions) and p (pooling)."""
    short = dict(zip("0s13p", OPERATIONS, strict=True))
    return Architecture(tuple(short[op] for op in ops))


# Notations ------------------------------------------------------------------------------------


def test_the_string_names_sources_in_the_order_of_the_edges() -> None:
    text = "|skip_connect~0|+|none~0|nor_conv_1x1~1|+|nor_conv_3x3~0|avg_pool_3x3~1|none~2|"
    architecture = cell("s", "0", "1", "3", "p", "0")
    assert architecture.to_string() == str(architecture) == text
    assert Architecture.from_string(f"  {text}\n") == architecture
    assert EDGES == ((1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2))
    assert PARAMETERS == ("op_1_0", "op_2_0", "op_2_1", "op_3_0", "op_3_1", "op_3_2")


@given(architectures)
def test_every_notation_round_trips(architecture: Architecture) -> None:
    assert Architecture.from_string(architecture.to_string()) == architecture
    assert Architecture.from_index(architecture.index) == architecture
    assert CellSpace().architecture(CellSpace().parameters(architecture)) == architecture


@given(st.lists(st.sampled_from(OPERATIONS), min_size=6, max_size=6))
def test_an_architecture_is_a_value(ops: list[str]) -> None:
    from_list, from_tuple = Architecture(ops), Architecture(tuple(ops))
    assert from_list == from_tuple
    assert hash(from_list) == hash(from_tuple)
    assert from_list.ops == tuple(ops)
    with pytest.raises(AttributeError, match="cannot assign to field 'ops'"):
        from_list.ops = ()


def test_the_index_is_the_operations_read_as_a_number_in_base_five() -> None:
    assert cell(*"000000").index == 0
    assert cell(*"00000s").index == 1
    assert cell(*"s00000").index == 5**5
    assert cell(*"0s13p0").index == 1 * 5**4 + 2 * 5**3 + 3 * 5**2 + 4 * 5
    assert cell(*"pppppp").index == 15_624
    assert [a.index for a in islice(all_architectures(), 300)] == list(range(300))
    assert len(set(all_architectures())) == 15_625


# By hand: MASE keeps the order of the string and numbers none, skip, 3x3, 1x1, pool. NASLib numbers
# skip, none, 3x3, 1x1, pool, and lists edges by source: the second pair of places 2 and 3 swap.
@pytest.mark.parametrize(
    ("ops", "mase", "naslib"),
    [
        ("000000", (0, 0, 0, 0, 0, 0), (1, 1, 1, 1, 1, 1)),
        ("ssssss", (1, 1, 1, 1, 1, 1), (0, 0, 0, 0, 0, 0)),
        ("0s13p3", (0, 1, 3, 2, 4, 2), (1, 0, 2, 3, 4, 2)),
        ("31ps03", (2, 3, 4, 1, 0, 2), (2, 3, 0, 4, 1, 2)),
    ],
)
def test_the_codes_of_other_tools(ops: str, mase: tuple[int, ...], naslib: tuple[int, ...]) -> None:
    assert Architecture.from_codes(list(mase), "mase") == cell(*ops)
    assert Architecture.from_codes(naslib, "naslib") == cell(*ops)


@pytest.mark.parametrize(
    ("build", "key", "given", "says"),
    [
        (lambda: Architecture(("none",) * 5), None, ("none",) * 5, "6 values (op_1_0"),
        (lambda: Architecture("nnnnnn"), None, "nnnnnn", "has 6 values"),
        (lambda: Architecture(None), None, None, "has 6 values"),
        (
            lambda: Architecture(("none", "none", "conv_3x3", "none", "none", "none")),
            *("op_2_1", "conv_3x3", "did you mean 'nor_conv_3x3'"),
        ),
        (lambda: Architecture((3, 3, 3, 3, 3, 3)), "op_1_0", 3, "unknown operation 3"),
        (lambda: Architecture.from_string("|none~0|"), None, "|none~0|", "such as |nor_conv_3x3~0"),
        (lambda: Architecture.from_string(None), None, None, "such as |nor_conv_3x3~0|"),
        (
            lambda: Architecture.from_string(
                "|none~0|+|none~0|none~1|+|none~0|none~1|Skip_Connect~2|"
            ),
            *("op_3_2", "Skip_Connect", "did you mean 'skip_connect'"),
        ),
        (lambda: Architecture.from_index(15_625), None, 15_625, "not in 0 to 15624"),
        (lambda: Architecture.from_index(-1), None, -1, "not in 0 to 15624"),
        (lambda: Architecture.from_index(1.0), None, 1.0, "not in 0 to 15624"),
        (lambda: Architecture.from_codes(range(5), "mase"), None, (0, 1, 2, 3, 4), "2 nor_conv_3"),
        (
            lambda: Architecture.from_codes((0,) * 5 + (5,), "naslib"),
            *(None, (0,) * 5 + (5,), "0 skip_connect"),
        ),
        (lambda: Architecture.from_codes("012340"), None, tuple("012340"), "six integers"),
    ],
)
def test_what_is_no_architecture_is_refused(build, key, given, says: str) -> None:
    with pytest.raises(ArchitectureError, match=re.escape(says)) as error:
        build()
    assert (error.value.key, error.value.given) == (key, given)


@given(st.text(max_size=40))
def test_no_text_fails_in_another_way(text: str) -> None:
    try:
        architecture = Architecture.from_string(text)
    except ArchitectureError:
        return
    assert architecture.to_string() == text.strip()


# How many different cells -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def everything() -> list[Architecture]:
    return list(all_architectures())


def test_how_many_cells_differ(everything: list[Architecture]) -> None:
    assert len({pruned_form(a.ops) for a in everything}) == 4_930
    assert len({a.canonical() for a in everything}) == 4_930
    assert len({a.function_key for a in everything}) == 5_044
    assert len({a.representative() for a in everything}) == 5_044


def test_forms_written_out() -> None:
    assert pruned_form(cell(*"s0s10s").ops) == "nor_conv_1x1(x)+x"
    assert pruned_form(cell(*"3pss03").ops) == "nor_conv_3x3(avg_pool_3x3(x)+nor_conv_3x3(x))+x"
    assert pruned_form(cell(*"333000").ops) == ""


def test_a_convolution_used_twice_is_told_from_two_convolutions() -> None:
    # Node 1 is c(x) in both; the output adds it to itself, or to another convolution of x.
    once, twice = cell(*"30s0ss"), cell(*"3003s0")
    assert pruned_form(once.ops) == pruned_form(twice.ops) == "nor_conv_3x3(x)+nor_conv_3x3(x)"
    assert once.canonical() == twice.canonical()
    assert once.function_key == "nor_conv_3x3(x)+nor_conv_3x3(x)"
    assert twice.function_key == "nor_conv_3x3#0(x)+nor_conv_3x3#1(x)"
    left, *unused, right = function_form(twice.ops).convolutions[:4]
    assert {left, right} == {"nor_conv_3x3#0(x)", "nor_conv_3x3#1(x)"}
    assert unused == [None, None]


def test_pooling_is_distributed_over_sums() -> None:
    pooled_sum, sum_of_pooled = cell(*"3ss00p"), cell(*"300pp0")
    assert pooled_sum.function_key == "avg_pool_3x3(nor_conv_3x3(x))+avg_pool_3x3(x)"
    assert sum_of_pooled.function_key == pooled_sum.function_key
    assert pruned_form(sum_of_pooled.ops) != pruned_form(pooled_sum.ops)


def test_function_keys_refine_the_canonical_form_up_to_pooling(
    everything: list[Architecture],
) -> None:
    keys_without_pooling = defaultdict(set)
    for a in everything:
        if "avg_pool_3x3" not in a.ops:
            keys_without_pooling[a.function_key].add(pruned_form(a.ops))
    assert set(map(len, keys_without_pooling.values())) == {1}


@given(architectures)
def test_canonical_is_idempotent_and_least(architecture: Architecture) -> None:
    canonical = architecture.canonical()
    assert canonical.canonical() == canonical
    assert canonical.index <= architecture.index
    assert pruned_form(canonical.ops) == pruned_form(architecture.ops)


def test_representatives_are_least_and_have_no_dead_edge(everything: list[Architecture]) -> None:
    least: dict[str, Architecture] = {}
    for a in everything:
        least.setdefault(a.function_key, a)
    for a in everything:
        assert a.representative() == least[a.function_key]
    for a in least.values():
        # An edge is dead if removing it changes nothing.
        for edge, op in enumerate(a.ops):
            without = Architecture((*a.ops[:edge], "none", *a.ops[edge + 1 :]))
            assert op == "none" or without.function_key != a.function_key


@given(architectures)
def test_a_cell_reaches_its_output_if_a_path_has_no_none(architecture: Architecture) -> None:
    alive = dict(zip(EDGES, (op != "none" for op in architecture.ops), strict=True))
    paths = [[(3, 0)], [(1, 0), (3, 1)], [(2, 0), (3, 2)], [(1, 0), (2, 1), (3, 2)]]
    live = {edge for path in paths if all(map(alive.get, path)) for edge in path}
    assert architecture.reaches_output == bool(live)
    assert {EDGES[edge] for edge in live_edges(architecture.ops)} == live
    assert set(live_edges(architecture.ops)) <= set(live_edges(architecture.ops, trained=True))


@given(architectures)
def test_live_convolutions_are_named_and_dead_ones_are_not(architecture: Architecture) -> None:
    names = architecture.form.convolutions
    for op, name in zip(architecture.ops, names, strict=True):
        assert name is None or name.startswith(op)
        assert name is None or name in architecture.function_key
    assert max(Counter(filter(None, names)).values(), default=1) == 1


# The space of a search --------------------------------------------------------------------------


def test_the_default_space_is_the_whole_benchmark() -> None:
    space = CellSpace()
    assert space.name == "nasbench201"
    assert len(space) == 15_625
    assert list(islice(space, 100)) == list(islice(all_architectures(), 100))
    assert space.choices == EVERYTHING
    assert space == CellSpace(EVERYTHING)


operations = st.lists(st.sampled_from(OPERATIONS), min_size=1, max_size=3, unique=True)
spaces = st.fixed_dictionaries(dict.fromkeys(PARAMETERS, operations.map(tuple))).map(CellSpace)


@given(spaces)
def test_a_space_holds_the_product_of_its_choices(space: CellSpace) -> None:
    assert len(space) == np.prod([len(allowed) for allowed in space.choices.values()])
    cells = list(islice(space, 50))
    assert len(cells) == min(50, len(space))
    assert len(set(cells)) == len(cells)
    assert all(a in space for a in cells)


@given(spaces, architectures)
def test_membership_is_edge_by_edge(space: CellSpace, architecture: Architecture) -> None:
    named = zip(PARAMETERS, architecture.ops, strict=True)
    assert (architecture in space) == all(op in space.choices[edge] for edge, op in named)


@given(spaces, st.integers(0, 2**32))
def test_samples_are_seeded_and_inside(space: CellSpace, seed: int) -> None:
    first, second = np.random.default_rng(seed), np.random.default_rng(seed)
    drawn = [space.sample(first) for _ in range(5)]
    assert drawn == [space.sample(second) for _ in range(5)]
    assert all(a in space for a in drawn)


def test_samples_are_uniform() -> None:
    space = CellSpace(EVERYTHING | {"op_3_2": ("none", "avg_pool_3x3")})
    rng = np.random.default_rng(0)
    counts = Counter((a.ops[0], a.ops[5]) for a in (space.sample(rng) for _ in range(4_000)))
    assert set(counts) == set(product(OPERATIONS, ("none", "avg_pool_3x3")))
    assert max(abs(n - 400) for n in counts.values()) < 80  # four standard deviations


@given(spaces, st.integers(0, 2**32))
def test_neighbours_are_all_cells_one_operation_away(space: CellSpace, seed: int) -> None:
    assume(len(space) < 200)
    architecture = space.sample(np.random.default_rng(seed))

    def distance(other: Architecture) -> int:
        return sum(a != b for a, b in zip(architecture.ops, other.ops, strict=True))

    neighbours = list(space.neighbours(architecture))
    assert Counter(neighbours) == Counter(a for a in space if distance(a) == 1)


def test_the_whole_space_has_24_neighbours_a_cell() -> None:
    assert len(set(CellSpace().neighbours(Architecture.from_index(7_777)))) == 24


def test_edges_are_kept_in_order_and_choices_in_the_users() -> None:
    shuffled = {edge: ["avg_pool_3x3", "none"] for edge in reversed(PARAMETERS)}
    space = CellSpace(shuffled)
    assert list(space.choices) == list(PARAMETERS)
    assert next(iter(space)) == cell(*"pppppp")
    assert space.parameters(cell(*"0ppppp")) == {
        "op_1_0": "none",
        **dict.fromkeys(PARAMETERS[1:], "avg_pool_3x3"),
    }


def test_parameters_of_a_cell_outside_the_space_are_refused() -> None:
    space = CellSpace(EVERYTHING | {"op_1_0": ("none",)})
    message = "|skip_connect~0|+|none~0|none~1|+|none~0|none~1|none~2| is outside the search space"
    with pytest.raises(ArchitectureError, match=f"^{re.escape(message)}$"):
        space.parameters(cell(*"s00000"))


@pytest.mark.parametrize(
    ("choices", "key", "says"),
    [
        (EVERYTHING | {"op_3_3": ("none",)}, None, "edge 'op_3_3'; did you mean 'op_3_2'"),
        (EVERYTHING | {"op_2_1": ()}, "op_2_1", "one or more of none, skip_connect"),
        (EVERYTHING | {"op_2_1": ("none", "none")}, "op_2_1", "each once"),
        (EVERYTHING | {"op_3_0": ("none", "skip_conect")}, "op_3_0", "did you mean 'skip_connect'"),
    ],
)
def test_wrong_choices_are_refused(choices, key: str | None, says: str) -> None:
    with pytest.raises(ArchitectureError, match=says) as error:
        CellSpace(choices)
    assert error.value.key == key
