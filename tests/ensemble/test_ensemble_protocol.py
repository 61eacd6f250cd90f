"""The field's protocols: who is drawn, who judges, and what stands beside."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from typer.testing import CliRunner

from zc_search.benchmarks import open_benchmark
from zc_search.cli.app import app
from zc_search.ensemble import aggregate, fit_pipeline
from zc_search.ensemble.protocol import (
    AS_PUBLISHED,
    HALVES,
    TOP,
    UNSEEN,
    in_first_half,
    is_valid,
    run_protocol,
)
from zc_search.ensemble.scores import settings_for
from zc_search.errors import EnsembleError
from zc_search.scoring.scores_file import ScoresTable
from zc_search.spaces import CellSpace

QUICK = {"proxies": ("meco", "jacov"), "models": ["linear"], "feature_sets": ["rank"]}


@pytest.fixture(scope="module")
def scores() -> ScoresTable:
    """A fifth of the package's scores: enough for both protocols."""
    whole = ScoresTable.read("packaged")
    return replace(whole, table=whole.table.sample(3000, random_state=0, ignore_index=True))


def test_as_many_cells_are_valid_as_published() -> None:
    """GRAF's authors count 9,445, the cell without any operation among them."""
    assert is_valid(str(cell) for cell in CellSpace()).sum() == 9445 - 1
    cell = "|nor_conv_3x3~0|+|none~0|{}~1|+|none~0|nor_conv_1x1~1|none~2|"
    assert is_valid([cell.format("none"), cell.format("skip_connect")]).tolist() == [True, False]


def test_halves_are_of_functions() -> None:
    keys = ["a", "b", "c", "a"]
    expected = [hashlib.sha256(key.encode()).hexdigest()[1] in "02468ace" for key in keys]
    assert in_first_half(keys).tolist() == expected


@pytest.mark.parametrize("name", ["nnformer", "graf"])
def test_a_draw_is_judged_as_published_and_on_functions_not_fitted_to(
    name: str, scores: ScoresTable
) -> None:
    drawn = {"sizes": [64], "n_draws": 2, "seed": 3}
    judged, summary, _ = run_protocol(scores, settings_for(scores), name, **QUICK, **drawn)
    table = scores.table[scores.table["feasible"] & np.isfinite(scores.table["jacov"])]
    if name == "graf":
        table = table[is_valid(table["architecture"])]
    accuracies = open_benchmark().of(table["architecture"], "val_accuracy")
    table = table.assign(val_accuracy=accuracies).reset_index(drop=True)
    rows = np.random.default_rng([3, 1]).permutation(len(table))[:64]
    seen = table["function_key"].isin(table["function_key"][rows])
    first = table["function_key"].map(lambda k: hashlib.sha256(k.encode()).digest()[0] % 2 == 0)
    best = table["val_accuracy"] >= table["val_accuracy"][~seen].quantile(0.9)
    judges = [pd.Series(True, table.index) if name == "nnformer" else ~table.index.isin(rows)]
    judges += [~seen, ~seen & first, ~seen & ~first, ~seen & best]
    model = fit_pipeline(table.iloc[rows], QUICK["proxies"], model="linear", feature_set="rank")
    predicted = model.predict(table)
    last = judged[judged["draw"] == 1]
    assert last["judged"].tolist() == [int(part.sum()) for part in judges]
    taus = [stats.kendalltau(predicted[p], accuracies[p]).statistic for p in judges]
    assert last["kendall_tau"].tolist() == pytest.approx(taus)
    ceiling = open_benchmark().ceilings["val_accuracy"]
    expected = [ceiling["all"].tau] * 4 + [ceiling["top 10 %"].tau]
    summary = summary[summary["size"] == 64]
    assert summary["judged_on"].tolist() == ["as published", UNSEEN, *HALVES, TOP]
    assert summary["ceiling"].tolist() == pytest.approx(expected)
    assert summary["of_ceiling"].tolist() == pytest.approx(summary["kendall_tau"] / expected)
    assert summary["published"].isna().all()


def test_without_an_accuracy_the_default_aggregate_is_judged(scores: ScoresTable) -> None:
    drawn = {"sizes": [32], "n_draws": 1}
    judged = run_protocol(scores, settings_for(scores), "graf", **QUICK, **drawn)[0]
    table = scores.table[scores.table["feasible"] & np.isfinite(scores.table["jacov"])]
    table = table[is_valid(table["architecture"])]
    true = open_benchmark().of(table["architecture"], "val_accuracy")
    unfitted = judged[judged["size"] == 0].set_index("judged_on")
    expected = stats.kendalltau(aggregate(table), true).statistic
    assert unfitted.loc[[AS_PUBLISHED, UNSEEN], "kendall_tau"].tolist() == pytest.approx(
        [expected] * 2
    )
    assert unfitted.loc[list(HALVES), "judged"].sum() == len(table)
    assert unfitted.loc[HALVES[1], "kendall_tau"] > 0.75
    without = run_protocol(
        scores, settings_for(scores), "graf", **QUICK | {"proxies": ("jacov",)}, **drawn
    )
    assert without[0]["size"].min() == 32


@pytest.mark.thorough
def test_published_figures_stand_beside_theirs_alone() -> None:
    scores = ScoresTable.read("packaged")
    datasets = ["cifar10", "cifar100"]
    asked = {"datasets": datasets, "sizes": [32, 1024], "n_draws": 1}
    _, summary, notes = run_protocol(scores, settings_for(scores), "graf", **QUICK, **asked)
    known = summary[summary["published"].notna()]
    assert known["dataset"].tolist() == datasets
    assert known["published"].tolist() == [0.859, 0.847]
    assert set(known["size"]) == {1024}
    assert set(known["judged_on"]) == {"as published"}
    assert "Scores computed for cifar10, accuracies on cifar100: a transfer." in notes


@pytest.mark.parametrize(
    ("name", "sizes", "given"), [("grave", None, "grave"), ("graf", [1000], 1000)]
)
def test_what_cannot_be_judged_is_refused(
    name: str, sizes: list[int] | None, given: object, scores: ScoresTable
) -> None:
    with pytest.raises(EnsembleError) as refused:
        run_protocol(scores, settings_for(scores), name, **QUICK, sizes=sizes)
    assert refused.value.given == given


@pytest.mark.thorough
def test_it_is_printed_and_written(tmp_path: Path) -> None:
    table, document = tmp_path / "draws.csv", tmp_path / "summary.json"
    command = ["ensemble", "protocol", "nnformer", "packaged", "--proxies=meco,jacov"]
    command += ["--models=linear,ridge", "--features=rank", "--accuracies=156", "--draws=2"]
    command += ["--workers=1", f"--csv={table}", f"--json={document}"]
    result = CliRunner().invoke(app, command, env={"COLUMNS": "80"})
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert max(len(line) for line in lines if not line.startswith("wrote ")) <= 80
    assert ".804" in result.output
    assert len(pd.read_csv(table)) == 5 + 2 * 2 * 5  # the aggregate, two models' two draws
    found = json.loads(document.read_text())
    assert (found["protocol"], found["scored"], len(found["rows"])) == ("nnformer", "cifar10", 15)
    assert found["rows"][0]["of_ceiling"] < 1
