"""``zc-search ensemble``: from scores to a file that can be shown, applied, and searched with."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import tomlkit
from hypothesis import strategies as st
from scipy import stats
from typer.testing import CliRunner

from zc_search.benchmarks import open_benchmark
from zc_search.cli.app import app
from zc_search.cli.ensemble import _write_search_file
from zc_search.config import Config, config_to_toml, load_config, parse_config
from zc_search.ensemble import (
    DEFAULT_AGGREGATE,
    Ensemble,
    aggregate,
    fit_ensemble,
    learning_curve,
)
from zc_search.ensemble.scores import apply_ensemble, hide_all_but, with_accuracies
from zc_search.errors import (
    BenchmarkError,
    ConfigError,
    EnsembleError,
    ScoresError,
    StudyError,
    UsageError,
    ZcSearchError,
)
from zc_search.proxies.catalogue import CATALOGUE
from zc_search.scoring.architectures import sample_space
from zc_search.scoring.scorer import Scores
from zc_search.scoring.scores_file import ScoresTable
from zc_search.scoring.store import Store, about
from zc_search.scoring.sweep import sweep_scorer
from zc_search.search import run_search
from zc_search.spaces import Architecture, CellSpace, SizeArchitecture
from zc_search.study.objective import PredictionWarning

PROXIES = ["snip", "jacov", "params", "flops"]
ACCURACY = open_benchmark().table()["val_accuracy"]


OF_THE_FRONT = {"model": "linear", "features": "rank", "fit_on": "pareto"}


def settings(**sections: dict[str, Any]) -> Config:
    """Return settings that cost next to nothing to compute with."""
    tiny: dict[str, Any] = {
        "space": {"channels": 2, "cells": 1},
        "data": {"source": "noise", "batch_size": 4},
        "objectives": {"snip": "maximize", "jacov": "maximize"},
    }
    return parse_config(tiny | sections)


def made_up(architectures: list[Architecture], seed: int = 0) -> dict[str, np.ndarray]:
    """Return proxies that are the accuracy with more and more noise, equal for equal functions."""
    values: dict[str, list[float]] = {name: [] for name in PROXIES}
    noise = np.random.default_rng(seed).normal(size=(5**6, len(PROXIES)))
    for cell in architectures:
        twin = cell.representative()
        true = ACCURACY[str(twin)]
        drawn = noise[twin.index]
        values["snip"].append(np.exp(true / 20 + 0.1 * drawn[0]))
        values["jacov"].append(true + 4 * drawn[1])
        values["params"].append(true + 20 * drawn[2])
        values["flops"].append(true + 40 * drawn[3])
    return {name: np.array(column) for name, column in values.items()}


def write_scores(path: Path, count: int = 180, dataset: str = "cifar10", seed: int = 0) -> Path:
    """Write scores of made-up proxies of random cells."""
    config = settings(space={"channels": 2, "cells": 1, "dataset": dataset})
    cells = [cell for cell in sample_space(CellSpace(), count, seed) if cell.reaches_output]
    columns = made_up(cells)
    store = Store(path, about(config, sweep_scorer(config)))
    scores = [
        Scores(cell, {name: float(columns[name][row]) for name in PROXIES})
        for row, cell in enumerate(cells)
    ]
    with store.locked():
        store.append(scores)
        store.finish()
    return path


def write_run(folder: Path, rows: int = 120, **changes: Any) -> Path:
    """Write what a search of made-up proxies leaves behind; every fourth trial is on its front."""
    cells = [cell for cell in sample_space(CellSpace(), rows, 5) if cell.reaches_output]
    table = pd.DataFrame(
        {
            "number": range(len(cells)),
            "architecture": [str(cell) for cell in cells],
            "function_key": [cell.function_key for cell in cells],
            "feasible": True,
            "pareto": [row % 4 == 0 for row in range(len(cells))],
            **made_up(cells),
        }
    )
    folder.mkdir(parents=True)
    table.assign(**changes).to_csv(folder / "trials.csv", index=False)
    (folder / "config.toml").write_text(config_to_toml(settings(ensemble=OF_THE_FRONT)))
    definitions = {name: CATALOGUE[name].definition for name in PROXIES}
    (folder / "manifest.json").write_text(json.dumps({"definitions": definitions}))
    return folder


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_scores(tmp_path_factory.mktemp("scores") / "scores.parquet")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "made-up")


@pytest.fixture(scope="module")
def fitted(scores: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ensemble") / "ensemble.toml"
    invoke("fit", scores, "--accuracies=60", "--seed=3", "--out", path)
    return path


@pytest.fixture
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


QUICK = ("--set", "ensemble.folds=2", "--set", "ensemble.repeats=1")


def invoke(*arguments: object) -> str:
    if arguments[0] == "fit" and "--config" not in arguments:
        arguments = (*arguments, *QUICK)
    result = CliRunner().invoke(
        app, ["ensemble", *map(str, arguments)], env={"COLUMNS": "80"}, catch_exceptions=True
    )
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    wide = [line for line in result.output.splitlines() if len(line) > 80]
    assert all(line.startswith("wrote ") or "--json" in arguments for line in wide), wide
    return result.output


def flat(text: str) -> str:
    """Return a text with each run of blanks and line ends as one blank."""
    return " ".join(text.split())


# Fit --------------------------------------------------------------------------------------------


def test_only_the_accuracies_drawn_are_looked_at(scores: Path, fitted: Path) -> None:
    source, ensemble = ScoresTable.read(scores), Ensemble.load(fitted)
    known = with_accuracies(source.table, open_benchmark(), "val_accuracy")
    hidden = hide_all_but(known, PROXIES, "val_accuracy", 60, 3)
    drawn = hidden[hidden["val_accuracy"].notna()]
    assert len(drawn) == drawn["function_key"].nunique() == 60
    assert known["val_accuracy"].notna().all()  # hidden in a copy only
    assert ensemble.fitted_to == tuple(
        sorted(Architecture.from_string(cell).index for cell in drawn["architecture"])
    )
    alone = fit_ensemble(  # the others' proxies count, among which the aggregate ranks
        hidden,
        source.proxies,
        model="gap",
        feature_set="rank+structure+aggregate",
        fit_on="all",
        directions=source.directions,
        folds=2,
        repeats=1,
    )
    pd.testing.assert_frame_equal(ensemble.weights, alone.weights)
    smaller = hide_all_but(known, PROXIES, "val_accuracy", 20, 3)["val_accuracy"].dropna()
    assert smaller.index.isin(drawn.index).all()


def test_isomorphs_of_what_was_fitted_to_do_not_judge(scores: Path, fitted: Path) -> None:
    source, ensemble = ScoresTable.read(scores), Ensemble.load(fitted)
    seen = {Architecture.from_index(index).function_key for index in ensemble.fitted_to or ()}
    rest = source.table[~source.table["function_key"].isin(seen)]
    assert len(rest) < len(source.table) - 60  # some share a function with one fitted to
    true = ACCURACY[rest["architecture"]].to_numpy()
    row = ensemble.unseen_quality.iloc[0]
    assert row["rows"] == len(rest)
    assert row["kendall_tau"] == stats.kendalltau(ensemble.score(rest), true).statistic


def test_a_fit_says_what_it_rests_on(scores: Path, fitted: Path) -> None:
    metadata = Ensemble.load(fitted).metadata
    assert metadata["dataset"] == "cifar10"
    assert metadata["split"] == "cifar10-valid/x-valid"
    assert metadata["epochs"] == 200
    assert metadata["training_seeds"] == {"least": 2, "most": 3}
    assert metadata["accuracies_drawn"] == {"number": 60, "seed": 3}
    assert metadata["definitions"] == ScoresTable.read(scores).definitions
    assert set(metadata["definitions"]) == set(PROXIES)
    kept = metadata["scores"]
    assert (kept["name"], kept["data.batch_size"]) == ("scores.parquet", 4)
    assert len(kept["data.fingerprint"]) == 64
    assert kept["space.name"] == "nasbench201"


def test_a_fit_prints_weights_and_quality_beside_baselines(scores: Path, tmp_path: Path) -> None:
    said = invoke("fit", scores, "--accuracies=50", "--out", tmp_path / "e.json")
    assert "50 architectures, drawn at random with seed 0" in said
    assert "90 % interval" in said
    assert "held out: 2-fold cross-validation, 1 times" in flat(said)
    assert "whose accuracies were not looked at" in flat(said)
    for predictor in ("ensemble", "best single proxy", "aggregate", "params", "flops"):
        assert sum(line.startswith(predictor) for line in said.splitlines()) >= 2, predictor
    assert "in-sample" not in said
    assert Ensemble.load(tmp_path / "e.json").model == "gap"


def test_options_go_before_settings_before_a_file(scores: Path, tmp_path: Path) -> None:
    config = tmp_path / "search.toml"
    config.write_text(
        '[objectives]\nsnip = "maximize"\n'
        '[ensemble]\nmodel = "ridge"\nfeatures = "standard"\nfolds = 3'
    )
    out = tmp_path / "e.toml"
    invoke("fit", scores, "--config", config, "--out", out)
    ensemble = Ensemble.load(out)
    assert (ensemble.model, ensemble.feature_set) == ("ridge", "standard")
    assert ensemble.held_out[0].judged == "held out: 3-fold cross-validation, 4 times"
    assert ensemble.proxies == tuple(ScoresTable.read(scores).proxies)
    override = ("--set", "ensemble.model=gap", "--features=rank", "--proxies=jacov,params")
    invoke("fit", scores, "--config", config, *override, "--out", out)
    ensemble = Ensemble.load(out)
    assert (ensemble.model, ensemble.feature_set) == ("gap", "rank")
    assert ensemble.proxies == ("jacov", "params")


def test_a_run_is_fitted_to_its_front_and_judged_on_its_other_trials(
    run: Path, tmp_path: Path
) -> None:
    said = invoke("fit", run, "--proxies=snip,jacov", "--out", tmp_path / "e.toml")
    ensemble = Ensemble.load(tmp_path / "e.toml")
    trials = pd.read_csv(run / "trials.csv")
    front = trials[trials["pareto"]].drop_duplicates("function_key")
    others = trials[~trials["function_key"].isin(front["function_key"])]
    others = others.drop_duplicates("function_key")  # each counts once
    assert (ensemble.fit_on, ensemble.rows) == ("pareto", len(front))
    assert ensemble.unseen[0].rows == len(others)
    assert f"{len(others)} architectures of made-up, beside its front" in flat(said)
    invoke("fit", run, "--fit-on=all", "--out", tmp_path / "e.toml")
    ensemble = Ensemble.load(tmp_path / "e.toml")
    assert ensemble.fit_on == "all"
    assert ensemble.unseen == ()


def test_other_scores_may_judge(run: Path, scores: Path, tmp_path: Path) -> None:
    invoke("fit", run, "--fit-on=all", "--judge-on", scores, "--out", tmp_path / "e.toml")
    ensemble = Ensemble.load(tmp_path / "e.toml")
    trials, table = pd.read_csv(run / "trials.csv"), ScoresTable.read(scores).table
    rest = table[~table["function_key"].isin(trials["function_key"])]
    assert ensemble.unseen[0].rows == len(rest) < len(table)
    assert ensemble.unseen[0].judged.endswith("architectures of scores.parquet")
    assert ensemble.metadata["scores"]["space.name"] == "nasbench201"


def test_a_regressor_of_scikit_learns_is_judged_but_not_written(
    scores: Path, tmp_path: Path
) -> None:
    out = tmp_path / "e.toml"
    model = "--model=sklearn.tree:DecisionTreeRegressor"
    said = invoke("fit", scores, model, "--accuracies=40", "--out", out)
    assert "importance" in said
    assert "not written: model 'sklearn.tree:DecisionTreeRegressor' has no weights" in flat(said)
    assert not out.exists()


def test_accuracies_of_another_data_set_are_said_to_be_a_transfer(
    scores: Path, tmp_path: Path
) -> None:
    out = tmp_path / "e.toml"
    said = invoke("fit", scores, "--dataset=cifar100", "--out", out)
    assert "Scores computed for cifar10, accuracies on cifar100: a transfer." in flat(said)
    assert Ensemble.load(out).metadata["dataset"] == "cifar100"
    said = invoke("fit", scores, "--dataset=cifar100", "--judge-on", scores, "--out", out)
    assert "Judged on scores computed for cifar10, by accuracies on cifar100." in flat(said)


@pytest.mark.thorough
def test_scores_of_another_data_set_that_judge_are_named(scores: Path, tmp_path: Path) -> None:
    other = write_scores(tmp_path / "other.parquet", 80, "cifar100", seed=1)
    arguments = ("--dataset=cifar100", "--judge-on", other, "--out", tmp_path / "e.toml")
    said = flat(invoke("fit", scores, *arguments))
    assert "space.dataset 'cifar100' (fitted with 'cifar10')" in said


@pytest.mark.thorough
def test_repeated_trials_judge_once(run: Path, tmp_path: Path) -> None:
    trials = pd.read_csv(run / "trials.csv")
    repeated = write_run(tmp_path / "again" / run.name)
    again = [trials, *[trials[~trials["pareto"]]] * 3]
    pd.concat(again, ignore_index=True).to_csv(repeated / "trials.csv", index=False)
    ensembles = []
    for folder in (run, repeated):
        invoke("fit", folder, "--proxies=snip,jacov", "--out", tmp_path / "e.toml")
        ensembles.append(Ensemble.load(tmp_path / "e.toml"))
    once, often = ensembles
    assert once.unseen == often.unseen
    assert once.unseen[0].rows < len(trials)
    source, other = ScoresTable.read(run), ScoresTable.read(repeated)
    pd.testing.assert_frame_equal(
        apply_ensemble(once, source).quality, apply_ensemble(often, other).quality
    )


# Show -------------------------------------------------------------------------------------------


def test_show_prints_everything(fitted: Path) -> None:
    said = invoke("show", fitted)
    ensemble = Ensemble.load(fitted)
    for scale in ensemble.features.proxies:
        assert f"knots {len(scale.knots)} from {scale.knots[0]:.5g} to" in flat(said)
        assert CATALOGUE[scale.proxy].definition in flat(said)
    for column in ensemble.features.columns:
        assert f"{column.scale:.6g}" in said
    for note in ensemble.notes:
        assert note in flat(said)
    assert "predictions to 0 to 100 %" in flat(said)
    off = ensemble.residuals
    assert f"off by {off[0]:+.2f} to {off[-1]:+.2f} percentage points" in flat(said)
    assert "held out" in flat(said).partition("off by")[2][:90]


def test_show_prints_the_link_in_its_unit(scores: Path, tmp_path: Path) -> None:
    out = tmp_path / "e.toml"
    said = flat(invoke("fit", scores, "--model=gap", "--proxies=snip", "--out", out))
    link = Ensemble.load(out).predictor.link
    assert (
        f"link {link.unit}: {link.scores[0]:.3g} to {link.scores[-1]:.3g} is "
        f"{link.accuracies[0]:.4g} to {link.accuracies[-1]:.4g} % by {len(link.scores)} knots"
    ) in said
    assert link.unit.startswith("-log(")


def test_shown_as_json_it_is_the_document(fitted: Path) -> None:
    assert Ensemble.from_dict(json.loads(invoke("show", fitted, "--json"))) == Ensemble.load(fitted)


def test_proxies_with_options_are_shown_as_they_are_written() -> None:
    from rich.console import Console

    from zc_search.cli.ensemble import constants
    from zc_search.report.text import weights

    names = ["jacov[mode=eval]", "[bold]x"]
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(30, 2)), columns=names)
    table["val_accuracy"] = 90 + table[names[0]]
    table["function_key"] = range(30)
    ensemble = fit_ensemble(table, names, fit_on="all", n_bootstrap=5, folds=2, repeats=1)
    console = Console(width=80)
    with console.capture() as capture:
        console.print(weights(ensemble))
        for part in constants(ensemble):
            console.print(part)
    assert capture.get().count("jacov[mode=eval]") == 3
    assert capture.get().count("[bold]x") == 3


# Apply ------------------------------------------------------------------------------------------


def test_apply_writes_predictions_truth_and_both_ranks(
    scores: Path, fitted: Path, tmp_path: Path
) -> None:
    out = tmp_path / "ranking.csv"
    said = invoke("apply", fitted, scores, "--out", out, "--top=3")
    table = pd.read_csv(out, engine="python").set_index("architecture")
    source, ensemble = ScoresTable.read(scores), Ensemble.load(fitted)
    rows = source.table.set_index("architecture", drop=False)
    expected = ensemble.predict_interval(rows).loc[table.index]
    assert (table[["prediction", "low", "high"]] == expected).all(axis=None)
    np.testing.assert_array_equal(table["val_accuracy"], ACCURACY[table.index])
    ranks = stats.rankdata(-table["val_accuracy"], method="min")
    assert table["true_rank"].tolist() == ranks.tolist()
    assert table["predicted_rank"].is_monotonic_increasing
    seen = {Architecture.from_index(index).function_key for index in ensemble.fitted_to or ()}
    assert table["in_sample"].tolist() == [
        rows["function_key"][cell] in seen for cell in table.index
    ]
    assert f"The first 3 of {len(rows)} by prediction" in said
    # As on the day of the fit, since the same architectures judge.
    assert f"{ensemble.unseen[0].kendall_tau:.3f}"[1:] in said
    assert "note" not in said


def test_predictions_survive_toml_and_json_to_the_last_bit(
    scores: Path, fitted: Path, tmp_path: Path
) -> None:
    Ensemble.load(fitted).save(tmp_path / "e.json")
    Ensemble.load(tmp_path / "e.json").save(tmp_path / "e.toml")
    table = ScoresTable.read(scores).table
    first, *others = (
        Ensemble.load(file).predict_interval(table)
        for file in (fitted, tmp_path / "e.json", tmp_path / "e.toml")
    )
    for other in others:
        pd.testing.assert_frame_equal(first, other, check_exact=True)


@pytest.mark.thorough
def test_show_and_apply_import_neither_optuna_nor_torch(
    scores: Path, run: Path, fitted: Path, tmp_path: Path
) -> None:
    code = """
