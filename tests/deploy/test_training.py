"""Training: the recipe itself, going on after a kill, and what is learnt from the accuracies."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from zc_search.cli.app import app
from zc_search.config import Training, load_config, parse_config
from zc_search.deploy import feedback
from zc_search.deploy.export import export_network, subject_of_run
from zc_search.deploy.feedback import Entrant, by_group, verdict
from zc_search.deploy.training import train_run
from zc_search.ensemble import RECOMMENDED_PROXIES, Ensemble
from zc_search.errors import StudyError
from zc_search.images import image_set
from zc_search.images.readers import read_digits, read_npz
from zc_search.report.answer import trained_confusion, trained_rows, worst_classes
from zc_search.report.run import load_result
from zc_search.scoring.scores_file import ScoresTable
from zc_search.search import run_search
from zc_search.spaces import Architecture
from zc_search.spaces.network import build_network
from zc_search.study.recipe import Examples, accuracy, augment, stalled, train_network
from zc_search.study.record import (
    class_accuracies,
    confusion_matrix,
    confusion_rows,
    read_confusion,
)
from zc_search.study.training import weights_file

CELL = Architecture.from_string(
    "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"
)


@pytest.fixture(scope="module")
def digits():
    images = read_digits()
    training, held_out = images.split(0.5, 0)
    return (
        images,
        Examples.of(images, training[:256], training, "cpu"),
        Examples.of(images, held_out[:200], training, "cpu"),
    )


def network(images, seed=0):
    return build_network(CELL, images.task, channels=2, cells=1, seed=seed)


# One network ---------------------------------------------------------------------------------


def test_it_follows_the_recipe_step_by_step(digits) -> None:
    """Against torch's own schedule, written out, without augmentation."""
    images, training, validation = digits
    recipe = Training(epochs=2, batch_size=64, augment=(), learning_rate=0.05)
    ours, theirs = network(images), network(images)
    reached = train_network(ours, training, validation, recipe, seed=5)
    optimizer = torch.optim.SGD(
        theirs.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4, nesterov=True
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 8)
    theirs.train()
    for epoch in range(2):
        generator = torch.Generator().manual_seed(5 * 1_000_003 + epoch)
        for places in torch.randperm(256, generator=generator).split(64):
            optimizer.zero_grad()
            logits = theirs(training.normalised(places))
            torch.nn.functional.cross_entropy(logits, training.labels[places]).backward()
            optimizer.step()
            schedule.step()
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        right = theirs.eval()(validation.normalised(torch.arange(200))).argmax(1)
    assert reached[-1] == pytest.approx(100 * (right == validation.labels).float().mean().item())
    assert reached[-1] == accuracy(ours, validation)


def test_a_killed_training_goes_on_as_if_nothing_had_been(digits, tmp_path: Path) -> None:
    images, training, validation = digits
    recipe = Training(epochs=4, augment=("crop", "flip"))
    whole = network(images)
    reached = train_network(whole, training, validation, recipe)
    file = tmp_path / "x.part"

    class KilledError(Exception):
        pass

    def kill(epoch: int, accuracy: float) -> None:
        if epoch == 2:
            raise KilledError

    with pytest.raises(KilledError):
        train_network(network(images), training, validation, recipe, checkpoint=file, on_epoch=kill)
    epochs = []
    again = network(images, seed=9)  # the checkpoint counts, not what was drawn
    resumed = train_network(
        again,
        training,
        validation,
        recipe,
        checkpoint=file,
        on_epoch=lambda epoch, accuracy: epochs.append(epoch),
    )
    assert epochs == [3, 4]
    assert resumed == reached
    for mine, other in zip(again.state_dict().values(), whole.state_dict().values(), strict=True):
        assert torch.equal(mine, other)


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({"steps": 9, "batch_size": 300}, marks=pytest.mark.thorough),
        {"ema": 0.9, "mixup": 0.4, "label_smoothing": 0.1},
        pytest.param({"patience": 1, "ema": 0.5}, marks=pytest.mark.thorough),
    ],
    ids=["steps", "ema and mixup", "patience"],
)
def test_whatever_the_recipe_a_killed_training_goes_on(digits, tmp_path: Path, more) -> None:
    images, training, validation = digits
    recipe = Training(epochs=4, **more)
    whole, killed, again = network(images), network(images), network(images, seed=9)
    reached = train_network(whole, training, validation, recipe)
    file = tmp_path / "x.part"
    with pytest.raises(ZeroDivisionError):
        train_network(
            killed,
            training,
            validation,
            recipe,
            checkpoint=file,
            on_epoch=lambda number, _: 1 // (2 - number),
        )
    assert train_network(again, training, validation, recipe, checkpoint=file) == reached
    kept = torch.load(file, weights_only=True)["network"]
    for name, value in whole.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
        assert torch.equal(kept[name], value)  # what is exported
    assert accuracy(again, validation) == (max if recipe.patience else list.pop)(reached)


