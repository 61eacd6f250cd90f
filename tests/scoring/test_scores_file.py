"""Scores as a value: plain tables, which say nothing of themselves but numbers of architectures."""

import json
from pathlib import Path

import pandas as pd
import pytest

from zc_search.errors import ScoresError
from zc_search.scoring.scores_file import ScoresTable, load_scores
from zc_search.spaces import Architecture

CELLS = [Architecture.from_index(index) for index in (5000, 5001, 7000, 0)]


@pytest.fixture(params=[".csv", ".json"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A table of two proxies, one of which is a cost, an accuracy and a text."""
    table = pd.DataFrame(
        {
            "architecture": [str(cell) for cell in CELLS],
            "snip": [0.1, 1 / 3, 2.5, 1e-17],
            "params": [3, 2, 1, 0],
            "val_accuracy": [90.0, 91.0, 92.0, 10.0],
            "number": [0, 1, 2, 3],
            "remark": ["a", "b", "c", "d"],
        }
    )
    path = tmp_path / f"scores{request.param}"
    if path.suffix == ".csv":
        table.to_csv(path, index=False)
    else:
        path.write_text(json.dumps(table.to_dict("records")))
    return path


def test_a_plain_table_is_read(path: Path) -> None:
    scores = ScoresTable.read(path)
    assert scores.path == path
    assert not scores.is_run
    assert scores.proxies == ("snip", "params")
    assert scores.directions == {"snip": "maximize"}  # what costs more is not for that worse
    assert scores.table["snip"].tolist() == [0.1, 1 / 3, 2.5, 1e-17]
    assert scores.table["function_key"].tolist() == [cell.function_key for cell in CELLS]
    assert scores.table["feasible"].tolist() == [cell.function_key != "" for cell in CELLS]
    assert scores.config.dataset == "cifar10"
    assert scores.config.space.name == "nasbench201"
    assert (scores.settings, scores.definitions) == ({}, None)


def test_what_a_plain_table_says_is_kept(path: Path) -> None:
    table = ScoresTable.read(path).table
    table = table.assign(function_key=["a", "b", None, ""], feasible=[True, False, True, True])
    given = path.with_name("given.csv")
    table.drop(columns="feasible").to_csv(given, index=False)
    assert ScoresTable.read(given).table["feasible"].tolist() == [True, True, False, False]
    table.to_csv(given, index=False)
    assert ScoresTable.read(given).table["feasible"].tolist() == [True, False, True, True]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "cell,snip\nx,1\n"),
        ("a.csv", "architecture,snip\nno cell,1\n"),
        ("a.csv", ""),
        ("a.csv", "\x00"),
        ("a.json", "{"),
        ("a.json", "[1, 2]"),
        ("a.json", '[{"architecture": 3, "snip": 1}]'),
    ],
)
def test_what_is_no_table_of_architectures_is_explained(
    tmp_path: Path, name: str, content: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ScoresError) as caught:
        ScoresTable.read(tmp_path / name)
    assert caught.value.given == str(tmp_path / name)


def test_a_missing_file_is_named_with_the_nearest(path: Path) -> None:
    for read in (ScoresTable.read, load_scores):
        with pytest.raises(ScoresError, match=r"no such .*; did you mean '.*scores\.") as caught:
            read(path.with_name(f"score{path.suffix}"))
        assert caught.value.given == str(path.with_name(f"score{path.suffix}"))
