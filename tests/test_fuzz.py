"""Five thousand mutated files and texts; `python -m tests.fuzz` runs as many as are wanted."""

import pytest
from fuzz.__main__ import fuzz
from fuzz.targets import TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_whatever_is_read_is_accepted_or_refused_in_a_sentence(name: str) -> None:
    target = TARGETS[name]
    assert target.check(target.corpus()[0]), "what is not mutated is accepted"
    (counts,) = fuzz(5 * target.share, seed=1, only=name).values()
    assert counts[True] + counts[False] == 5 * target.share
    assert counts[False] > 0


def test_the_shares_are_of_a_thousand() -> None:
    assert sum(target.share for target in TARGETS.values()) == 1000
