"""A search file written for a folder of images: valid, in proportion, and honest."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from zc_search.cli.app import app
from zc_search.config import load_config, parse_config
from zc_search.config.settings import tables
from zc_search.deploy.proposal import search_file_for
from zc_search.errors import DataError, UsageError
from zc_search.scoring.scorer import open_images
from zc_search.search import run_search

CASES = {
    "photographs": ((2, 30), (90, 70), "RGB", ""),
    "splits": ((2, 8), (16, 16), "L", "train val test"),
    "uneven": ((3, 40), (40, 33), "RGB", ""),
}


def pictures(folder: Path, classes: int, count: int, size, mode: str, splits: str) -> Path:
    rng = np.random.default_rng(0)
    for split in splits.split() or [""]:
        for label in range(classes):
            (folder / split / f"c{label}").mkdir(parents=True)
            for number in range(count // (4 * label or 1)):
                shape = (*size[::-1], 3)[: 3 if mode == "RGB" else 2]
                pixels = rng.integers(0, 256, shape, dtype=np.uint8)
                Image.fromarray(pixels).save(folder / split / f"c{label}" / f"{number}.png")
    return folder


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, tmp_path: Path):
    name = request.param
    (classes, count), size, mode, splits = CASES[name]
    return name, pictures(tmp_path / f"my {name}", classes, count, size, mode, splits)


def test_the_file_is_valid_and_fits_the_images(case, tmp_path: Path) -> None:
    name, folder = case
    done = CliRunner().invoke(app, ["init", str(tmp_path / "x.toml"), "--images", str(folder)])
    assert done.exit_code == 0, done.output
    said = " ".join(done.output.split())
    assert "pretrained on millions of photographs and is fine-tuned" in said
    assert f"next: zc-search --config {tmp_path / 'x.toml'}" in said
    config = load_config(tmp_path / "x.toml")
    assert config.study.name == f"my-{name}"
    assert config.data_decides
    images = open_images(config.data)
    side, color = {"photographs": (64, 3), "splits": (16, 1), "uneven": (33, 3)}[name]
    assert images.task[2:] == (color, side, side)
    assert config.training.augment == (("crop",) if color == 1 else ("crop", "flip"))
    assert (config.training.steps, config.training.epochs) == (1500, 30)
    training, judging = images.split(config.data.validation, 0)
    assert f"{len(training)} to train on, {len(judging)} to validate" in said
    assert (", of their own splits" in said) == (name == "splits")
    assert ("The classes are uneven" in said) == (name in ("uneven", "photographs", "splits"))
    text = (tmp_path / "x.toml").read_text()
    assert all(len(line) <= 100 for line in text.splitlines() if str(tmp_path) not in line)
    for key in re.findall(r"^#? ?([a-z_]+) = ", text, re.MULTILINE):  # those behind # too
        objectives = [objective.name for objective in config.objectives]
        assert key in objectives or any(key in kind.model_fields for kind in sections(config))


def sections(config):
    return [type(getattr(config, name)) for name in tables(config) if name != "objectives"]


@pytest.mark.thorough
def test_six_trials_of_it_run(case, tmp_path: Path) -> None:
    settings = tables(load_config(written(case[1], tmp_path)))
    settings["study"]["n_trials"] = 6
    settings["output"] = {"folder": str(tmp_path / "runs")}
    result = run_search(parse_config(settings))
    assert len(result.trials) == 6
    assert len(result.ranking)


def written(folder: Path, to: Path) -> Path:
    file = to / "x.toml"
    file.write_text(search_file_for(folder).toml)
    return file


@pytest.mark.thorough
def test_many_large_photographs_get_larger_networks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zc_search.deploy.proposal._FEW", 20)
    monkeypatch.setattr("zc_search.deploy.proposal._PHOTOGRAPHS", 30)
    folder = pictures(tmp_path / "x", 2, 60, (80, 70), "RGB", "")
    proposal = search_file_for(folder)
    config = load_config(written(folder, tmp_path))
    assert config.space.name == "mobilenet"
    assert not any("fine-tuned" in said for said in proposal.advice)
    small = pictures(tmp_path / "y", 2, 60, (24, 24), "RGB", "")
    config = load_config(written(small, tmp_path))
    assert (config.space.name, config.space.channels, config.space.cells) == ("nasbench201", 16, 2)


def test_arrays_have_a_file_as_well(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (60, 28, 28), dtype=np.uint8)
    np.savez(tmp_path / "x.npz", images=pixels, labels=np.arange(60) % 3)
    config = load_config(written(tmp_path / "x.npz", tmp_path))
    assert (config.data.source, config.data.resolution) == ("npz", 28)
    assert open_images(config.data).counts == {"0": 20, "1": 20, "2": 20}


def test_what_no_file_can_be_written_for(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["init", "--images", str(tmp_path / "nowhere")])
    assert isinstance(done.exception, DataError)
    assert "is no folder" in str(done.exception)
    done = CliRunner().invoke(app, ["init", "--images", str(tmp_path), "--compare"])
    assert isinstance(done.exception, UsageError)
