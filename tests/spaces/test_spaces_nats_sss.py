"""The size space of NATS-Bench: its architectures, their texts and numbers, and their moves."""

from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zc_search.errors import ArchitectureError
from zc_search.spaces import SizeArchitecture, SizeSpace, read_architecture
from zc_search.spaces.nats_sss.architecture import CHANNELS, STAGES

sizes = st.tuples(*[st.sampled_from(CHANNELS)] * 5).map(SizeArchitecture)


@given(sizes)
def test_text_number_and_parameters_lead_back(size: SizeArchitecture) -> None:
    assert SizeArchitecture.from_string(str(size)) == size
    assert read_architecture(f" {size}\n") == size
    assert SizeArchitecture.from_index(size.index) == size
    space = SizeSpace()
    assert space.architecture(space.parameters(size)) == size
    assert size.representative() is size
    assert size.infeasible is None


@pytest.mark.parametrize(
    ("index", "text"),  # of the benchmark's own list meta_archs
    [
        *((0, "8:8:8:8:8"), (1, "8:8:8:8:16"), (8, "8:8:8:16:8"), (11, "8:8:8:16:32")),
        *((284, "8:8:40:32:40"), (32_767, "64:64:64:64:64")),
    ],
)
def test_numbers_are_the_benchmarks(index: int, text: str) -> None:
    assert str(SizeArchitecture.from_index(index)) == text


def test_functions_differ_and_are_told_from_texts() -> None:
    keys = {size.function_key for size in SizeSpace()}
    assert len(keys) == len(SizeSpace()) == SizeSpace().size == 32_768
    assert not keys & {str(size) for size in SizeSpace()}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SizeArchitecture((8,) * 4), "has 5 numbers of channels, such as 24:32:48:64:64"),
        (lambda: SizeArchitecture((8, 8, 12, 8, 8)), "stage_3: unknown number of channels 12;"),
        (lambda: SizeArchitecture.from_string("8:8:8"), "has 5 numbers of channels"),
        (lambda: SizeArchitecture.from_string("\x1e0:0"), "has 5 numbers of channels"),
        (lambda: SizeArchitecture.from_string("8:8:8:8:٨"), "not an architecture of the size spac"),
        (lambda: SizeArchitecture.from_string("8,8,8,8,8"), "not an architecture of the size spac"),
        (lambda: read_architecture("8:8:8:8:72"), "stage_5: unknown number of channels 72;"),
        (lambda: SizeArchitecture.from_index(32_768), "index 32768 is not in 0 to 32767"),
        (lambda: SizeArchitecture.from_index(True), "index True is not in"),
        (lambda: SizeSpace({"stage_0": (8,)}), "unknown stage 'stage_0'; did you mean 'stage_"),
        (lambda: SizeSpace({"stage_1": (8,)}), "nothing given for stage_2, stage_3"),
        (
            lambda: SizeSpace(dict.fromkeys(STAGES, ())),
            r"stage_1: \(\) is given",
        ),
        (lambda: SizeSpace(dict.fromkeys(STAGES, (8, 9))), "stage_1: unknown choice 9"),
        (lambda: SizeSpace(dict.fromkeys(STAGES, (8, 8))), r"stage_1: \(8, 8\) is given"),
        (lambda: SizeSpace().architecture({"stage_1": 8}), "nothing given for stage_2"),
    ],
)
def test_what_is_no_architecture_is_named(make: object, message: str) -> None:
    with pytest.raises(ArchitectureError, match=message):
        make()  # type: ignore[operator]


SMALL = SizeSpace({stage: CHANNELS[: place + 1] for place, stage in enumerate(STAGES)})


def test_a_restricted_space_lists_and_draws_its_own() -> None:
    listed = list(SMALL)
    assert len(listed) == len(SMALL) == prod(range(1, 6)) == len(set(listed))
    rng = np.random.default_rng(0)
    assert {SMALL.sample(rng) for _ in range(2000)} == set(listed)
    outside = SizeArchitecture((16, 8, 8, 8, 8))
    assert outside not in SMALL
    assert "8:8:8:8:8" not in SMALL
    with pytest.raises(ArchitectureError, match="16:8:8:8:8 is outside the search space"):
        SMALL.parameters(outside)


def test_neighbours_differ_in_one_stage() -> None:
    here = SizeArchitecture((8, 16, 24, 8, 8))
    found = list(SMALL.neighbours(here))
    assert len(found) == len(set(found)) == 0 + 1 + 2 + 3 + 4
    for other in found:
        assert other in SMALL
        assert sum(a != b for a, b in zip(here.channels, other.channels, strict=True)) == 1
