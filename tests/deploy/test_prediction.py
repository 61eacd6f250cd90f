"""What an app makes of an exported folder: raw pictures in, classes out, for every space."""

import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image
from torch import nn
from typer.testing import CliRunner

from zc_search.cli.app import app
from zc_search.config import parse_config
from zc_search.deploy import prediction
from zc_search.deploy.export import Subject, export_network, subject_of_cell
from zc_search.deploy.prediction import ExportedNetwork, Metadata, metadata_of
from zc_search.errors import DataError, StudyError
from zc_search.images.readers import read_folder
from zc_search.spaces import make_space

CELL = "|nor_conv_3x3~0|+|none~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_1x1~1|nor_conv_3x3~2|"
CLASSES = ("ant", "bee", "cat")
COSTS = {"params": 0.1, "flops": 1.0}


def own_network(trial, task) -> nn.Module:
    width = trial.suggest_categorical("width", [4, 8])
    layers = nn.Conv2d(task.channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10))


def moved(network: nn.Module) -> nn.Module:
    """Give a fresh network running statistics, as a trained one has."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return network.eval()


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs of three classes by brightness, of many sizes and kinds, none of them square."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for place, name in enumerate(CLASSES):
        (folder / name).mkdir()
        for number in range(12):
            height, width = 20 + 7 * number, 61 - 3 * number
            pixels = (rng.integers(0, 60, (height, width, 3)) + 80 * place).astype(np.uint8)
            image, kind = Image.fromarray(pixels), ("png", "jpg")[number % 2]
            image = image.convert("P") if number == 4 else image
            exif = Image.Exif()
            exif[0x0112] = 6  # lies on its side
            image.save(folder / name / f"{number}.{kind}", exif=exif if number == 5 else b"")
    return folder


def subject_of(photos: Path, **data) -> Subject:
    settings = {
        "objectives": {"meco": "maximize"},
        "space": {"channels": 2, "cells": 1},
        "data": {"source": "folder", "path": str(photos), "resolution": 16, **data},
        "benchmark": {"name": "none"},
        "constraints": {"max_params": "20k", "max_latency_ms": 3.0},
    }
    subject = subject_of_cell(CELL, parse_config(settings))
    weights = moved(subject.build()).state_dict()
    figures = {"validation_accuracy": 50.0, "epochs": 3}
    return replace(subject, weights=weights, training=figures, measured={"params": 0.01})


@pytest.fixture(scope="module")
def exported(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "network"
    export_network(subject_of(photos), folder, int8=True)
    return folder


def expected(photos: Path) -> tuple[list[Path], np.ndarray]:
    """Read the pictures as a search does; return the softmax of torch's own network for them."""
    subject, images = subject_of(photos), read_folder(photos, resolution=16)
    network = subject.build().eval()
    network.load_state_dict(subject.weights)
    pixels = torch.from_numpy(images.pixels.astype(np.float32))
    mean, spread = (torch.tensor(v)[:, None, None] for v in (subject.mean, subject.spread))
    with torch.no_grad():
        logits = network((pixels - mean) / spread)
    files = [file for name in CLASSES for file in sorted((photos / name).iterdir())]
    return files, logits.softmax(1).numpy()


def test_pictures_are_seen_as_in_the_training(photos: Path, exported: Path) -> None:
    files, truth = expected(photos)
    network = ExportedNetwork(exported)
    np.testing.assert_allclose(network.probabilities(files), truth, atol=1e-5)
    assert network.labels == CLASSES


