"""From a scores file to the tables that judge its proxies."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
from scipy import stats
from typer.testing import CliRunner

from zc_search.benchmarks import open_benchmark
from zc_search.cli.app import app as commands
from zc_search.cli.evaluate import evaluate as evaluate_command
from zc_search.config import parse_config
from zc_search.errors import BenchmarkError, ScoresError, UsageError, ZcSearchError
from zc_search.scoring.architectures import sample_space
from zc_search.scoring.scorer import Scores
from zc_search.scoring.scores_file import load_scores
from zc_search.scoring.store import Store, about
from zc_search.scoring.sweep import sweep_scorer
from zc_search.spaces import CellSpace

COUNT = 300


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scores file of made-up proxies: accuracy plus noise, less and less of it."""
    config = parse_config(
        {
            "space": {"channels": 2, "cells": 1},
            "data": {"source": "noise", "batch_size": 4},
            "objectives": {"snip": "maximize", "jacov": "maximize"},
        }
    )
    path = tmp_path_factory.mktemp("scores") / "scores.parquet"
    store = Store(path, about(config, sweep_scorer(config)))
    rng = np.random.default_rng(0)
    accuracy = open_benchmark().table()["val_accuracy"]
    scores = []
    for number, architecture in enumerate(sample_space(CellSpace(), COUNT, 0)):
        true = accuracy[str(architecture)]
        noise = rng.normal(size=4)
        values = {
            "snip": -true + noise[0],
            "jacov": true + 8 * noise[1] if number >= 10 else math.nan,
            "params": true + 20 * noise[2],
            "flops": true + 40 * noise[3],
        }
        scores.append(Scores(architecture, values))
    with store.locked():
        store.append(scores)
        store.finish()
    return path


app = typer.Typer()
app.command()(evaluate_command)


