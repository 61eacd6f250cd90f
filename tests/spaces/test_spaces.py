"""What works alike on every search space: reading, drawing samples, keys, notation, guards."""

import numpy as np
import pytest
from nasbench101_cells import CONV3, FIRST, POOL

from zc_search.benchmarks import open_benchmark
from zc_search.config import SPACE_KEYS, Config, config_to_toml, parse_config
from zc_search.errors import ArchitectureError, ScoresError
from zc_search.samplers import key_of, make_sampler
from zc_search.scoring.architectures import sample_space, whole_space
from zc_search.spaces import (
    AnySpace,
    Architecture,
    CellSpace,
    MicroCell,
    MicroSpace,
    MobileNet,
    MobileNetSpace,
    ModelSpec,
    ModelSpecSpace,
    SizeArchitecture,
    SizeSpace,
    compact,
    legend,
    make_space,
    read_architecture,
)
from zc_search.spaces.nasbench201.architecture import drawing_or_none

SPACES: list[AnySpace] = [
    CellSpace(),
    SizeSpace(),
    ModelSpecSpace(),
    MobileNetSpace(),
    MicroSpace(),
]
CELL = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|avg_pool_3x3~1|nor_conv_1x1~2|"


def configured(name: str) -> Config:
    return parse_config(
        f"[space]\nname = '{name}'\n[benchmark]\nname = 'none'\n[objectives]\nparams = 'minimize'"
    )


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
def test_a_space_is_found_by_its_name_and_holds_nothing_of_another(space: AnySpace) -> None:
    rng = np.random.default_rng(0)
    assert make_space(configured(space.name).space) == space
    for drawn in (space.sample(rng) for _ in range(20)):
        assert read_architecture(drawn.to_string()) == drawn
        assert not any(drawn in other for other in SPACES if other is not space)
    for name, distribution in space.distributions().items():
        assert distribution.choices == space.choices[name]


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
def test_a_configuration_has_the_keys_of_its_space(space: AnySpace) -> None:
    config = configured(space.name)
    text = config_to_toml(config)
    assert parse_config(text) == config
    others = {key for keys in SPACE_KEYS.values() for key in keys} - SPACE_KEYS[space.name].keys()
    assert not any(f"\n{key} = " in text.split("[data]")[0] for key in others)
    defaults = SPACE_KEYS[space.name].items()
    assert all((f"\n{key} = " in text) is (value is not None) for key, value in defaults)


@pytest.mark.parametrize(
    ("text", "kind"), [(CELL, Architecture), ("8:8:8:8:8", SizeArchitecture), ("1:", ModelSpec)]
)
def test_the_form_of_a_text_says_its_space(text: str, kind: type) -> None:
    assert type(read_architecture(text)) is kind


@pytest.mark.parametrize("text", ["", "foo", "8", "8,8,8", None, 3])
def test_what_has_no_form_is_told_of_all(text: object) -> None:
    such = r"such as \|.*, 24:32:48:64:64, 11\.1:conv3x3-bn-relu, mb32-.*, 64-41414-1_02_333 or {"
    with pytest.raises(ArchitectureError, match=such):
        read_architecture(text)  # type: ignore[arg-type]


def test_samples_are_distinct_and_a_larger_one_contains_a_smaller() -> None:
    for space in SPACES:
        many, few = sample_space(space, 40, seed=1), sample_space(space, 15, seed=1)
        assert many[:15] == few
        assert len(set(many)) == 40
    assert len({a.function_key for a in sample_space(ModelSpecSpace(), 40, 0)}) == 40
    assert whole_space(ModelSpecSpace()) is None
    assert len(whole_space(SizeSpace()) or ()) == 32_768
    with pytest.raises(
        ScoresError, match="a sample of 30: 7 different architectures were found in"
    ):
        sample_space(ModelSpecSpace(3), 30, 0)


