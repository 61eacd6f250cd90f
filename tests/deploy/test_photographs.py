"""From photographs to a network of one's own: what users met on the way, each as it should be."""

import io
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

from zc_search.cli.app import app
from zc_search.config import load_config, parse_config
from zc_search.deploy.documents import network_source
from zc_search.deploy.export import subject_of_run
from zc_search.deploy.feedback import Entrant, trained_table, unconvincing
from zc_search.deploy.training import train_run
from zc_search.errors import StudyError
from zc_search.images.readers import read_folder
from zc_search.report.answer import answer
from zc_search.report.run import load_result
from zc_search.report.text import print_result, result_document
from zc_search.search import run_search

CLASSES = ("ant", "bee", "cat")


def photographs(folder: Path, count: int = 8) -> Path:
    """Write images of three classes, each of its own brightness."""
    rng = np.random.default_rng(0)
    for place, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(0, 60, (8, 8, 3)) + 80 * place
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{number}.png")
    return folder


def settings(folder: Path, **sections) -> dict:
    return {
        "study": {"name": "own", "n_trials": 4, "sampler": "random"},
        "space": {"channels": 4, "cells": 1},
        "data": {"source": "folder", "path": str(folder / "photos"), "batch_size": 6},
        "proxies": {"compute": ["params"]},
        "benchmark": {"name": "none"},
        "objectives": {"naswot_relu": "maximize"},
        "training": {"epochs": 1, "augment": []},
        "output": {"folder": str(folder / "runs"), "report": False},
    } | sections


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photographs")
    photographs(folder / "photos")
    result = run_search(parse_config(settings(folder)))
    train_run(result.folder, top=1)
    return folder