import sys
from zc_search.cli.app import app
for arguments in (
    ["show", sys.argv[1]],
    ["apply", sys.argv[1], sys.argv[2], "--out", sys.argv[4]],
    ["apply", sys.argv[1], sys.argv[3]],
):
    app(["ensemble", *arguments], standalone_mode=False)
assert not {"torch", "optuna"} & set(sys.modules), "imported"
"""
    out = tmp_path / "ranking.csv"
    command = [sys.executable, "-c", code, *map(str, (fitted, scores, run, out))]
    subprocess.run(command, check=True, capture_output=True)
    invoke("apply", fitted, scores, "--out", tmp_path / "here.csv")
    assert out.read_bytes() == (tmp_path / "here.csv").read_bytes()


def test_another_data_set_is_a_transfer_judged_by_its_own_accuracies(
    fitted: Path, tmp_path: Path
) -> None:
    other = write_scores(tmp_path / "other.parquet", 80, "ImageNet16-120", seed=1)
    said = invoke("apply", fitted, other, "--out", tmp_path / "ranking.csv")
    assert (
        "A transfer: fitted to accuracies on cifar10, applied to scores computed for "
        "ImageNet16-120. The order may carry over; predicted percentages and their intervals are "
        "those of cifar10."
    ) in flat(said)
    table = pd.read_csv(tmp_path / "ranking.csv")
    true = open_benchmark(dataset="ImageNet16-120").table()["val_accuracy"]
    np.testing.assert_allclose(table["val_accuracy"], true[table["architecture"]])
    differs = "space.dataset 'ImageNet16-120' (fitted with 'cifar10'). Values may lie elsewhere"
    assert differs in flat(said)
    (tmp_path / "search.toml").write_text(SEARCH.replace("[data]", 'dataset = "cifar100"\n[data]'))
    search = ("--write-config", tmp_path / "search.toml", "--to", tmp_path / "new.toml")
    said = flat(invoke("apply", fitted, *search))
    assert "fitted to accuracies on cifar10, to search on cifar100." in said
    assert "space.dataset 'cifar100' (fitted with 'cifar10')" in said


@pytest.mark.thorough
def test_scores_and_accuracies_of_two_data_sets_are_applied_as_they_were_fitted(
    scores: Path, tmp_path: Path
) -> None:
    file, out = tmp_path / "e.toml", tmp_path / "ranking.csv"
    invoke("fit", scores, "--dataset=ImageNet16-120", "--accuracies=60", "--out", file)
    true = open_benchmark(dataset="ImageNet16-120").table()["val_accuracy"]
    said = flat(invoke("apply", file, scores, "--out", out))
    assert "As in the fit, scores are computed for cifar10 and accuracies are those on Ima" in said
    assert "A transfer" not in said
    table = pd.read_csv(out)
    np.testing.assert_allclose(table["val_accuracy"], true[table["architecture"]])


SIZES = {"name": "nats_sss", "dataset": "cifar10"}


def write_size_run(folder: Path) -> Path:
    """Write what a search of the size space leaves behind, with made-up proxies."""
    sizes = [SizeArchitecture.from_index(index) for index in range(0, 32_768, 999)]
    rng = np.random.default_rng(0)
    columns = {name: rng.uniform(1, 9, len(sizes)) for name in PROXIES}
    table = pd.DataFrame({"architecture": map(str, sizes), "feasible": True, **columns})
    table["function_key"] = [size.function_key for size in sizes]
    folder.mkdir(parents=True)
    table.to_csv(folder / "trials.csv", index=False)
    config = settings(space=SIZES, benchmark={"name": "none"})
    (folder / "config.toml").write_text(config_to_toml(config))
    return folder


def test_another_search_space_is_named(scores: Path, tmp_path: Path) -> None:
    fitted = tmp_path / "e.toml"
    invoke("fit", scores, "--features=rank+aggregate", "--out", fitted)
    sizes = write_size_run(tmp_path / "sizes")
    note = (
        "Another search space: fitted to architectures of nasbench201, and those of sizes are of "
        "nats_sss. Whether the order carries over is not known"
    )
    ensemble = Ensemble.load(fitted)
    recorded = dict(ensemble.metadata["scores"])
    del recorded["space.name"]
    older = ensemble.model_copy(update={"metadata": ensemble.metadata | {"scores": recorded}})
    older.save(tmp_path / "older.toml")
    for file in (fitted, tmp_path / "older.toml"):
        said = flat(invoke("apply", file, sizes))
        assert note in said
        assert "space.channels" not in said  # which the size space does not have
    unknown = older.model_copy(update={"fitted_to": ("a function",)})
    said = apply_ensemble(unknown, ScoresTable.read(sizes)).notes
    assert "The ensemble does not say to which search space it was fitted." in said


def test_features_of_the_cell_are_refused_for_another_search_space(
    scores: Path, tmp_path: Path
) -> None:
    features = "standard+structure"
    file, sizes, search = tmp_path / "e.toml", tmp_path / "sizes", tmp_path / "sizes.toml"
    invoke("fit", scores, "--features", features, "--model=ridge", "--out", file)
    write_size_run(sizes)
    shutil.copy(sizes / "config.toml", search)
    message = (
        rf"sizes(.toml)?: space.name = 'nats_sss', .*\({re.escape(features)}\).*; "
        r"Allowed: space.name = 'nasbench201', or an ensemble without \+structure"
    )
    with pytest.raises(EnsembleError, match=message):
        invoke("apply", file, sizes)
    with pytest.raises(EnsembleError, match=message):
        invoke("apply", file, "--write-config", search, "--to", tmp_path / "new.toml")
    assert not (tmp_path / "new.toml").exists()


def test_the_truth_is_optional(scores: Path, fitted: Path, tmp_path: Path) -> None:
    said = invoke("apply", fitted, scores, "--no-truth", "--out", tmp_path / "ranking.csv")
    assert "true" not in said
    assert not {"val_accuracy", "true_rank"} & set(pd.read_csv(tmp_path / "ranking.csv"))


def change_metadata(path: Path, out: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Copy a scores file that says something else of itself."""
    table = pq.read_table(path)
    metadata = dict(table.schema.metadata)
    said = json.loads(metadata[b"zc_search"])
    change(said)
    metadata[b"zc_search"] = json.dumps(said).encode()
    pq.write_table(table.replace_schema_metadata(metadata), out)
    return out


