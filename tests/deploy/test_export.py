"""Exported networks: source alone, every format alike, on cells of every kind."""

import ast
import re
import runpy
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from sklearn.datasets import load_digits
from typer.testing import CliRunner

from zc_search.cli.app import app
from zc_search.config import parse_config
from zc_search.deploy import export
from zc_search.deploy.documents import exported_weights, network_source
from zc_search.deploy.export import (
    Subject,
    export_network,
    load_network,
    multiply_adds,
    subject_of_cell,
)
from zc_search.deploy.prediction import Metadata
from zc_search.errors import StudyError
from zc_search.images.datasets import Task
from zc_search.spaces import Architecture
from zc_search.spaces.network import build_network

CELL = "|nor_conv_3x3~0|+|none~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_1x1~1|nor_conv_3x3~2|"
SETTINGS = {
    "objectives": {"meco": "maximize"},
    "space": {"channels": 2, "cells": 1},
    "data": {"source": "digits"},
    "benchmark": {"name": "none"},
}


def subject(cell: Architecture, task: Task, cells: int = 1, names: Sequence[str] = ()) -> Subject:
    return Subject(
        cell,
        parse_config(SETTINGS | {"space": {"channels": 2, "cells": cells}}),
        task,
        tuple(names or map(str, range(task.classes))),
        mean=(0.5,) * task.channels,
        spread=(0.25,) * task.channels,
        values="from 0 to 1",
    )


def exported_module(folder: Path, cell: Architecture, task: Task, cells: int = 1):
    """The module as generated, with the weights of our own network, and that network."""
    source = network_source(subject(cell, task, cells))
    (folder / "network.py").write_text(source)
    ours = build_network(cell, task, channels=2, cells=cells, seed=3)
    for module in ours.modules():  # running statistics that differ between layers
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.5, 0.5)
            torch.nn.init.uniform_(module.bias, -0.5, 0.5)
    theirs = load_network(folder, exported_weights(ours.state_dict(), cell))
    return ours.eval(), theirs, source


@settings(max_examples=25)
@given(index=st.integers(0, 15_624))
def test_every_cell_is_written_as_it_computes(tmp_path_factory, index: int) -> None:
    task = Task("any", 3, 1, 8, 8)
    folder = tmp_path_factory.mktemp("cell")
    ours, theirs, source = exported_module(folder, Architecture.from_index(index), task)
    images = torch.randn(2, 1, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(theirs(images), ours(images), rtol=1e-4, atol=1e-5)
    imported = {
        name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module]
        )
    }
    assert imported <= {"torch"}


def test_large_colour_images_get_their_stem(tmp_path: Path) -> None:
    task = Task("photographs", 4, 3, 100, 60)
    ours, theirs, _ = exported_module(tmp_path, Architecture.from_string(CELL), task, cells=2)
    images = torch.randn(1, 3, 100, 60)
    with torch.no_grad():
        torch.testing.assert_close(theirs(images), ours(images), rtol=1e-4, atol=1e-5)


def test_flops_are_those_of_the_edges_that_are_there(tmp_path: Path) -> None:
    task = Task("any", 4, 1, 9, 7)
    ours, theirs, _ = exported_module(tmp_path, Architecture.from_string(CELL), task)
    assert multiply_adds(theirs, task) == ours.multiply_adds(9, 7)


def test_dead_edges_are_neither_exported_nor_counted(tmp_path: Path) -> None:
    cell = "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"
    task = Task("any", 4, 1, 8, 8)
    _, theirs, _ = exported_module(tmp_path, Architecture.from_string(cell), task)
    lean = Architecture.from_string(cell.replace("nor_conv_3x3", "none"))
    network = build_network(lean, task, channels=2, cells=1)
    assert multiply_adds(theirs, task) == network.multiply_adds(8, 8)