def test_torch_serves_where_onnxruntime_does_not(
    photos: Path, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction.importlib.util, "find_spec", lambda name: None)
    files, truth = expected(photos)
    np.testing.assert_allclose(ExportedNetwork(exported).probabilities(files), truth, atol=1e-5)
    with pytest.raises(StudyError, match=r"needs .*int8.onnx and onnxruntime: pip install"):
        ExportedNetwork(exported, int8=True)


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_the_card_s_example_runs_as_it_stands(
    photos: Path, exported: Path, tmp_path: Path, fit: str
) -> None:
    folder = tmp_path / "network"
    shutil.copytree(exported, folder)
    about = metadata_of(subject_of(photos, fit=fit), COSTS)
    (folder / "metadata.json").write_text(about.to_json())
    from zc_search.deploy.documents import model_card  # the example depends on the fit alone

    card = model_card(subject_of(photos, fit=fit), about, {"network.onnx": 0.0})
    (folder / "example.py").write_text(re.findall(r"```python\n(.*?)```", card, re.DOTALL)[1])
    picture = photos / "bee" / "2.png"
    done = subprocess.run(
        [sys.executable, "example.py", str(picture)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    (row,) = ExportedNetwork(folder).probabilities([picture])
    said = [f"{CLASSES[place]}: {row[place]:.2%}" for place in (-row).argsort()]
    assert done.stdout.splitlines() == said, done.stderr


def test_machines_read_what_the_card_says(photos: Path, exported: Path) -> None:
    about = Metadata.read(exported)
    assert about.classes == CLASSES
    assert (exported / "labels.txt").read_text() == "ant\nbee\ncat\n"
    assert (about.input.color, about.input.height, about.preparation.fit) == ("rgb", 16, "crop")
    assert about.training == {"validation_accuracy": 50.0, "epochs": 3}
    assert about.licence_of_images == "unknown"
    asked = {c["constraint"]: (c["limit"], c.get("measured")) for c in about.constraints}
    assert asked == {"max_params": (0.02, 0.01), "max_latency_ms": (3.0, None)}
    card = (exported / "README.md").read_text()
    assert "max_params 0.02 M parameters, measured 0.01; max_latency_ms 3 ms, not meas" in card
    for name, int8 in (("network.onnx", None), ("network.int8.onnx", dict(about.int8 or {}))):
        kept = {p.key: p.value for p in onnx.load(exported / name).metadata_props}
        assert json.loads(kept["classes"]) == [*CLASSES]
        assert json.loads(kept["input"])["mean"] == pytest.approx(about.input.mean)
        assert json.loads(kept.get("int8", "null")) == int8


def test_the_program_of_8_bits_is_judged_on_the_validation_images(
    photos: Path, exported: Path
) -> None:
    images = read_folder(photos, resolution=16)
    _, judged_by = images.split(0.2, 0)
    found = Metadata.read(exported).int8
    assert (found["judged_by"], found["calibrated_on"]) == (len(judged_by), 36 - len(judged_by))
    for kind, name in (("float", "network.onnx"), ("int8", "network.int8.onnx")):
        session = onnxruntime.InferenceSession(exported / name)
        logits = session.run(None, {"images": images.pixels[judged_by].astype(np.float32)})[0]
        right = (logits.argmax(1) == images.labels[judged_by]).mean()
        assert found[f"{kind}_accuracy"] == pytest.approx(100 * right)
        assert found[f"{kind}_bytes"] == pytest.approx((exported / name).stat().st_size, rel=0.02)
        assert found[f"{kind}_latency_ms"] > 0
    weights = onnx.load(exported / "network.int8.onnx").graph.initializer
    assert onnx.TensorProto.INT8 in {tensor.data_type for tensor in weights}


def test_nothing_says_where_it_was_exported(exported: Path) -> None:
    for path in exported.iterdir():
        content = path.read_bytes()
        for place in (str(Path(torch.__file__).parents[1]), str(Path(prediction.__file__).parent)):
            assert place.encode() not in content, path.name


@pytest.mark.parametrize(
    ("change", "onnx_too", "message"),
    [
        ({"weights": None}, True, "needs trained weights"),
        ({"images": None}, True, "images trained on, which are not there any more"),
        ({}, False, "which --no-onnx leaves out"),
    ],
)
def test_nothing_is_quantised_without_weights_and_images(
    photos: Path, tmp_path: Path, change: dict, onnx_too: bool, message: str
) -> None:
    with pytest.raises(StudyError, match=message):
        export_network(
            replace(subject_of(photos), **change), tmp_path / "x", onnx=onnx_too, int8=True
        )
    assert not (tmp_path / "x").exists()


def test_what_a_byte_is_worth_follows_from_the_images(tmp_path: Path) -> None:
    labels = np.arange(20) % 2
    rng = np.random.default_rng(0)
    for largest, scale, values in ((1.0, 1 / 255, "from 0 to 255"), (7.0, None, "as in the data")):
        images = rng.uniform(0, largest, (20, 12, 8)).astype(np.float32)
        np.savez(tmp_path / "own.npz", images=images, labels=labels)
        subject = subject_of(tmp_path / "own.npz", source="npz", resolution=None)
        assert subject.scale == pytest.approx(scale) if scale else subject.scale is None
        about = metadata_of(subject, COSTS)
        assert (about.input.values, about.preparation.fit) == (values, "exact")
        assert about.input.mean[0] == pytest.approx(images.mean() / (scale or 1), rel=0.1)


# The command --------------------------------------------------------------------------------------


def test_the_command_names_classes(photos: Path, exported: Path) -> None:
    files, truth = expected(photos)
    chosen = [str(files[place]) for place in (0, 20)]
    done = CliRunner().invoke(app, ["predict", str(exported), *chosen, "--json", "--top", "2"])
    document = json.loads(done.output)
    for image, row in zip(document["images"], truth[[0, 20]], strict=True):
        assert [c["class"] for c in image["classes"]] == [CLASSES[p] for p in (-row).argsort()[:2]]
        best = image["classes"][0]["probability"]
        assert best == pytest.approx(row.max(), abs=1e-5)
    done = CliRunner().invoke(app, ["predict", str(exported), *chosen, "--int8"])
    assert [line.split(": ")[0] for line in done.output.splitlines()] == chosen
    assert all(line.count(" %") == 3 for line in done.output.splitlines())


def test_mistakes_end_in_a_sentence(photos: Path, exported: Path, tmp_path: Path) -> None:
    picture = str(photos / "ant" / "0.png")
    folder = tmp_path / "copy"
    shutil.copytree(exported, folder)

    def problem(network: object, *images: str) -> str:
        done = CliRunner().invoke(app, ["predict", str(network), *images])
        assert isinstance(done.exception, StudyError | DataError), done.output
        assert "Errno" not in str(done.exception)
        return str(done.exception)

    assert "does not exist; name one that an export wrote" in problem(tmp_path / "no", picture)
    assert "is no exported network: it has no metadata.json" in problem(photos, picture)
    assert "nothing.png cannot be read as an image: No such file" in problem(folder, "nothing.png")
    text = str(folder / "labels.txt")
    assert "labels.txt cannot be read as an image: no image" in problem(folder, text)
    (folder / "labels.txt").write_text("ant\n")
    assert "labels.txt has 1 lines, and the network 3 classes" in problem(folder, picture)
    (folder / "labels.txt").unlink()
    assert "labels.txt cannot be read: No such file" in problem(folder, picture)
    shutil.copy(exported / "labels.txt", folder)
    (folder / "network.onnx").write_bytes(b"no program")
    assert "network.onnx cannot be opened" in problem(folder, picture)
    for name in ("network.onnx", "network.pt2"):
        (folder / name).unlink()
    assert "network.pt2 cannot be opened: it is not there" in problem(folder, picture)
    (folder / "metadata.json").write_text("{}")
    assert "metadata.json cannot be read" in problem(folder, picture)


def test_pictures_that_cannot_be_brought_to_size_are_refused(
    photos: Path, exported: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(exported, folder)
    about = json.loads((exported / "metadata.json").read_text())
    about["input"] |= {"height": 20, "width": 61}
    about["preparation"] |= {"fit": "exact", "jpeg_draft": False}
    (folder / "metadata.json").write_text(json.dumps(about))
    picture = photos / "ant" / "0.png"
    pixels = ExportedNetwork(folder).read(picture)
    np.testing.assert_array_equal(pixels, np.asarray(Image.open(picture)).transpose(2, 0, 1))
    with pytest.raises(DataError, match="it has 55 x 34 pixels, not 61 x 20"):
        ExportedNetwork(folder).read(photos / "ant" / "2.png")
    about["input"]["bytes"] = False
    (folder / "metadata.json").write_text(json.dumps(about))
    with pytest.raises(DataError, match="was trained on arrays with values of their own"):
        ExportedNetwork(folder).read(picture)


# Every space --------------------------------------------------------------------------------------


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("name", "sizes", "side"),
    [
        ("nasbench201", {"channels": 4, "cells": 1}, 8),
        ("nasbench101", {"channels": 8, "cells": 1}, 8),
        ("nats_sss", {}, 8),
        ("transnas_micro", {}, 32),
        ("mobilenet", {}, 32),
        (f"{__name__}:own_network", {}, 8),
    ],
)
def test_the_programs_of_every_space_take_raw_images(
    tmp_path: Path, name: str, sizes: dict, side: int
) -> None:
    settings = {
        "objectives": {"params": "minimize"},
        "space": {"name": name, **sizes},
        "data": {"source": "digits", "resolution": side},
        "benchmark": {"name": "none"},
    }
    config = parse_config(settings)
    space = make_space(
        config.space, subject_of_cell(CELL, parse_config(settings | {"space": {}})).task
    )
    text = str(space.sample(np.random.default_rng(3)))
    subject = subject_of_cell(text, config)
    subject = replace(subject, weights=moved(subject.build()).state_dict(), training={"epochs": 1})
    done = export_network(subject, tmp_path / "out", int8=True)
    raw = np.random.default_rng(0).integers(0, 256, (4, 1, side, side)).astype(np.float32)
    network = subject.build().eval()
    network.load_state_dict(subject.weights)
    normalised = (raw * 16 / 255 - np.float64(subject.mean)) / np.float64(subject.spread)
    with torch.no_grad():
        truth = network(torch.from_numpy(normalised.astype(np.float32))).numpy()
    session = onnxruntime.InferenceSession(tmp_path / "out" / "network.onnx")
    logits = session.run(None, {"images": raw})[0]
    np.testing.assert_allclose(logits, truth, atol=1e-4 * np.abs(truth).max())
    picture = tmp_path / "picture.png"
    Image.fromarray(raw[0, 0].astype(np.uint8)).save(picture)
    (row,) = ExportedNetwork(tmp_path / "out").probabilities([picture])
    shares = np.exp(truth[0] - truth[0].max())
    np.testing.assert_allclose(row, shares / shares.sum(), atol=1e-4)
    assert done.about.space == name
