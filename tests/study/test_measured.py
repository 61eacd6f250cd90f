"""Accuracies made while a search runs: by a function of the user's, an object, or by training."""

import json
import math
import pickle
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import optuna
import pandas as pd
import pytest
import torch
from small_search import config_in
from typer.testing import CliRunner

from zc_search.benchmarks.measured import FILE, Measured, wanted_by
from zc_search.cli.app import app
from zc_search.config import Config, Training, parse_config
from zc_search.deploy.export import subject_of_run
from zc_search.deploy.feedback import Entrant
from zc_search.deploy.training import as_trained, train_run
from zc_search.ensemble.scores import fit_request, settings_for
from zc_search.errors import BenchmarkError, EnsembleError, StudyError
from zc_search.images.readers import read_digits
from zc_search.report import load_result
from zc_search.samplers import sampler_of
from zc_search.scoring.scores_file import ScoresTable
from zc_search.search import run_search
from zc_search.spaces import Architecture, CellSpace
from zc_search.spaces.network import build_network
from zc_search.study import Objective, conclude
from zc_search.study.recipe import Examples, train_network
from zc_search.study.storage import run_path
from zc_search.study.training import Trainer, read_results
from zc_search.study.worker import join_study

NETS = """
from pathlib import Path
from torch import nn

NETS = 3

def build(trial, task):
    depth = trial.suggest_int("depth", 1, 4)
    width = trial.suggest_categorical("width", [4, 8, 12])
    layers = [nn.Conv2d(task.channels, width, 3), nn.ReLU()]
    for _ in range(depth - 1):
        layers += [nn.Conv2d(width, width, 3, padding=1), nn.ReLU()]
    pool = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, *pool, nn.Linear(width, task.classes))

def accuracy(params):
    with open("calls.txt", "a") as file:
        file.write(f"{params['depth']} {params['width']}\\n")
    if params["depth"] == 1:
        raise RuntimeError("no depth")
    if params["width"] == 4:
        return float("nan")
    return 50 + 5 * params["depth"] + params["width"]

def several(network: nn.Module, task):
    size = sum(p.numel() for p in network.parameters())
    return {"val_accuracy": 60.0 + task.classes, "energy": size / 1000}

def beyond(text):
    return 101
"""


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "measured_nets.py").write_text(NETS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def config_of(folder: Path, name: str = "measured_nets:accuracy", **sections) -> Config:
    given = {
        "study": {"name": "small", "n_trials": 12, "sampler": "random"},
        "space": {"name": "measured_nets:build"},
        "data": {"source": "noise", "batch_size": 4},
        "benchmark": {"name": name},
        "objectives": {"val_accuracy": "maximize"},
        "output": {"folder": str(folder), "report": False},
        "ensemble": {"model": "linear", "features": "rank", "fit_on": "pareto", "repeats": 1},
    }
    return parse_config(given | {name: given.get(name, {}) | s for name, s in sections.items()})


def calls(folder: Path) -> Counter:
    return Counter((folder / "calls.txt").read_text().splitlines())


def test_a_function_is_asked_once_a_function_and_its_faults_cost_their_trials(nets: Path) -> None:
    config = config_of(nets, study={"n_trials": 10})
    result = run_search(config)
    table, asked = result.trials, calls(nets)
    assert set(asked.values()) == {1}
    assert len(asked) == table["function_key"].nunique() <= 10
    for row in table.to_dict("records"):
        params = json.loads(row["architecture"])
        if params["depth"] == 1:
            assert not row["feasible"]
            assert "raised RuntimeError: no depth" in row["reason"]
        elif params["width"] == 4:
            assert "val_accuracy is nan" in row["reason"]
        else:
            assert row["val_accuracy"] == 50 + 5 * params["depth"] + params["width"]
    known = table[table["feasible"]]
    assert result.trials["accuracies"].max() == known["function_key"].nunique()
    kept = pd.read_csv(result.folder / FILE)
    assert {*kept["architecture"]} == {*known["architecture"]}
    assert result.optimum is None
    more = config.model_copy(update={"study": config.study.model_copy(update={"n_trials": 11})})
    again = run_search(more)
    assert len(again.trials) == 11
    kept = [text for text, count in calls(nets).items() if count > 1]
    assert all(text.startswith("1 ") or text.endswith(" 4") for text in kept)  # no answer is lost
    fitted = fit_request(scores := ScoresTable.read(result.folder), settings_for(scores))
    assert fitted.rows == known["function_key"].nunique()
    table[["architecture", "params"]].to_csv(nets / "scores.csv", index=False)
    with pytest.raises(EnsembleError, match=r"accuracies\.csv"):
        fit_request(ScoresTable.read(nets / "scores.csv"), config)


def test_an_answer_is_kept_of_a_trial_that_was_not_told(
    nets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between an answer and its trial: the folder has it, and nobody is asked again."""
    config = config_of(nets, study={"n_trials": 4, "seed": 1})
    with monkeypatch.context() as patched:
        patched.setattr(Objective, "store", lambda *args, **kwargs: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run_search(config)
    (first,) = calls(nets)
    assert not first.startswith("1 ")
    assert not first.endswith(" 4")  # it has an answer
    run_search(config)
    assert set(calls(nets).values()) == {1}


def test_a_network_may_be_asked_for_and_several_figures_returned(nets: Path) -> None:
    config = config_of(
        nets,
        study={"n_trials": 4},
        objectives={"energy": "minimize"},
        benchmark={"name": "measured_nets:several", "directions": {"energy": "minimize"}},
    )
    result = run_search(config)
    table = result.trials
    pd.testing.assert_series_equal(table["energy"], table["params"] * 1000, check_names=False)
    assert (table["val_accuracy"] == 70).all()
    loaded = load_result(result.folder)
    assert [o.name for o in loaded.config.objectives][-1] == "energy"


def test_a_figure_beyond_its_range_is_none(nets: Path) -> None:
    config = config_of(nets, "measured_nets:beyond", study={"n_trials": 2})
    with pytest.raises(StudyError, match="none of the 2 trials has a value"):
        run_search(config)
    trials = pd.read_csv(run_path(config) / "trials.csv")
    assert trials["reason"].str.contains("101; Allowed: 0 to 100").all()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("measured_nets:none_such", "has no 'none_such'"),
        ("no_such_module:f", "cannot import"),
        ("measured_nets:NETS", "no function"),
    ],
)
def test_code_that_is_not_there_is_said_before_the_first_trial(
    nets: Path, name: str, words: str
) -> None:
    with pytest.raises(BenchmarkError, match=words) as caught:
        Objective(config_of(nets, name))
    assert caught.value.key == "benchmark.name"


def test_what_a_function_wants_goes_by_name_or_annotation() -> None:
    def annotated(given: torch.nn.Module, words: str, values: dict) -> float: ...

    assert wanted_by(annotated, "m:f") == ("network", "text", "params")
    assert wanted_by(lambda model, task: 0, "m:f") == ("network", "task")
    assert wanted_by(lambda cell, retries=3: 0, "m:f") == ("architecture",)
    for wrong in (lambda: 0, lambda a, b: 0, lambda a, *, b: 0):
        with pytest.raises(BenchmarkError) as caught:
            wanted_by(wrong, "m:f")
        assert "network" in caught.value.allowed


class Lengths:
    """An object that answers, and counts how often it was asked."""

    provenance = "Lengths."

    def __init__(self) -> None:
        self.asked: list[str] = []

    def query(self, architecture: Architecture) -> dict[str, float]:
        self.asked.append(str(architecture))
        return {"val_accuracy": 50 + sum(map(ord, architecture.function_key)) % 40}


def test_an_object_with_query_serves_a_study_of_ones_own() -> None:
    lengths = Lengths()
    objective = Objective(
        {"name": "nasbench201", "channels": 2, "cells": 1},
        {"val_accuracy": "maximize", "params": "minimize"},
        data="noise",
        batch_size=4,
        benchmark=lengths,
        proxies={"cache": "off"},
    )
    study = optuna.create_study(directions=objective.directions)
    study.optimize(objective, n_trials=12, n_jobs=2)
    assert len(lengths.asked) == len(set(lengths.asked))
    result = conclude(study, objective)
    assert result.provenance == "Lengths."
    known = result.trials[result.trials["feasible"]]
    for text, accuracy in zip(known["architecture"], known["val_accuracy"], strict=True):
        key = Architecture.from_string(text).function_key
        assert accuracy == 50 + sum(map(ord, key)) % 40
    copied = pickle.loads(pickle.dumps(objective))
    assert isinstance(copied.benchmark, Measured)
    assert copied.benchmark.query(Architecture.from_string(text)) == {"val_accuracy": accuracy}


# Training ------------------------------------------------------------------------------------

# Two convolutions in a row, by way of either node between.
CHAIN = "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|skip_connect~2|"
CHAIN_TOO = "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|nor_conv_3x3~1|none~2|"


def trained(folder: Path, **changes):
    sections = {
        "study": {"n_trials": 20, "max_accuracies": 3, "name": "trained"},
        "data": {"source": "digits", "batch_size": 16},
        "training": {"epochs": 2, "batch_size": 720},
        "proxies": {"cache": "off"},
        "constraints": {"max_params": "5k"},
        "ensemble": {"model": "linear", "features": "rank", "fit_on": "pareto", "repeats": 1},
    }
    merged = {name: table | changes.pop(name, {}) for name, table in sections.items()}
    objectives = ('benchmark.name="train"', 'objectives.val_accuracy="maximize"')
    return config_in(folder, *objectives, **merged, **changes)


def test_a_search_trains_and_its_accuracies_are_those_of_the_recipe(tmp_path: Path) -> None:
    config = trained(tmp_path, output={"report": True})
    seen = []
    result = run_search(config, on_progress=lambda p: seen.append((p.trainings, p.epoch, p.most)))
    kept = pd.read_csv(result.folder / FILE)
    assert len(kept) == 3
    assert result.trials["accuracies"].max() == 3
    assert (1, 2, 3) in seen
    assert (2, 1, 3) in seen
    assert result.trials.loc[result.trials["params"] > 0.005, "val_accuracy"].isna().all()
    images = read_digits()
    learnt, held_out = images.split(0.2, 0)
    examples = [Examples.of(images, those, learnt, "cpu") for those in (learnt, held_out)]
    for text, reached in zip(kept["architecture"], kept["val_accuracy"], strict=True):
        cell = Architecture.from_string(text)
        network = build_network(cell, images.task, channels=2, cells=1, seed=0)
        assert train_network(network, *examples, config.training)[-1] == reached
    page = (result.folder / "report.html").read_text(encoding="utf-8")
    assert "Trained here" in page
    assert result.best is not None
    assert (result.best.rank, result.best_seen.rank, result.optimum) == (None, None, None)
    # What was trained is there for those who come after.
    best = kept.loc[kept["val_accuracy"].idxmax(), "architecture"]
    subject = subject_of_run(result.folder)
    assert subject.weights is not None
    assert str(subject.architecture) == best
    before = len(pd.read_csv(result.folder / "training" / "results.csv"))
    outcome = train_run(result.folder, top=1)
    after = pd.read_csv(result.folder / "training" / "results.csv")
    assert len(after) - before < len(outcome.results)
    with pytest.raises(StudyError, match="accuracies of another table"):
        run_search(trained(tmp_path, training={"epochs": 3}, output={"report": True}))
    found = CliRunner().invoke(app, ["query", best, "-b", str(result.folder / FILE)])
    assert found.exit_code == 0, found.output
    assert "val_accuracy" in found.output


def test_no_function_is_trained_twice_whichever_of_its_cells_is_asked_for() -> None:
    one, other = Architecture.from_string(CHAIN), Architecture.from_string(CHAIN_TOO)
    assert one.function_key == other.function_key
    unlike = Architecture.from_index(7)
    results = pd.DataFrame({"architecture": [str(one)], "seed": [0]})
    entrants = [Entrant("chosen", str(a)) for a in (one, other, unlike)]
    named = as_trained(entrants, results, CellSpace())
    assert [e.architecture for e in named] == [str(one), str(one), str(unlike)]


@pytest.mark.thorough
def test_a_worker_trains_too_and_finds_what_others_trained(tmp_path: Path) -> None:
    """In the same folder nothing is trained twice; code is not needed, so none is allowed."""
    begun = trained(tmp_path, study={"storage": str(tmp_path / "t.journal"), "max_accuracies": 2})
    first = run_search(begun)
    study = {"storage": str(tmp_path / "t.journal"), "max_accuracies": 3}
    finished = join_study(
        str(tmp_path / "t.journal"), "trained", sampler_of, own=trained(tmp_path, study=study)
    )
    assert finished > len(first.trials)
    results = read_results(tmp_path / "trained" / "training")
    assert len(results) == 3
    assert not results["architecture"].duplicated().any()
    kept = pd.read_csv(tmp_path / "trained" / FILE)
    assert len(kept) == 3


def test_of_two_processes_on_one_folder_one_trains(tmp_path: Path) -> None:
    config, images, ends = trained(tmp_path), read_digits(), []
    trainers = [Trainer(config, images, "a") for _ in range(2)]
    for trainer in trainers:
        trainer.keep_in(tmp_path)
        trainer.on_epoch = ends.append
    text = str(Architecture.from_index(8_000))
    with ThreadPoolExecutor(2) as pool:
        rows = [*pool.map(lambda trainer: trainer.train(text, 0), trainers)]
    assert rows[0] == rows[1]
    assert len(ends) == config.training.epochs
    assert len(read_results(tmp_path / "training")) == 1


class KilledError(BaseException):
    """What no handler catches, as if the process were gone."""


@pytest.mark.thorough
def test_a_search_killed_in_the_middle_of_a_training_goes_on_from_its_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run_search(trained(tmp_path / "whole"))
    config, ended = trained(tmp_path / "killed"), []
    really = Trainer._ended

    def count(self, epoch) -> None:
        really(self, epoch)
        ended.append(epoch[:2])
        if len(ended) == 3:  # the first epoch of the second network
            raise KilledError

    monkeypatch.setattr(Trainer, "_ended", count)
    with pytest.raises(KilledError):
        run_search(config)
    resumed = run_search(config)
    assert len(ended) == len(set(ended)) == 6
    both = [pd.read_csv(result.folder / FILE) for result in (whole, resumed)]
    pd.testing.assert_frame_equal(*(table.drop(columns="train_seconds") for table in both))
    pd.testing.assert_frame_equal(
        *(r.trials[["architecture", "state", "accuracies"]] for r in (whole, resumed))
    )


def test_nothing_is_trained_for_a_trial_that_cannot_count(tmp_path: Path) -> None:
    config = trained(tmp_path, constraints={"max_latency_ms": 1e-6}, study={"n_trials": 3})
    result = run_search(config)
    assert not (result.folder / FILE).exists()
    reasons = result.trials.loc[result.trials["seconds_proxies"] > 0, "reason"]
    assert reasons.str.contains("not measured, as").any()


def test_recipe_and_images_are_the_folders_own(tmp_path: Path) -> None:
    images, config = read_digits(), trained(tmp_path)
    Trainer(config, images, "a").keep_in(tmp_path)
    with pytest.raises(StudyError, match="images"):
        Trainer(config, images, "b").keep_in(tmp_path)
    with pytest.raises(StudyError, match="epochs"):
        Trainer(config, images, "a", Training(epochs=9)).keep_in(tmp_path)
    assert math.isfinite(pickle.loads(pickle.dumps(Trainer(config, images, "a"))).recipe.epochs)