def test_weights_of_other_images_are_refused(tmp_path: Path) -> None:
    chosen = replace(subject_of_cell(CELL, parse_config(SETTINGS)), weights={"stem": 0})
    with pytest.raises(StudyError, match="the trained weights are of a network for other images"):
        export_network(chosen, tmp_path / "out", onnx=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "out"
    export_network(subject_of_cell(CELL, parse_config(SETTINGS)), folder, onnx=False)
    return folder


@pytest.mark.thorough
def test_all_formats_agree_on_any_number_of_images(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    export_network(subject_of_cell(CELL, parse_config(SETTINGS)), folder)
    network = load_network(folder, load_file(folder / "weights.safetensors"))
    program = torch.export.load(folder / "network.pt2").module()
    session = onnxruntime.InferenceSession(folder / "network.onnx")
    onnx.checker.check_model(onnx.load(folder / "network.onnx"))
    generator = np.random.default_rng(0)
    about = Metadata.read(folder)
    digits = load_digits().images[:1437]  # those trained on are of the same scale
    assert about.input.mean == pytest.approx((digits.mean() * 255 / 16,), rel=0.02)
    for count in (1, 3, 8):
        raw = generator.integers(0, 256, (count, 1, 8, 8)).astype(np.float32)
        normalised = (raw - np.float64(about.input.mean)) / np.float64(about.input.deviation)
        with torch.no_grad():
            expected = network(torch.from_numpy(normalised.astype(np.float32)))
            torch.testing.assert_close(program(torch.from_numpy(raw)), expected)
        logits = session.run(None, {"images": raw})[0]
        np.testing.assert_allclose(logits, expected.numpy(), rtol=1e-3, atol=1e-5)


def test_the_card_loads_the_network_as_it_says(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = (folder / "README.md").read_text()
    lines = re.search(r"```python\n(.*?)```", card, re.DOTALL)[1]
    assert len(lines.strip().splitlines()) == 3
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "network", raising=False)
    names: dict[str, object] = {}
    exec(lines, names)  # noqa: S102
    monkeypatch.delitem(sys.modules, "network")
    assert names["model"](torch.zeros(2, 1, 8, 8)).shape == (2, 10)
    flops = Metadata.read(folder).costs["flops"]
    counted = f"| FLOPs | {flops:.4g} million multiply-adds an image |"
    for said in (CELL, counted, "1,797 images of digits", "**The weights are random**", "cell.svg"):
        assert said in card
    assert (folder / "cell.svg").read_text().startswith("<svg")


def test_a_format_that_computes_something_else_is_no_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = export.write_program

    def wrong(network, task, path):
        torch.nn.init.constant_(network.network.classifier.bias, 7.0)
        real(network, task, path)

    monkeypatch.setattr(export, "write_program", wrong)
    with pytest.raises(StudyError, match=r"network\.pt2 does not compute what the network does"):
        export_network(subject_of_cell(CELL, parse_config(SETTINGS)), tmp_path / "x", onnx=False)


def test_a_folder_with_something_in_it_is_left_alone(folder: Path) -> None:
    with pytest.raises(StudyError, match="is not empty; name another folder with --to"):
        export_network(subject_of_cell(CELL, parse_config(SETTINGS)), folder)


def test_missing_packages_are_named_with_what_installs_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "missing", lambda *packages: packages[-1:])
    message = r'an export needs onnxruntime: pip install "optuna-zc-search\[export\]"'
    with pytest.raises(StudyError, match=message):
        export_network(subject_of_cell(CELL, parse_config(SETTINGS)), tmp_path / "x")


def test_odd_class_names_stay_text(tmp_path: Path) -> None:
    names = ['"""', "a\\b", "é|<b>", "'); import os"]
    task = Task("any", 4, 1, 8, 8)
    source = network_source(subject(Architecture.from_string(CELL), task, names=names))
    (tmp_path / "network.py").write_text(source)
    assert list(runpy.run_path(str(tmp_path / "network.py"))["CLASSES"]) == names


def test_the_command_says_what_is_wrong(tmp_path: Path) -> None:
    for arguments, message in (
        ((str(tmp_path / "nothing"), "--to", str(tmp_path / "a")), "is no finished run"),
        (("|conv~0|", "--to", str(tmp_path / "b")), "not an architecture string"),
        (("24:32:48:64:64", "--to", str(tmp_path / "a")), "is of nats_sss, and space.name"),
        ((str(tmp_path), "--to", str(tmp_path / "a"), "--set=space.cells=1"), "--set: a run's "),
        ((CELL, "--to", str(tmp_path / "a"), "--architecture", CELL), "--architecture chooses"),
    ):
        done = CliRunner().invoke(app, ["export", *arguments])
        assert message in str(done.exception)
        assert not any((tmp_path / name).exists() for name in "ab")