def invoke(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "80"})
    if isinstance(result.exception, ZcSearchError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_the_tables_fit_a_terminal_and_begin_with_the_best(path: Path) -> None:
    said = invoke(path, "--bootstrap=50")
    assert max(len(line) for line in said.splitlines() if not line.startswith("wrote")) <= 80
    whole, half, top = (said.index(f"{subset}, cifar10") for subset in _SUBSETS)
    assert whole < half < top
    first = [line.split()[0] for line in said[:half].splitlines()[4:8]]
    assert first == ["jacov", "params", "flops", "snip"]
    assert "tau [interval]" in said
    assert "on half of CIFAR-10's training set" in said
    assert "judged on" in said


_SUBSETS = ("all", "better half", "top 10 %")


def test_numbers_are_scipys_and_directions_are_kept(path: Path, tmp_path: Path) -> None:
    said = invoke(path, "--bootstrap=0", "--csv", tmp_path / "t.csv")
    assert "wrote" in said
    assert "[" not in said.replace("[interval]", "")
    table = pd.read_csv(tmp_path / "t.csv").set_index(["proxy", "subset"])
    assert table.index.get_level_values("subset").unique().tolist() == list(_SUBSETS)
    assert table.index.get_level_values("proxy").unique().tolist() == [
        *("params", "flops", "snip", "jacov")
    ]
    scores, _ = load_scores(path)
    accuracy = open_benchmark().table()["val_accuracy"][scores.index]
    for name in ("snip", "params", "flops"):
        truth = stats.kendalltau(scores[name], accuracy).statistic
        assert table.loc[(name, "all"), "kendall_tau"] == pytest.approx(truth)
        assert table.loc[(name, "all"), "n"] == COUNT
    assert table.loc[("snip", "all"), "kendall_tau"] < -0.5
    assert table.loc[("params", "all"), "kendall_tau"] > 0
    assert table.loc[("jacov", "all"), "dropped"] == 10
    assert table["baseline"].groupby("proxy").first().to_dict() == {
        "params": True,
        "flops": True,
        "snip": False,
        "jacov": False,
    }


def test_a_choice_is_judged_beside_the_others(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "t.json"
    said = invoke(path, "--choose=2", "--bootstrap=0", "--json", out)
    assert "chosen by LIBRA's rule, cifar10" in said
    assert "Chosen on these accuracies: judge them on others." in said
    document = json.loads(out.read_text())
    assert document["chosen"][0]["proxy"] == "jacov"
    assert {row["proxy"] for row in document["rows"]} >= {f"the {len(document['chosen'])} chosen"}
    best = document["rows"][0]
    assert best["ceiling"] == pytest.approx(0.957, abs=0.002)
    assert best["kendall_tau_of_ceiling"] == pytest.approx(best["kendall_tau"] / best["ceiling"])
    assert max(len(line) for line in said.splitlines() if not line.startswith("wrote")) <= 80


def test_json_says_what_was_judged(path: Path, tmp_path: Path) -> None:
    out = tmp_path / "t.json"
    said = invoke(path, "--dataset=cifar100", "--bootstrap=0", "--json", out, "--proxies=jacov")
    assert "Scores computed for cifar10, judged on cifar100." in said
    document = json.loads(out.read_text())
    assert document["dataset"] == "cifar100"
    assert document["scored"] == "cifar10"
    assert document["metric"] == "val_accuracy"
    assert document["n_bootstrap"] == 0
    assert document["about"]["settings"]["data.source"] == "noise"
    assert [row["proxy"] for row in document["rows"]] == [
        name for name in ("params", "flops", "jacov") for _ in _SUBSETS
    ]
    assert document["rows"][0]["kendall_tau_low"] is None


def test_what_is_not_there_is_named_with_the_nearest(path: Path, tmp_path: Path) -> None:
    with pytest.raises(ScoresError, match=r"unknown column 'jacob'; did you mean 'jacov'\?"):
        invoke(path, "--proxies=jacob")
    with pytest.raises(ScoresError, match=r"unknown accuracy 'valaccuracy'; did you mean 'val_acc"):
        invoke(path, "--metric=valaccuracy")
    with pytest.raises(ScoresError, match="unknown accuracy 'train_seconds'"):
        invoke(path, "--metric=train_seconds")
    with pytest.raises(BenchmarkError, match=r"unknown dataset 'cifar'; did you mean 'cifar10'\?"):
        invoke(path, "--dataset=cifar")
    with pytest.raises(ScoresError, match="no such file"):
        invoke(tmp_path / "other.parquet")
    with pytest.raises(ZcSearchError, match=r"t\.csv: cannot be written \(No such file"):
        invoke(path, "--bootstrap=0", "--csv", tmp_path / "no" / "t.csv")


def test_several_data_sets_are_one_table_for_a_paper(path: Path, tmp_path: Path) -> None:
    files = {ending: tmp_path / f"table.{ending}" for ending in ("csv", "md", "tex")}
    asked = (path, "--dataset=cifar10,cifar100", "--bootstrap=0", "--proxies=jacov")
    json_file, csv_file = tmp_path / "t.json", tmp_path / "t.csv"
    said = invoke(*asked, "--table", files["csv"], "--json", json_file, "--csv", csv_file)
    assert "all, cifar10" in said
    assert "all, cifar100" in said
    rows = pd.read_csv(csv_file)
    table = pd.read_csv(files["csv"], index_col="proxy")
    assert list(table) == [
        f"{d} {s}" for d in ("cifar10", "cifar100") for s in ("tau", "Spearman", "nDCG")
    ]
    for row in rows[rows["subset"] == "all"].to_dict("records"):
        shown = table.loc[row["proxy"], f"{row['dataset']} tau"]
        assert shown == pytest.approx(row["kendall_tau"], abs=0.0006)
    documents = json.loads(json_file.read_text())["datasets"]
    assert [document["dataset"] for document in documents] == ["cifar10", "cifar100"]

    invoke(*asked, "--table", files["md"])
    head, rule, *lines = files["md"].read_text().splitlines()
    assert head.startswith("| proxy | cifar10 tau | cifar10 Spearman |")
    assert rule == "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    assert [line.split(" | ")[0] for line in lines] == [f"| {name}" for name in table.index]
    invoke(*asked, "--table", files["tex"])
    tex = files["tex"].read_text()
    assert tex.count(r"\multicolumn{3}{c}") == 2
    assert tex.count(r"\\") == 2 + len(table)  # two lines of headings, one a proxy
    with pytest.raises(
        UsageError, match=r"'\.docx': a table for a paper ends in \.csv, \.md, \.tex"
    ):
        invoke(*asked, "--table", tmp_path / "table.docx")


def test_agreement_of_a_file_with_itself_is_perfect(path: Path, tmp_path: Path) -> None:
    to = tmp_path / "agreement.csv"
    done = CliRunner().invoke(commands, ["agreement", str(path), str(path), "--csv", str(to)])
    assert done.exit_code == 0, done.output
    assert f"{COUNT} architectures, 2 files" in done.output
    assert pd.read_csv(to)["kendall_tau"].to_numpy() == pytest.approx(1.0)