def test_points_are_told_apart_by_function_and_infeasible_ones_are_one() -> None:
    space = ModelSpecSpace(4, (CONV3, POOL))
    key = key_of(space)
    cell = ModelSpec.from_string(f"110.01.1:{CONV3},{POOL}")
    turned = ModelSpec.from_string(f"110.01.1:{POOL},{CONV3}")
    assert key(space.parameters(cell)) == key(space.parameters(turned)) == cell.function_key
    assert key(space.parameters(ModelSpec.from_string("10.0:maxpool3x3"))) == ""
    wide = ModelSpecSpace(6)
    full = dict.fromkeys(wide.choices, 1) | {f"op_{v}": CONV3 for v in range(1, 5)}
    assert key_of(wide)(full) == ""  # 15 edges
    assert key_of(SizeSpace())(SizeSpace().parameters(SizeArchitecture((8,) * 5)))


@pytest.mark.parametrize("space", SPACES[1:], ids=lambda space: space.name)
def test_what_goes_by_structure_works_on_every_space(space: AnySpace) -> None:
    for name, options in (("predictor_guided", {}), ("regularized_evolution", {"warmup": 5})):
        assert make_sampler(name, options, 0, space=space)
    for name in ("local_search", "regularized_evolution", "nsgaii"):
        assert make_sampler(name, {}, 0, space=space, distinct=True)


def test_structures_are_those_counted_by_hand() -> None:
    cell = MicroCell.from_string("64-41414-1_02_333")
    # 0-3 by a 3x3; 0-1-3 by skip and 3x3; 0-2-3 is cut; 0-1-2-3 by skip, 1x1 and 3x3.
    found = MicroSpace().structure(cell)
    expected = {"paths": 3, "fewest operations on a path": 1, "most operations on a path": 3}
    expected |= {"live skip_connect": 1, "live nor_conv_1x1": 1, "live nor_conv_3x3": 3}
    expected |= {"fewest nor_conv_3x3 on a path": 1, "most nor_conv_3x3 on a path": 1}
    expected |= {"fewest skip_connect on a path": 0, "most nor_conv_1x1 on a path": 1}
    assert found.items() >= expected.items()
    placed = {name for name, there in MicroSpace().live_operations(cell).items() if there}
    expected = {"skip_connect on 1<-0", "nor_conv_1x1 on 2<-1", "nor_conv_3x3 on 3<-0"}
    assert placed == {*expected, "nor_conv_3x3 on 3<-1", "nor_conv_3x3 on 3<-2"}
    dead = MicroSpace().structure(MicroCell(("none",) * 6))
    assert not any(dead.values())
    sizes = SizeSpace().structure(SizeArchitecture((8, 16, 24, 32, 40)))
    assert sizes["stage_2 x stage_3"] == 384
    assert sizes["sum of squares"] == 64 + 256 + 576 + 1024 + 1600
    mobile = MobileNetSpace().structure(MobileNet.published())
    assert (mobile["blocks"], mobile["mean kernel"], mobile["blocks with se"]) == (17, 3, 0)
    assert mobile["hidden_2"] == 2 * 24 * 6


def test_notations_are_short_and_explained() -> None:
    spec = "110.01.1:conv3x3-bn-relu,maxpool3x3"
    assert [compact(text) for text in (CELL, "8:16:8:8:64", spec, "1:", "what")] == [
        *("3|-s|-p1", "8:16:8:8:64", "3/0|p/0|/12", "/0", "what"),
    ]
    assert len(compact(str(FIRST))) <= 25
    assert compact("110.00.1:maxpool3x3,conv1x1-bn-relu") == "1/0|/1"  # without the dead vertex
    assert [legend([text])[:20] for text in (CELL, "8:16:8:8:64", spec)] == [
        *("cell: edges into nod", "cell: channels of th", "cell: operation/sour"),
    ]
    assert drawing_or_none(CELL) is not None
    assert drawing_or_none("8:8:8:8:8") is drawing_or_none(spec) is drawing_or_none("") is None


def test_a_benchmark_says_what_it_holds() -> None:
    benchmark = open_benchmark()
    assert CELL in benchmark
    assert Architecture.from_string(CELL) in benchmark
    assert SizeArchitecture((8,) * 5) not in benchmark
    assert FIRST not in benchmark
    with pytest.raises(ArchitectureError, match="not an architecture string: '8:8:8:8:8'"):
        benchmark.query(SizeArchitecture((8,) * 5))