@pytest.fixture
def run(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the run and of its images, where they may be changed."""
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    config = tmp_path / "runs" / "own" / "config.toml"
    config.write_text(config.read_text().replace(str(trained), str(tmp_path)))
    return tmp_path / "runs" / "own"


# What belongs to the weights ----------------------------------------------------------------------


def test_classes_and_normalisation_are_those_that_were_trained_on(
    run: Path, tmp_path: Path
) -> None:
    photos, before = tmp_path / "photos", subject_of_run(run)
    images, data = read_folder(photos), load_config(run / "config.toml").data
    truth = images.pixels[images.split(data.validation, data.seed)[0]].astype(np.float64)
    assert before.class_names == CLASSES
    assert not before.notes
    assert before.mean == pytest.approx(truth.mean((0, 2, 3)), rel=1e-5)
    assert before.spread == pytest.approx(truth.std((0, 2, 3)), rel=1e-5)
    (photos / "ant").rename(photos / "zebra")  # which would be the last class now
    Image.new("RGB", (8, 8), "white").save(photos / "bee" / "more.png")
    after = subject_of_run(run)
    assert network_source(after) == network_source(before)
    assert "not those trained on: their classes were ant, bee, cat" in after.notes[0]
    shutil.rmtree(photos)
    to = str(tmp_path / "gone")
    done = CliRunner().invoke(app, ["export", str(run), "--to", to, "--no-onnx"])
    assert done.exit_code == 0, repr(done.exception)
    said = " ".join(done.output.split())
    assert "The images trained on are no longer there" in said
    assert "Classes and normalisation are those of the weights" in said
    assert (tmp_path / "gone" / "network.py").read_text() == network_source(before)


def test_training_goes_on_with_the_same_images_alone(run: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    (photos / "ant").rename(photos / "ape")  # the same order, so the batch is the same
    with pytest.raises(StudyError, match="of other images: their classes were ant, bee, cat"):
        train_run(run, top=1)
    (photos / "ape").rename(photos / "ant")
    assert len(train_run(run, top=1).results)


# What an ensemble may recommend -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tau", "low", "said"),
    [(-0.17, -0.4, "-0.17"), (0.0, np.nan, "0.00"), (0.3, -0.1, "0.30"), (0.3, 0.1, None)],
)
def test_an_ensemble_no_better_than_chance_recommends_nothing(tau, low, said) -> None:
    quality = pd.DataFrame(
        {
            "predictor": ["ensemble", "aggregate"],
            "kendall_tau": [tau, 0.5],
            "kendall_tau_low": [low, 0.2],
            "kendall_tau_high": [0.6, 0.7],
        }
    )
    reason = unconvincing(quality)
    assert (reason is None) == (said is None)
    if reason is not None:
        assert f"Kendall's tau in cross-validation is {said}" in reason
        assert "nothing is recommended from it" in reason


# What the answer is after training ----------------------------------------------------------------


def test_what_was_trained_is_a_table_the_best_feasible_first() -> None:
    limits = {"max_params": 1_000_000, "max_latency_ms": 20.0}
    config = parse_config(settings(Path("any"), constraints=limits))
    costs = {"params": [0.5, 0.5, 0.5, 2.0], "latency[images=1]": [9.0, 28.0, 9.0, 9.0]}
    scored = pd.DataFrame({"architecture": [*"abcd"], "feasible": True, **costs})
    results = pd.DataFrame(
        {"architecture": [*"aabcde"], "accuracy": [80.0, 84.0, 95.0, 90.0, 99.0, 98.0]}
    )
    entrants = [Entrant("chosen", "a"), Entrant("random", "b"), Entrant("most parameters", "a")]
    entrants += [Entrant("random", "c"), Entrant("most parameters", "d")]
    table = trained_table(config, scored, results, entrants, judged_by=50)
    assert table["architecture"].tolist() == [*"cadeb"]
    assert table["feasible"].tolist() == [True, True, False, False, False]
    row = table.set_index("architecture").loc["a"]
    assert row["group"] == "chosen, most parameters"
    assert row["accuracy"] == 82
    assert row["trainings"] == 2
    share = (0.82 * 50 + 1) / 52  # Laplace's rule of succession
    of_images, of_seeds = 100 * np.sqrt(share * (1 - share) / 50), np.std([80, 84], ddof=1) / 2**0.5
    assert row["standard_error"] == pytest.approx(np.hypot(of_images, of_seeds))
    assert table.set_index("architecture").loc["e", "group"] == "earlier"  # of unknown costs


def test_the_answer_is_what_was_trained(run: Path) -> None:
    trained = pd.read_csv(run / "training" / "trained.csv")
    first = trained.iloc[0]
    assert first["accuracy"] == trained.loc[trained["feasible"], "accuracy"].max()
    result = load_result(run)
    said = answer(result, None)
    assert said.architecture == first["architecture"] == str(subject_of_run(run).architecture)
    assert said.heading == f"Best of the {len(trained)} architectures trained"
    assert f"it reaches {first['accuracy']:.2f} % of the validation images" in said.summary
    for text in ((run / "report.html").read_text(), printed(result)):
        for row in trained.to_dict("records"):
            assert f"{row['accuracy']:.2f} \N{PLUS-MINUS SIGN} {row['standard_error']:.2f}" in text
    document = json.loads(result_document(result))
    assert [row["architecture"] for row in document["trained"]] == [*trained["architecture"]]


def test_the_same_search_again_keeps_the_answer(trained: Path) -> None:
    folder = trained / "runs" / "own"
    config = load_config(folder / "config.toml", ["output.report=true"])
    again = run_search(config)  # which has all its trials
    heading = answer(again, None).heading
    assert heading == answer(load_result(folder), None).heading
    assert heading in (folder / "report.html").read_text()


def test_a_network_beyond_a_constraint_is_not_the_one_exported(run: Path) -> None:
    path = run / "training" / "trained.csv"
    trained = pd.read_csv(path)
    trained.loc[0, "feasible"] = False
    order = ["feasible", "accuracy"]
    trained.sort_values(order, ascending=False, kind="stable").to_csv(path, index=False)
    assert str(subject_of_run(run).architecture) == trained["architecture"][1]
    heading = answer(load_result(run), None).heading
    assert heading == f"Best of the {len(trained)} architectures trained that keep the constraints"


def printed(result) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    print_result(console, result)
    return console.export_text()
