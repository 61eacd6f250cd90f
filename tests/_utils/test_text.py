"""Counts and amounts read as a person would write them."""

import pytest

from zc_search._utils.text import amount, counted


@pytest.mark.parametrize(
    ("count", "noun", "text"),
    [
        (1, "architecture", "1 architecture"),
        (0, "trial", "0 trials"),
        (1873, "accuracy", "1,873 accuracies"),
        (1, "accuracy", "1 accuracy"),
        (2, "class", "2 classes"),
        (2, "proxy", "2 proxies"),
    ],
)
def test_counts(count: int, noun: str, text: str) -> None:
    assert counted(count, noun) == text


@pytest.mark.parametrize(
    ("value", "text"), [(1e8, "100M"), (8e5, "0.8M"), (5e3, "5k"), (20, "20"), (1.5e9, "1.5G")]
)
def test_amounts_are_written_as_in_a_search_file(value: float, text: str) -> None:
    assert amount(value) == text