def test_another_definition_of_a_proxy_is_refused(
    scores: Path, fitted: Path, tmp_path: Path
) -> None:
    def change(said: dict[str, Any]) -> None:
        said["definitions"]["jacov"] = "jacov, version 2"

    other = change_metadata(scores, tmp_path / "other.parquet", change)
    message = r"'jacov' is not the one .* was 'jacov, version 1', and is 'jacov, version 2' now"
    with pytest.raises(EnsembleError, match=message):
        invoke("apply", fitted, other)
    with pytest.raises(EnsembleError, match=message):
        invoke("fit", scores, "--judge-on", other, "--out", tmp_path / "e.toml")
    assert not (tmp_path / "e.toml").exists()


def test_definitions_that_are_not_known_are_said_to_be_unchecked(
    scores: Path, fitted: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.parquet"
    change_metadata(scores, other, lambda said: said.pop("definitions"))
    said = flat(invoke("apply", fitted, other))
    names = ", ".join(Ensemble.load(fitted).proxies)
    assert f"note The scores do not say how {names} are defined, so it could not be check" in said


def test_other_settings_are_named(scores: Path, fitted: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.parquet"
    change_metadata(scores, other, lambda said: said["settings"].update({"data.batch_size": 64}))
    said = flat(invoke("apply", fitted, other))
    assert "computed otherwise than those fitted to: data.batch_size 64 (fitted with 4)." in said


def test_rows_without_a_value_are_counted(fitted: Path, run: Path, tmp_path: Path) -> None:
    trials = pd.read_csv(run / "trials.csv")
    trials.loc[[3, 4], "jacov"] = [np.nan, np.inf]
    trials.loc[5, "feasible"] = False
    broken = write_run(tmp_path / "broken")
    trials.to_csv(broken / "trials.csv", index=False)
    said = flat(invoke("apply", fitted, broken, "--out", tmp_path / "r.csv"))
    rows = len(trials)
    assert f"1 of {rows} rows are infeasible and not ranked." in said
    assert f"2 of {rows - 1} rows have no prediction and stand last: jacov is not finite" in said
    assert pd.read_csv(tmp_path / "r.csv")["prediction"].isna().tolist()[-3:] == [False, True, True]


# Search -----------------------------------------------------------------------------------------

CHEAP = ("synflow", "params", "l2_norm")

SEARCH = """# a search of mine
[study]
name = "mine"  # for the record
n_trials = 6
sampler = "random"

[space]
channels = 2
cells = 1

[data]
source = "noise"
batch_size = 4

[objectives]  # what I want
synflow = "maximize"  # Tanaka et al.
params = "minimize"

[proxies]
compute = [
    "flops",  # to compare
]

[output]
report = false
"""


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small run of cheap proxies and an ensemble fitted to it."""
    folder = tmp_path_factory.mktemp("searched")
    (folder / "search.toml").write_text(SEARCH)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        overrides = ["proxies.compute=['l2_norm', 'flops']", "study.n_trials=9", "study.name=a"]
        run_search(load_config("search.toml", overrides))
        refit(Path("runs/a"), **{name: f"{name}, version 1" for name in CHEAP})
    return folder


def refit(run: Path, proxies: tuple[str, ...] = CHEAP, **definitions: str) -> None:
    """Fit the ensemble anew, after telling the run how its proxies are defined."""
    (run / "manifest.json").write_text(json.dumps({"definitions": definitions}))
    invoke("fit", run, "--proxies", ",".join(proxies), "--fit-on=all", "--out=small.toml")


@pytest.fixture
def _cheap_ensemble(searched: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(searched, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("_cheap_ensemble")
def test_a_search_file_is_written_with_its_comments_and_can_be_run(tmp_path: Path) -> None:
    said = invoke("apply", "small.toml", "--write-config=search.toml", "--to=new.toml")
    assert said == "wrote new.toml; next: zc-search --config new.toml\n"
    text = Path("new.toml").read_text()
    for comment in ("# a search of mine", "# for the record", "# what I want", "# Tanaka et al."):
        assert comment in text
    assert "# to compare" in text
    document = tomlkit.parse(text).unwrap()
    assert document["objectives"] == {
        "synflow": {"direction": "maximize", "scale": 0},
        "params": {"direction": "minimize", "scale": 0},
        "ensemble:small.toml": "maximize",
    }
    assert document["proxies"]["compute"] == ["flops", "l2_norm"]
    assert document["study"]["name"] == "mine-ensemble"

    result = run_search(load_config("new.toml"))
    trials = result.trials[result.trials["feasible"]]
    assert len(trials) >= 4
    ensemble = Ensemble.load("small.toml")
    assert trials["ensemble:small.toml"].tolist() == ensemble.predict(trials).tolist()
    front = trials[trials["pareto"]]
    assert set(front["ensemble:small.toml"]) == {trials["ensemble:small.toml"].max()}
    invoke("apply", "small.toml", "runs/mine-ensemble")  # a run like any other

    refit(Path("runs/a"), CHEAP[::-1], **{name: f"{name}, version 1" for name in CHEAP})
    message = "begun with another ensemble 'ensemble:small.toml'"
    with pytest.raises(StudyError, match=message):
        run_search(load_config("new.toml", ["study.n_trials=10"]))


@pytest.mark.usefixtures("_cheap_ensemble")
def test_a_search_with_an_ensemble_is_refused_before_its_first_trial() -> None:
    invoke("apply", "small.toml", "--write-config=search.toml", "--to=new.toml")
    with pytest.raises(EnsembleError, match=r"proxies.compute lacks l2_norm, which the ensemble"):
        run_search(load_config("new.toml", ["proxies.compute=['flops']"]))
    assert not Path("runs/mine-ensemble").exists()  # so that a corrected file may begin
    Path("small.toml").write_text("")
    with pytest.raises(EnsembleError, match=r"small.toml is no ensemble"):
        run_search(load_config("new.toml"))
    Path("small.toml").unlink()
    with pytest.raises(EnsembleError, match=r"cannot read the ensemble small.toml"):
        run_search(load_config("new.toml"))


@pytest.mark.usefixtures("_cheap_ensemble")
def test_an_ensemble_of_cells_is_refused_in_another_space_before_the_first_trial() -> None:
    chosen = ("--proxies", ",".join(CHEAP), "--features=rank+structure", "--model=gap")
    invoke("fit", "runs/a", *chosen, "--fit-on=all", "--out=flow.toml")
    given = {
        "study": {"name": "sizes", "n_trials": 3},
        "space": {"name": "nats_sss"},
        "proxies": {"compute": list(CHEAP)},
        "benchmark": {"name": "none"},
    }
    refused = "proxies.compute: space.name = 'nats_sss', but the ensemble has features"
    objective = "ensemble:flow.toml"
    with pytest.raises(EnsembleError, match=f"objective '{objective}': {refused}"):
        run_search(parse_config({**given, "objectives": {objective: "maximize"}}))
    transferred = {"objectives": {"params": "minimize"}, "ensemble": {"from": "flow.toml"}}
    with pytest.raises(EnsembleError, match=f"ensemble.from = 'flow.toml': {refused}"):
        run_search(parse_config({**given, **transferred}))
    assert not Path("runs/sizes").exists()


@pytest.mark.usefixtures("_cheap_ensemble")
def test_a_search_minds_what_its_proxies_mean() -> None:
    invoke("apply", "small.toml", "--write-config=search.toml", "--to=new.toml")
    refit(Path("runs/a"), synflow="synflow, version 0")
    with pytest.raises(EnsembleError, match="'synflow' is not the one"):
        run_search(load_config("new.toml"))
    refit(Path("runs/a"))
    with pytest.warns(PredictionWarning, match="The ensemble does not say how synflow, params"):
        run_search(load_config("new.toml", ["study.n_trials=1"]))


@pytest.mark.usefixtures("_cheap_ensemble")
def test_a_weighted_sum_and_an_older_layout_become_one_objective(tmp_path: Path) -> None:
    text = SEARCH.replace('sampler = "random"', "sum_objectives = true").replace(
        'params = "minimize"', 'table_latency = { direction = "minimize", scale = 2.0 }'
    )
    Path("sum.toml").write_text(text.partition("[proxies]")[0])
    invoke("apply", "small.toml", "--write-config=sum.toml", "--to=a.toml")
    config = load_config("a.toml")
    assert [o.name for o in config.active_objectives] == ["ensemble:small.toml"]
    assert [o.name for o in config.objectives if not o.scale] == ["synflow", "latency_seconds"]
    assert not config.study.sum_objectives
    assert set(config.proxies_to_compute) == {"synflow", "params", "flops", "l2_norm"}

    mase = Path(__file__).parents[2] / "configs" / "mase.toml"
    with pytest.warns(UserWarning, match="MASE"):
        said = invoke("apply", "small.toml", "--write-config", mase, "--to=b.toml")
    assert "computed otherwise than those fitted to: space.channels 16" in flat(said)
    config = load_config("b.toml")
    assert [o.name for o in config.active_objectives] == ["ensemble:small.toml"]


FILE_NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)


@hypothesis.settings(
    max_examples=15, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
@hypothesis.given(FILE_NAMES, st.sampled_from([".toml", ".json"]))
def test_any_file_name_survives_a_search_file(
    fitted: Path, tmp_path: Path, name: str, suffix: str
) -> None:
    search, target = tmp_path / "search.toml", tmp_path / "new.toml"
    search.write_text(SEARCH)
    target.unlink(missing_ok=True)
    _write_search_file(Ensemble.load(fitted), f"{name}{suffix}", search, target)
    objectives = load_config(target).active_objectives
    assert [objective.name for objective in objectives] == [f"ensemble:{name}{suffix}"]


def test_an_objective_may_be_an_ensemble() -> None:
    config = settings(
        objectives={"ensemble:some folder/e.json": "default", "params": "minimize"},
        proxies={"compute": ["snip"]},
    )
    assert config.objectives[0].direction == "maximize"
    assert config.proxies_to_compute == ("params", "snip")
    assert parse_config(config_to_toml(config)) == config
    with pytest.raises(ConfigError, match=r"unknown objective 'ensemble:some folder/e.yaml'"):
        settings(objectives={"ensemble:some folder/e.yaml": "maximize"})


# Curve and comparison ---------------------------------------------------------------------------


def test_a_curve_is_printed_and_written(scores: Path, tmp_path: Path) -> None:
    folder = tmp_path / "curve"
    said = invoke(
        *("curve", scores, "--models=linear,gap", "--features=rank", "--proxies=snip,jacov"),
        *("--accuracies=20,50", "--draws=2", "--workers=1", "--out", folder),
    )
    for name in ("linear, rank", "gap, rank", "best single proxy", "aggregate", "params", "flops"):
        assert sum(line.startswith(name) for line in said.splitlines()) == 1
    draws = pd.read_csv(folder / "draws.csv")
    source = ScoresTable.read(scores)
    table = with_accuracies(source.table, open_benchmark(), "val_accuracy")
    expected = learning_curve(
        table,
        ["snip", "jacov"],
        [20, 50],
        2,
        models=["linear", "gap"],
        feature_sets=["rank"],
        directions=source.directions,
    )
    pd.testing.assert_frame_equal(draws, expected, check_dtype=False)
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "draws.parquet"), expected)
    summary = pd.read_csv(folder / "summary.csv")
    assert (summary["draws"] == 2).all()
    mean = expected[(expected["model"] == "gap") & (expected["size"] == 50)]["kendall_tau"].mean()
    assert f"{mean:.3f}"[1:] in said
    page = (folder / "curve.html").read_text()
    assert "accuracies seen" in page
    assert "cdn.plot.ly" not in page.partition("<div")[0]
    picture = folder / "curve.png"
    assert picture.exists() or "No picture: pictures need" in flat(said)


@pytest.mark.thorough
def test_models_and_features_named_twice_are_fitted_once(scores: Path, tmp_path: Path) -> None:
    said = invoke(
        *("curve", scores, "--models=linear,linear", "--features=rank,rank", "--proxies=snip"),
        *("--accuracies=20", "--draws=2", "--workers=1", "--out", tmp_path),
    )
    assert "mean of 2 draws" in flat(said)
    draws = pd.read_csv(tmp_path / "draws.csv")
    assert draws[draws["predictor"] == "ensemble"]["draw"].tolist() == [0, 1]


def test_a_curve_goes_as_far_as_the_table(scores: Path, tmp_path: Path) -> None:
    functions = ScoresTable.read(scores).table["function_key"].nunique()
    assert 100 < functions <= 200
    arguments = ("--draws=1", "--workers=1", "--proxies=snip", "--out", tmp_path)
    arguments = (*arguments, "--models=linear", "--features=rank")
    said = flat(invoke("curve", scores, *arguments))
    assert f"200, 400, 800 accuracies: there are {functions} functions" in said
    assert set(pd.read_csv(tmp_path / "summary.csv")["size"]) == {10, 25, 50, 100}


def test_a_front_is_compared_with_random_trials(run: Path, scores: Path, tmp_path: Path) -> None:
    out = tmp_path / "draws.csv"
    said = flat(invoke("compare", run, "--draws=4", "--proxies=snip,jacov", "--out", out))
    draws = pd.read_csv(out)
    trials = pd.read_csv(run / "trials.csv")
    front = trials[trials["pareto"]]["function_key"].nunique()
    assert (draws["fitted"] == front).all()
    taus = draws[draws["predictor"] == "ensemble"].groupby("fit_on")["kendall_tau"]
    change = taus.get_group("pareto").to_numpy() - taus.get_group("random").to_numpy()
    low, high = stats.t.interval(0.9, 3, change.mean(), stats.sem(change))
    assert (
        f"changes by {change.mean():+.3f} (90 % interval of the mean over 4 draws: "
        f"{low:+.3f} to {high:+.3f})."
    ) in said
    assert "judged on its other trials, which the sampler chose" in flat(said)
    said = flat(invoke("compare", run, "--draws=2", "--judge-on", scores))
    assert "which the sampler chose" not in said


@pytest.mark.thorough
def test_a_front_is_not_compared_with_another_data_set(run: Path, tmp_path: Path) -> None:
    other = write_scores(tmp_path / "other.parquet", 80, "ImageNet16-120", seed=1)
    message = r"made-up is scored for cifar10, and .*other.parquet for ImageNet16-120: .*--judge-on"
    with pytest.raises(EnsembleError, match=message):
        invoke("compare", run, "--draws=2", "--judge-on", other)
    same = write_scores(tmp_path / "same.parquet", 80, "cifar10-valid", seed=1)
    invoke("compare", run, "--draws=2", "--judge-on", same)


# No benchmark -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("_elsewhere")
def test_a_search_without_accuracies_ranks_by_the_aggregate() -> None:
    Path("search.toml").write_text(SEARCH)
    result = run_search(load_config("search.toml", ["benchmark.name=none"]))
    assert result.ensemble is None
    assert result.best is None
    ranked = pd.read_csv("runs/mine/ranking.csv")
    rows = result.trials[result.trials["feasible"]].drop_duplicates("architecture")
    assert list(ranked) == ["architecture", "aggregate", "predicted_rank"]
    assert len(ranked) == len(rows)
    flow = [name for name in DEFAULT_AGGREGATE if name not in CATALOGUE]
    best = rows["architecture"][aggregate(rows, flow).idxmax()]
    assert ranked["architecture"][0] == best
    assert any(f"First is {best}." in note for note in result.notes)
    chosen = ["synflow", "params"]
    others = ["study.name=others", "benchmark.name=none", f"ensemble.proxies={chosen}"]
    result = run_search(load_config("search.toml", others))
    logs = np.log(rows[chosen].rank() / len(rows)).mean(axis=1)
    assert result.ranking["architecture"].iloc[0] == rows["architecture"][logs.idxmax()]
    with pytest.raises(
        EnsembleError,
        match=r"runs/mine has no accuracies: benchmark.name = 'none'.*; --set benchmark.name=nasb",
    ):
        invoke("fit", "runs/mine")
    with pytest.raises(EnsembleError, match=r"rank by the accuracy-free aggregate$"):
        invoke("fit", "runs/mine", "--dataset", "digits")
    said = invoke("fit", "runs/mine", "--set", "benchmark.name=nasbench201")
    assert "wrote ensemble.toml" in said


# Bad input --------------------------------------------------------------------------------------


def broken_run(tmp_path: Path, **changes: Any) -> Path:
    return write_run(tmp_path / "broken", 40, **changes)


def test_a_proxy_that_is_never_finite_is_named(tmp_path: Path) -> None:
    folder = broken_run(tmp_path, snip=np.inf)
    with pytest.raises(EnsembleError, match=r"at least 2 distinct feasible .* rows hold 0"):
        invoke("fit", folder, "--out", tmp_path / "e.toml")
    with pytest.raises(EnsembleError, match="snip is finite in none"):
        invoke("curve", folder, "--out", tmp_path / "curve")
    with pytest.raises(EnsembleError, match="snip is finite in none"):
        invoke("compare", folder)


def test_one_trial_is_too_few(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "one")
    lines = (folder / "trials.csv").read_text().splitlines()
    (folder / "trials.csv").write_text("\n".join(lines[:2]))
    with pytest.raises(EnsembleError, match=r"at least 2 distinct .* the table's 1 rows hold 1"):
        invoke("fit", folder, "--out", tmp_path / "e.toml")
    with pytest.raises(EnsembleError, match=r"1 functions .* needs more than 10"):
        invoke("curve", folder, "--out", tmp_path / "curve")
    with pytest.raises(EnsembleError, match="front has 1 usable rows; 2 are needed"):
        invoke("compare", folder)


def test_equal_accuracies_leave_nothing_to_rank(tmp_path: Path) -> None:
    cell = str(sample_space(CellSpace(), 40, 5)[0])
    folder = broken_run(tmp_path, architecture=cell)
    trials = pd.read_csv(folder / "trials.csv")
    trials["function_key"] = trials["number"].astype(str)
    trials.to_csv(folder / "trials.csv", index=False)
    with pytest.raises(EnsembleError, match=r"have the same val_accuracy, .*: there is nothing to"):
        invoke("fit", folder, "--out", tmp_path / "e.toml")


def test_a_proxy_that_is_constant_over_the_front_is_left_out(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    trials = pd.read_csv(folder / "trials.csv")
    trials.loc[trials["pareto"], "flops"] = 7.0
    trials.to_csv(folder / "trials.csv", index=False)
    proxies = "--proxies=snip,jacov,flops"
    said = flat(invoke("fit", folder, proxies, "--out", tmp_path / "e.toml"))
    ensemble = Ensemble.load(tmp_path / "e.toml")
    assert ensemble.fit_on == "pareto"
    assert ensemble.proxies == ("snip", "jacov")
    assert f"Constant over the {ensemble.rows} rows, and left out: flops." in said


def test_a_file_edited_by_hand_or_of_a_later_version_is_refused(
    fitted: Path, scores: Path, tmp_path: Path
) -> None:
    edited = tmp_path / "edited.toml"
    edited.write_text(fitted.read_text().replace("rows = 60", "rows = 61"))
    later = tmp_path / "later.toml"
    later.write_text(fitted.read_text().replace("schema_version = 3", "schema_version = 4"))
    for arguments in (("show",), ("apply", scores)):
        command, *rest = arguments
        with pytest.raises(EnsembleError, match=r"edited.toml was changed after it was written"):
            invoke(command, edited, *rest)
        with pytest.raises(EnsembleError, match=r"has schema_version 4; this zc-search reads 3"):
            invoke(command, later, *rest)


def test_a_mistake_ends_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from zc_search.cli import main

    monkeypatch.setattr(sys, "argv", ["zc-search", "ensemble", "show", str(tmp_path / "e.toml")])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert (ended.value.code, said.out) == (2, "")
    assert said.err.startswith("zc-search: cannot read the ensemble ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--accuracies=1",), r"accuracies: 1 is given; allowed are 2 to \d+, because one"),
        (("--accuracies=9999",), r"accuracies: 9999 is given; allowed are 2 to \d+"),
        (("--accuracies=20", "--fit-on=pareto"), "--accuracies draws at random and --fit-on"),
        (("--proxies=snap",), r"unknown proxy 'snap'; did you mean 'snip'\? Allowed: "),
        (("--proxies=,",), "',' names none"),
        (("--model=liner",), r"unknown model 'liner'; did you mean 'linear'\?"),
        (("--features=rnk",), r"unknown feature set 'rnk'; did you mean 'rank'\?"),
        (("--fit-on=front",), r"unknown fit_on 'front'"),
        (("--set", "ensemble.fold=3"), r"ensemble.fold: unknown key; did you mean 'folds'"),
        (("--set", "benchmark.metric=latency_seconds"), r"benchmark.metric: unknown metric 'late"),
        (("--set", "benchmark.metric=test_accuracy"), r"test_accuracy"),
        (("--dataset=cifar",), r"unknown dataset 'cifar'; did you mean 'cifar10'"),
        (("--judge-on=nowhere",), r"nowhere: no such run folder or scores file"),
        (("--out=e.pickle",), r"unknown suffix '.pickle'"),
    ],
)
@pytest.mark.usefixtures("_elsewhere")
def test_a_wrong_option_of_fit_is_named(
    scores: Path, arguments: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ZcSearchError, match=message):
        invoke("fit", scores, *arguments)
    assert not Path("ensemble.toml").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--accuracies=100,50",), r"--accuracies '100,50': Allowed: whole numbers, ascending"),
        (("--accuracies=ten",), r"--accuracies 'ten': Allowed: whole numbers"),
        (("--accuracies=9999",), r"size: 9999 is given; allowed are 2 to \d+"),
        (("--models=ridg", "--accuracies=20"), r"unknown model 'ridg'; did you mean 'ridge'"),
    ],
)
def test_a_wrong_option_of_curve_is_named(
    scores: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    common = ("--draws=1", "--workers=1", "--out", tmp_path)
    with pytest.raises(EnsembleError, match=message):
        invoke("curve", scores, *common, *arguments)


@pytest.mark.thorough
def test_files_that_cannot_be_written_are_named(scores: Path, fitted: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"cannot be written \(Not a directory\)"):
        invoke("apply", fitted, scores, "--out", tmp_path / "file" / "r.csv")
    with pytest.raises(EnsembleError, match=r"file.*: cannot be written \(File exists\)"):
        invoke(
            *("curve", scores, "--accuracies=20", "--draws=1", "--workers=1", "--proxies=snip"),
            *("--out", tmp_path / "file"),
        )


def test_what_to_apply_to_must_be_said(fitted: Path, tmp_path: Path) -> None:
    with pytest.raises(EnsembleError, match="name what to apply it to"):
        invoke("apply", fitted)
    with pytest.raises(EnsembleError, match=r"--write-config SEARCH.toml and --to NEW.toml go tog"):
        invoke("apply", fitted, "--write-config=search.toml")
    search, there = tmp_path / "search.toml", tmp_path / "there.toml"
    search.write_text(SEARCH)
    there.touch()
    with pytest.raises(EnsembleError, match=r"there.toml is there already; name another"):
        invoke("apply", fitted, "--write-config", search, "--to", there)
    with pytest.raises(UsageError, match=r"new.toml.*: cannot be written \(No such file"):
        invoke("apply", fitted, "--write-config", search, "--to", tmp_path / "no" / "new.toml")
    with pytest.raises(ConfigError, match=r"serch.toml: no such file; did you mean"):
        invoke("apply", fitted, "--write-config", tmp_path / "serch.toml", "--to", tmp_path / "n")


def test_a_missing_proxy_is_named(run: Path, fitted: Path, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    config = settings(objectives={"snip": "maximize"}, proxies={"compute": ["params", "flops"]})
    (folder / "config.toml").write_text(config_to_toml(config))
    with pytest.raises(EnsembleError, match=r"run lacks jacov, which the ensemble was fitted to"):
        invoke("apply", fitted, folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"scores.parqet: no such run folder or scores file; did you mean .*scores.parquet"),
        ("text", r"is no Parquet file, or damaged"),
        ("table", r"is a Parquet file, but not one of `zc-search score`"),
        ("folder", r"is no finished run: it has no config.toml or no trials.csv; in it are .* one"),
        ("begun", r"is not finished; run the command that began it once more"),
        ("empty", r"trials.csv cannot be read"),
        ("columns", r"trials.csv has no column 'architecture'"),
    ],
)
def test_a_source_that_is_none_is_refused(
    scores: Path, tmp_path: Path, content: str | None, message: str
) -> None:
    path = tmp_path / "source"
    match content:
        case None:
            path = scores.with_name("scores.parqet")
        case "text":
            path.write_text("no table")
        case "table":
            pd.DataFrame({"a": [1]}).to_parquet(path)
        case "folder":
            write_run(path / "one")
        case "begun":
            path.with_name("source.parts").mkdir()
        case _:
            write_run(path)
            (path / "trials.csv").write_text("" if content == "empty" else "a,b\n1,2\n")
    with pytest.raises(ScoresError, match=message) as refused:
        ScoresTable.read(path)
    assert refused.value.given or content in ("empty", "columns")


def test_a_manifest_that_cannot_be_read_costs_the_definitions_only(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    for text in ("{", "[]"):
        (folder / "manifest.json").write_text(text)
        assert ScoresTable.read(folder).definitions is None
    (folder / "manifest.json").write_text('{"fingerprints": {"batch": "f"}}')
    assert ScoresTable.read(folder).settings["data.fingerprint"] == "f"


def test_architectures_of_another_space_have_no_accuracies() -> None:
    table = pd.DataFrame({"architecture": ["one", "two"]})
    with pytest.raises(EnsembleError, match="knows none of the architectures, such as 'one'"):
        with_accuracies(table, open_benchmark(), "val_accuracy")


def test_a_benchmark_that_is_not_there_costs_the_truth_only(
    scores: Path, fitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*arguments: object) -> None:
        raise BenchmarkError("it is gone")

    monkeypatch.setattr("zc_search.ensemble.scores.look_up_for", gone)
    said = flat(invoke("apply", fitted, scores))
    assert "True accuracies are not known: it is gone" in said
    assert "true %" not in said