def test_each_addition_to_the_recipe_is_the_published_one(digits) -> None:
    """Against the sums written out: steps over few images, smoothing, mixup, and the average."""
    images, training, validation = digits
    recipe = Training(
        epochs=2, steps=5, batch_size=200, augment=(), mixup=0.3, label_smoothing=0.2, ema=0.8
    )
    ours, theirs = network(images), network(images)
    train_network(ours, training, validation, recipe, seed=5)
    optimizer = torch.optim.SGD(
        theirs.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 6)
    theirs.train()
    average: dict[str, torch.Tensor] = {}
    for epoch in range(2):
        drawn = torch.Generator().manual_seed(5 * 1_000_003 + epoch)
        order = torch.cat([torch.randperm(256, generator=drawn) for _ in range(3)])
        for step in range(3):  # five steps in two epochs are three each
            places = order[200 * step : 200 * step + 200]
            seed = int(torch.randint(2**31, (1,), generator=drawn))
            share = np.random.default_rng(seed).beta(0.3, 0.3)
            other = places[torch.randperm(200, generator=drawn)]
            first, second = training.normalised(places), training.normalised(other)
            logs = theirs(share * first + (1 - share) * second).log_softmax(1)
            one_hot = torch.nn.functional.one_hot(training.labels, 10)
            mixed = share * one_hot[places] + (1 - share) * one_hot[other]
            loss = -((0.8 * mixed + 0.02) * logs).sum(1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            for name, value in theirs.state_dict().items():
                new = value.clone()
                if name in average and value.is_floating_point():
                    new = 0.8 * average[name] + 0.2 * new
                average[name] = new
    for name, value in ours.state_dict().items():
        if not value.is_floating_point():  # batches counted, which have no say
            continue
        torch.testing.assert_close(value, average[name], rtol=1e-3, atol=1e-4)


def test_patience_counts_from_the_first_of_the_best_epochs() -> None:
    assert not stalled([], 1)
    assert not stalled([50.0, 60.0, 60.0, 55.0], None)
    assert stalled([50.0, 60.0, 60.0, 55.0], 2)
    assert not stalled([50.0, 60.0, 60.0, 55.0], 3)


def test_a_damaged_checkpoint_costs_its_epochs_only(digits, tmp_path: Path) -> None:
    images, training, validation = digits
    recipe = Training(epochs=1)
    (tmp_path / "x.part").write_bytes(b"cut short")
    reached = train_network(
        network(images), training, validation, recipe, checkpoint=tmp_path / "x.part"
    )
    assert reached == train_network(network(images), training, validation, recipe)


def test_a_network_learns_what_can_be_learnt() -> None:
    labels = np.arange(120) % 2
    pixels = np.zeros((120, 1, 8, 8), np.uint8)
    pixels[labels == 1, :, 2:6, 2:6] = 200
    images = image_set("squares", pixels, labels)
    training, held_out = images.split(0.5, 0)
    recipe = Training(epochs=6, batch_size=20, augment=("crop",))
    reached = train_network(
        network(images),
        Examples.of(images, training, training, "cpu"),
        Examples.of(images, held_out, training, "cpu"),
        recipe,
    )
    assert reached[-1] == 100


def test_augmentation_crops_flips_and_repeats() -> None:
    images = torch.arange(1.0, 1 + 4 * 16 * 16).reshape(4, 1, 16, 16)

    def drawn(*kinds: str, seed: int = 0):
        return augment(images, kinds, torch.Generator().manual_seed(seed))

    assert torch.equal(drawn(), images)
    assert torch.equal(drawn("crop", "flip"), drawn("crop", "flip"))
    assert not torch.equal(drawn("crop"), drawn("crop", seed=1))
    for made, image in zip(drawn("flip"), images, strict=True):
        assert torch.equal(made, image) or torch.equal(made, image.flip(2))
    padded = torch.nn.functional.pad(images, (2, 2, 2, 2))
    for made, image in zip(drawn("crop"), padded, strict=True):
        windows = image[0].unfold(0, 16, 1).unfold(1, 16, 1).reshape(-1, 16, 16)
        assert any(torch.equal(made[0], window) for window in windows)
        assert len(windows) == 25


# A run ---------------------------------------------------------------------------------------

RECIPE = {"epochs": 1, "augment": ["crop"], "batch_size": 480}


def searched(folder: Path, **sections):
    return run_search(
        parse_config(
            {
                "study": {"name": "own", "n_trials": 12, "sampler": "random"},
                "space": {"channels": 2, "cells": 1},
                "data": {"source": "digits", "batch_size": 10},
                "proxies": {"compute": [*RECOMMENDED_PROXIES, "params"]},
                "benchmark": {"name": "none"},
                "objectives": {"meco": "maximize"},
                "training": RECIPE,
                "ensemble": {"folds": 2, "repeats": 1},
                "output": {"folder": str(folder), "report": False},
            }
            | sections
        )
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory):
    result = searched(tmp_path_factory.mktemp("runs"))
    steps = []
    with pytest.MonkeyPatch.context() as patch:  # eleven trainings of one epoch are no evidence
        patch.setattr(feedback, "unconvincing", lambda quality: None)
        outcome = train_run(result.folder, top=5, on_step=steps.append)
    return result, outcome, steps


def test_the_best_few_are_trained_and_as_many_at_random(trained) -> None:
    result, outcome, steps = trained
    groups = outcome.groups.set_index("group")["architectures"].to_dict()
    assert groups == {"chosen": 5, "random": 5, "most parameters": 1}
    entrants = pd.read_csv(outcome.folder / "entrants.csv")
    chosen = entrants[entrants["group"] == "chosen"]["architecture"]
    assert chosen.tolist() == result.ranking["architecture"].head(5).tolist()
    largest = entrants[entrants["group"] == "most parameters"]["architecture"].item()
    rows = result.trials.set_index("architecture")["params"]
    assert rows[largest].max() == result.trials.loc[result.trials["feasible"], "params"].max()
    assert steps[-1].done == steps[-1].total == len(outcome.results)
    assert outcome.results["accuracy"].between(0, 100).all()


def test_the_ensemble_is_refitted_and_the_ranking_updated(trained) -> None:
    result, outcome, _ = trained
    assert outcome.ensemble is not None
    assert Ensemble.load(outcome.folder / "ensemble.toml").metadata["dataset"] == "digits"
    means = outcome.results.groupby("architecture")["accuracy"].mean()
    known = outcome.ranking.set_index("architecture")["val_accuracy"].dropna()
    assert known.to_dict() == pytest.approx(means.to_dict())
    assert len(outcome.ranking) > len(means)
    assert any(
        "refitted on" in note and "accuracies of digits itself" in note for note in outcome.notes
    )
    # One fitted on the user's own images may be applied to the run as any other.
    assert ScoresTable.read(result.folder).dataset == "digits"


def test_the_report_says_what_training_gave(trained) -> None:
    result, outcome, _ = trained
    notes = load_result(result.folder).notes
    assert set(outcome.notes) <= set(notes)
    page = (result.folder / "report.html").read_text()
    assert outcome.notes[0].split(":")[0] in page
    assert f"Best of the {len(outcome.trained)} architectures trained" in page
    scores = pd.read_csv(outcome.folder / "scores.csv")
    entrants = pd.read_csv(outcome.folder / "entrants.csv")["architecture"]
    assert set(scores["architecture"]) == set(entrants) - set(result.trials["architecture"])


def test_which_class_is_taken_for_which_is_kept_and_shown(trained) -> None:
    """Against predictions made here, from the weights in the folder."""
    result, outcome, _ = trained
    best = outcome.trained["architecture"].iloc[0]
    images = read_digits()
    training, held_out = images.split(0.2, 0)
    examples = Examples.of(images, held_out, training, "cpu")
    module = build_network(Architecture.from_string(best), images.task, channels=2, cells=1)
    state = torch.load(weights_file(outcome.folder, best, 0), weights_only=True)
    module.load_state_dict(state["network"])
    with torch.no_grad():
        predicted = module.eval()(examples.normalised(torch.arange(len(examples)))).argmax(1)
    expected = np.zeros((10, 10), int)
    for true, taken in zip(images.labels[held_out], predicted.tolist(), strict=True):
        expected[true, taken] += 1
    table = trained_confusion(load_result(result.folder))
    assert table["split"].unique().tolist() == ["validation"]
    names, matrix = confusion_matrix(table)
    assert names == images.class_names
    assert matrix.tolist() == expected.tolist()
    shares = 100 * np.diag(expected) / expected.sum(1)
    rows = class_accuracies(table)
    assert rows["accuracy"].to_dict() == pytest.approx(dict(zip(names, shares, strict=True)))
    assert rows.index[0] == names[shares.argmin()]
    page = (result.folder / "report.html").read_text()
    assert 'id="confusion"' in page
    assert f"The worst class is {rows.index[0]}, {shares.min():.1f} % of it recognised." in page
    text = worst_classes(load_result(result.folder))
    assert text.startswith(f"Of 10 classes the first recognises worst: {rows.index[0]} ")


@pytest.mark.thorough
def test_images_to_test_by_are_looked_at_once_in_the_end(tmp_path: Path) -> None:
    digits = read_digits()
    order = np.random.default_rng(0).permutation(len(digits.labels))
    parts = dict(zip(("train", "val", "test"), np.split(order[:500], [300, 400]), strict=True))
    arrays = {f"x_{name}": digits.pixels[places] for name, places in parts.items()}
    arrays |= {f"y_{name}": digits.labels[places] for name, places in parts.items()}
    np.savez(tmp_path / "own.npz", **arrays)
    result = searched(
        tmp_path,
        study={"name": "own", "n_trials": 3, "sampler": "random"},
        data={"source": "npz", "path": str(tmp_path / "own.npz"), "batch_size": 10},
    )
    outcome = train_run(result.folder, top=1)
    table, best = outcome.trained, outcome.trained.iloc[0]
    assert "test_accuracy" in table
    assert np.isfinite(table["test_accuracy"]).all()
    images = read_npz(tmp_path / "own.npz")
    training, _ = images.split(0.2, 0)
    examples = Examples.of(images, images.places("test"), training, "cpu")
    cell = Architecture.from_string(best["architecture"])
    module = build_network(cell, images.task, channels=2, cells=1)
    file = weights_file(outcome.folder, best["architecture"], 0)
    module.load_state_dict(torch.load(file, weights_only=True)["network"])
    assert accuracy(module, examples) == pytest.approx(best["test_accuracy"])
    right = (best["test_accuracy"] + 1) / 102
    assert best["test_standard_error"] == pytest.approx(100 * np.sqrt(right * (1 - right) / 100))
    before = (outcome.folder / "confusion.csv").read_text()
    train_run(result.folder, top=1)
    assert (outcome.folder / "confusion.csv").read_text() == before
    loaded = load_result(result.folder)
    assert trained_rows(loaded)[0]["test, %"].startswith(f"{best['test_accuracy']:.2f} ")
    page = (result.folder / "report.html").read_text()
    assert "On the test images, which had no part in anything" in page
    assert "test images" in page


def test_a_class_may_be_called_as_pandas_calls_nothing(tmp_path: Path) -> None:
    matrix = np.array([[3, 1], [0, 0]])
    rows = confusion_rows(matrix, ("NA", "1"), architecture="a", seed=0, split="validation")
    rows.to_csv(tmp_path / "confusion.csv", index=False)
    read = read_confusion(tmp_path)
    assert confusion_matrix(read)[0] == ("NA", "1")
    assert confusion_matrix(read)[1].tolist() == matrix.tolist()
    assert class_accuracies(read).to_dict("index") == {
        "NA": {"images": 4, "accuracy": 75.0, "taken_for": "1"}
    }


def test_the_trained_network_is_the_one_exported(trained, tmp_path: Path) -> None:
    result, outcome, _ = trained
    subject = subject_of_run(result.folder)
    means = outcome.results.groupby("architecture")["accuracy"].mean()
    assert means[str(subject.architecture)] == means.max()
    exported = export_network(subject, tmp_path / "out", onnx=False)
    assert exported.trained
    card = (tmp_path / "out" / "README.md").read_text()
    assert f"{means.max():.2f} % of the validation images after 1 epoch, one training" in card
    assert "in-sample: the ensemble was fitted to its accuracy too" in card
    assert "| Proxies | " in card
    assert "The weights are trained." in card


def test_the_card_names_the_images_that_the_weights_were_trained_on(
    trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = trained[0]
    benchmark = result.config.benchmark.model_copy(update={"name": "nasbench201"})
    config = result.config.model_copy(update={"benchmark": benchmark})
    assert not config.data_decides
    monkeypatch.setattr(
        "zc_search.deploy.subject.load_result", lambda run: replace(result, config=config)
    )
    subject = subject_of_run(result.folder)
    assert subject.weights is not None
    assert subject.task == read_digits().task
    assert len(subject.mean) == 1
    assert subject.known["Data"] == read_digits().described()


@pytest.mark.thorough
def test_a_training_killed_before_its_result_was_written_is_not_repeated(
    trained, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained[0].folder, run)
    before = pd.read_csv(run / "training" / "results.csv")
    before.iloc[:-1].to_csv(run / "training" / "results.csv", index=False)
    steps = []
    after = train_run(run, top=5, on_step=steps.append).results
    assert len([step for step in steps if step.epoch]) == 1
    assert after["accuracy"].tolist() == before["accuracy"].tolist()
    assert not list((run / "training" / "weights").glob("*.part"))


def test_other_recipes_and_other_images_are_not_mixed(trained) -> None:
    result = trained[0]
    with pytest.raises(
        StudyError, match=r"of another recipe .epochs: 1 before, 2 now.: go on with"
    ):
        train_run(result.folder, recipe=Training(**RECIPE | {"epochs": 2}))
    manifest = json.loads((result.folder / "manifest.json").read_text())
    changed = manifest | {"fingerprints": {"batch": "0" * 64}}
    (result.folder / "manifest.json").write_text(json.dumps(changed))
    try:
        with pytest.raises(StudyError, match="the images are not those of the search in"):
            train_run(result.folder)
    finally:
        (result.folder / "manifest.json").write_text(json.dumps(manifest))


def test_too_few_accuracies_fit_nothing(tmp_path: Path) -> None:
    result = searched(
        tmp_path,
        study={"name": "few", "n_trials": 4, "sampler": "random"},
        proxies={"compute": ["params"]},
        constraints={"max_params": 3000},
    )
    stale = [result.folder / "training" / name for name in ("ensemble.toml", "ranking.csv")]
    stale[0].parent.mkdir()
    for file in stale:
        file.write_text("of an earlier call with more entrants")
    outcome = train_run(result.folder, top=1, seeds=2)
    assert outcome.ensemble is None
    assert not any(file.exists() for file in stale)
    assert "too few to refit the ensemble: 10 are needed" in outcome.notes[-1]
    assert outcome.results.groupby("architecture")["seed"].nunique().tolist() == [2] * len(
        outcome.results["architecture"].unique()
    )
    subject = subject_of_run(result.folder, result.ranking["architecture"].iloc[0])
    mine = outcome.results[outcome.results["architecture"] == str(subject.architecture)]["accuracy"]
    assert subject.known["Predicted"].startswith("place 1 of")
    assert subject.known["Reached"].startswith(
        f"{mine.max():.2f} % of the validation images after 1 epoch, the best of 2 trainings, "
        f"{mine.mean():.2f} % on average"
    )
    entrants = pd.read_csv(outcome.folder / "entrants.csv")
    for text in entrants["architecture"]:  # the random ones keep the constraint too
        module = build_network(
            Architecture.from_string(text), read_digits().task, channels=2, cells=1
        )
        assert sum(p.numel() for p in module.parameters()) <= 3000


def test_a_run_without_ranking_or_images(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="is no finished run"):
        train_run(tmp_path)
    done = CliRunner().invoke(app, ["train", str(tmp_path), "--set", "study.n_trials=3"])
    assert "is no finished run" in str(done.exception)


@pytest.mark.thorough
def test_an_architecture_by_name_needs_no_others(trained, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained[0].folder, run)
    before = pd.read_csv(run / "training" / "trained.csv")
    command = ["train", str(run), "--architecture", str(CELL), "--architecture", str(CELL)]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "Validation accuracy, %" not in done.output
    after = pd.read_csv(run / "training" / "trained.csv")
    assert len(after) == len(before) + 1
    assert after.set_index("architecture")["group"][str(CELL)] == "named"
    same = after[after["group"] != "named"].reset_index(drop=True)
    pd.testing.assert_frame_equal(same, before)  # groups of the earlier ones too
    assert (run / "training" / "ensemble.toml").exists()
    fresh = CliRunner().invoke(app, [*command, "--epochs", "2", "--fresh", "--top", "2"])
    assert "--top takes the first" in str(fresh.exception)
    fresh = CliRunner().invoke(app, [*command, "--epochs", "2", "--fresh"])
    assert fresh.exit_code == 0, fresh.output
    alone = pd.read_csv(run / "training" / "trained.csv")
    assert alone["architecture"].tolist() == [str(CELL)]
    assert str(subject_of_run(run).architecture) == str(CELL)


def test_only_training_may_be_changed_afterwards(trained) -> None:
    done = CliRunner().invoke(app, ["train", str(trained[0].folder), "--set", "data.seed=3"])
    assert "a finished search keeps its settings; Allowed: training.KEY=value" in str(
        done.exception
    )


def test_the_shipped_search_file_keeps_to_what_it_says() -> None:
    config = load_config(Path(__file__).parents[2] / "configs" / "own_images.toml")
    assert config.data_decides
    assert set(RECOMMENDED_PROXIES) <= set(config.proxies_to_compute)


def test_a_second_call_trains_nothing_and_prints_the_same(trained) -> None:
    result, outcome, _ = trained
    done = CliRunner().invoke(app, ["train", str(result.folder), "--top", "5"])
    assert done.exit_code == 0, done.output
    for said in ("chosen", "random", "most parameters", "next", "zc-search export"):
        assert said in done.output
    again = pd.read_csv(outcome.folder / "results.csv")
    pd.testing.assert_frame_equal(again, outcome.results)  # the seconds of each training too


@pytest.mark.thorough
def test_killed_between_trainings_it_goes_on(trained, tmp_path: Path) -> None:
    """With SIGKILL, as nothing can be said or written then."""
    run = tmp_path / "run"
    shutil.copytree(trained[0].folder, run, ignore=shutil.ignore_patterns("training"))
    command = [sys.executable, "-m", "zc_search", "train", str(run), "--top", "1", "--epochs", "4"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    results = run / "training" / "results.csv"
    while not results.exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = pd.read_csv(results)
    after = train_run(run, top=1, recipe=Training(**RECIPE | {"epochs": 4})).results
    assert len(before) < len(after)
    pd.testing.assert_frame_equal(after.head(len(before)), before)
    assert not list((run / "training" / "weights").glob("*.part"))


# Figures -------------------------------------------------------------------------------------


def test_groups_are_summarised_by_hand() -> None:
    rows = [
        ("a", 0, 90.0),
        ("a", 1, 92.0),
        ("b", 0, 95.0),
        ("b", 1, 95.0),
        ("c", 0, 80.0),
        ("c", 1, 80.0),
        ("d", 0, 84.0),
        ("d", 1, 84.0),
    ]
    results = pd.DataFrame(rows, columns=["architecture", "seed", "accuracy"])
    entrants = [
        Entrant("chosen", "a"),
        Entrant("chosen", "b"),
        Entrant("random", "c"),
        Entrant("random", "d"),
        Entrant("most parameters", "a"),
    ]
    groups = by_group(results, entrants).set_index("group")
    assert groups.loc["chosen", "mean"] == 93
    assert groups.loc["chosen", "spread"] == pytest.approx(np.std([91, 95], ddof=1))
    assert groups.loc["random", "standard_error"] == pytest.approx(2)
    assert np.isnan(groups.loc["most parameters", "spread"])
    assert verdict(groups.reset_index()) == (
        "The chosen reach 93.00 % on average, as many random ones 82.00 %: a difference of "
        f"+11.00 points, more than its standard error of {np.hypot(2, 2):.2f}."
    )
    # Of 4 below 100 by 2 and by 0, the difference is the standard error, whatever the last bits.
    groups["mean"], groups["standard_error"] = [100 - 2 / 3, 100.0, 0], [2 / 3, 0.0, 0]
    assert "-0.67 points, no more than its standard error of 0.67" in verdict(groups.reset_index())
