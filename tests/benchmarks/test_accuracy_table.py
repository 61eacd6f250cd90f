"""A table of the user's own: what it answers, and each way in which it can be wrong."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from zc_search.benchmarks import AccuracyTable, PackagedNASBench201, open_benchmark
from zc_search.config import parse_config
from zc_search.config.metrics import guessed_direction
from zc_search.errors import ArchitectureError, BenchmarkError, ConfigError
from zc_search.spaces import Architecture, make_space

CELLS = [Architecture.from_index(index) for index in (7, 700, 7_000, 15_000)]
ACCURACIES = [61.5, 88.25, 90.0, 12.0]


def rows(**columns) -> pd.DataFrame:
    return pd.DataFrame({"architecture": map(str, CELLS), "val_accuracy": ACCURACIES} | columns)


def written(folder: Path, table: pd.DataFrame, name: str = "accuracies.csv") -> Path:
    path = folder / name
    table.to_parquet(path) if path.suffix == ".parquet" else table.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("name", ["accuracies.csv", "accuracies.parquet"])
def test_it_answers_what_stands_in_the_file(tmp_path: Path, name: str) -> None:
    table = rows(energy=[4.0, 3.0, 2.0, 1.0])
    benchmark = open_benchmark(str(written(tmp_path, table, name)), "cifar10")
    for cell, accuracy, energy in zip(CELLS, ACCURACIES, table["energy"], strict=True):
        assert dict(benchmark.query(cell)) == {"val_accuracy": accuracy, "energy": energy}
        assert dict(benchmark.query(str(cell))) == dict(benchmark.query(cell))
    assert [*benchmark] == CELLS
    assert benchmark.best() == (CELLS[2], 90.0)
    assert [benchmark.rank(cell) for cell in CELLS] == [3, 2, 1, 4]
    assert benchmark.best("energy") == (CELLS[3], 1.0)  # to be minimised, by its name
    pd.testing.assert_frame_equal(
        benchmark.table().reset_index(), table, check_dtype=False, check_names=False
    )


def test_a_row_serves_others_of_its_function_that_have_none() -> None:
    """conv 3x3 on one edge of three that reach the output; where dead edges lie is no matter."""
    first, second, other = (
        Architecture.from_string(text)
        for text in (
            "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|nor_conv_1x1~1|none~2|",
            "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|none~0|nor_conv_1x1~1|none~2|",
            "|nor_conv_1x1~0|+|none~0|none~1|+|none~0|nor_conv_1x1~1|none~2|",
        )
    )
    assert first.function_key == second.function_key != other.function_key
    table = pd.DataFrame({"architecture": [str(first)], "val_accuracy": [70.0]})
    benchmark = AccuracyTable(table, "a.csv")
    assert benchmark.query(second)["val_accuracy"] == 70
    with pytest.raises(ArchitectureError, match="not among the 1"):
        benchmark.query(other)
    np.testing.assert_array_equal(
        benchmark.of([str(second), str(other)], "val_accuracy"), [70, math.nan]
    )
    both = pd.DataFrame({"architecture": map(str, (first, second)), "val_accuracy": [70, 71]})
    assert AccuracyTable(both, "a.csv").query(second)["val_accuracy"] == 71  # a row of its own


def test_it_agrees_with_the_table_that_it_was_written_from(tmp_path: Path) -> None:
    packaged = PackagedNASBench201("cifar100")
    path = written(tmp_path, packaged.table().iloc[::500].reset_index())
    own = open_benchmark(str(path), "cifar100")
    assert own.metrics == packaged.metrics
    for cell in own:
        assert dict(own.query(cell)) == dict(packaged.query(cell))
    texts = [str(cell) for cell in own]
    for metric in own.metrics:
        np.testing.assert_array_equal(own.of(texts, metric), packaged.of(texts, metric))


def test_directions_are_given_or_guessed_and_said() -> None:
    assert guessed_direction("cpu_latency") == guessed_direction("top1-error") == "minimize"
    assert guessed_direction("balanced_accuracy") == guessed_direction("F1") == "maximize"
    assert guessed_direction("foo") is None
    table = rows(foo=1.0, cpu_latency=2.0, params=3.0, comment="x")
    benchmark = AccuracyTable(table, "a.csv", directions={"foo": "maximize"})
    assert benchmark.directions == {
        "val_accuracy": "maximize",
        "foo": "maximize",
        "cpu_latency": "minimize",
    }
    assert "cpu_latency (minimize)" in benchmark.provenance
    assert "params, comment" in benchmark.provenance
    assert "foo" in AccuracyTable(table, "a.csv").provenance
    assert "foo" not in AccuracyTable(table, "a.csv").metrics


WRONG = {
    "no column": (rows().rename(columns={"architecture": "architectures"}), "architectures"),
    "no metric": (rows().rename(columns={"val_accuracy": "accuracy"}), "'val_accuracy'"),
    "unknown": (rows(architecture=[*map(str, CELLS[:3]), "conv"]), "line 5"),
    "other space": (rows(architecture=[*map(str, CELLS[:3]), "8:8:8:8:8"]), "line 5"),
    "twice": (rows(architecture=[*map(str, CELLS[:3]), str(CELLS[0])]), "line 2 and in line 5"),
    "missing": (rows(val_accuracy=[1.0, 2.0, None, 3.0]), "line 4"),
    "text": (rows(val_accuracy=["1.0", "2", "3,5", "3.0"]), "'3,5'"),
    "above": (rows(val_accuracy=[1.0, 2.0, 101, 3.0]), "0 to 100"),
    "below": (rows(val_accuracy=[-1.0, 2.0, 1, 3.0]), "0 to 100"),
    "fractions": (rows(val_accuracy=[0.1, 0.2, 0.9, 1.0]), "multiply by 100"),
    "empty": (rows().iloc[:0], "no row"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_each_fault_is_a_sentence_of_its_own(tmp_path: Path, fault: str) -> None:
    table, words = WRONG[fault]
    path = written(tmp_path, table)
    with pytest.raises(BenchmarkError) as caught:
        AccuracyTable.read(path).require(["val_accuracy"])
    assert caught.value.key == "benchmark.name"
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_or_no_table(tmp_path: Path) -> None:
    written(tmp_path, rows())
    with pytest.raises(BenchmarkError) as caught:
        AccuracyTable.read(tmp_path / "acuracies.csv")
    assert caught.value.hint == "accuracies.csv"
    (tmp_path / "b.csv").write_text('architecture,val_accuracy\n{"depth":1,"width":2},60\n')
    with pytest.raises(BenchmarkError, match="CSV in UTF-8 with commas"):
        AccuracyTable.read(tmp_path / "b.csv")
    (tmp_path / "b.parquet").write_bytes(b"no table")
    with pytest.raises(BenchmarkError, match="cannot be read"):
        AccuracyTable.read(tmp_path / "b.parquet")


def test_networks_of_ones_own_are_checked_by_their_builder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "table_nets.py").write_text(
        "from torch import nn\n"
        "def build(trial, task):\n"
        "    depth = trial.suggest_int('depth', 1, 3)\n"
        "    if depth > 1:\n"
        "        trial.suggest_categorical('norm', ['a', 'b'])\n"
        "    return nn.Sequential(nn.Flatten(), nn.LazyLinear(task.classes))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    section = parse_config({"space": {"name": "table_nets:build"}, "objectives": {"snip": {}}})
    space = make_space(section.space)
    good = ['{"depth":1}', '{"norm": "a", "depth": 2}', '{"depth":3,"norm":"b"}']
    table = pd.DataFrame({"architecture": good, "val_accuracy": [50, 60, 70]})
    benchmark = AccuracyTable(table, "a.csv", space=space)
    assert benchmark.query('{"depth":2,"norm":"a"}')["val_accuracy"] == 60
    for wrong in ('{"depht":1}', '{"depth":4}', '{"depth":2}', '{"depth":1,"norm":"a"}'):
        added = pd.DataFrame({"architecture": [*good, wrong], "val_accuracy": 50})
        with pytest.raises(BenchmarkError, match="row 3") as caught:
            AccuracyTable(added, "a.csv", space=space)
        assert caught.value.given == json.dumps(json.loads(wrong), separators=(",", ":"))
        assert {*caught.value.allowed} == {"depth", "norm"}


# In a search file ----------------------------------------------------------------------------


def settings(**benchmark) -> dict:
    return {"benchmark": {"name": "a.csv"} | benchmark, "objectives": {"val_accuracy": "default"}}


def test_further_metrics_are_objectives() -> None:
    given = settings(directions={"energy": "minimize", "top5": "maximize"}, metric="top5")
    given["objectives"] |= {"energy": "default", "top5": {"direction": "minimize", "scale": 2.0}}
    config = parse_config(given)
    assert {o.name: (o.direction, o.scale) for o in config.objectives} == {
        "val_accuracy": ("maximize", 1),
        "energy": ("minimize", 1),
        "top5": ("minimize", 2),
    }
    assert config.proxies_to_compute == ("params", "flops")
    assert config.metrics_needed == ("top5", "val_accuracy", "energy")


@pytest.mark.parametrize(
    ("given", "key"),
    [
        (settings(name="a.txt"), "benchmark.name"),
        (settings(path="b"), "benchmark.path"),
        (settings(epochs=3), "benchmark.epochs"),
        (settings(directions={"energy": "down"}), "benchmark.directions"),
        (settings(directions={"params": "maximize"}), "benchmark.directions"),
        (settings(name="nasbench201", directions={"energy": "minimize"}), "benchmark.directions"),
        (settings(directions={"energy": "minimize"}, metric="energy"), "benchmark.metric"),
        (settings() | {"objectives": {"energy": "minimize"}}, "objectives.energy"),
        (settings(name="train"), "benchmark.name"),  # on patches, which are made up
    ],
)
def test_wrong_settings_are_named(given: dict, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(given)
    assert caught.value.key == key, caught.value
