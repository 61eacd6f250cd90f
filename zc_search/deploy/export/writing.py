"""`export`: a folder with the network in every format, checked, and its model card."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from zc_search._utils.files import write_atomically
from zc_search.deploy.export.card import model_card
from zc_search.deploy.export.formats import (
    EXTRA,
    largest_difference,
    load_module,
    missing,
    multiply_adds,
    write_onnx,
    write_program,
    write_weights,
)
from zc_search.deploy.export.source import exported_name, kept, network_source
from zc_search.deploy.export.subject import Subject
from zc_search.errors import StudyError
from zc_search.spaces.nasbench201.drawing import draw_cell
from zc_search.spaces.nasbench201.network import build_network

_CHANNELS, _CELLS = 16, 5  # the benchmark's


@dataclass(frozen=True)
class Exported:
    """What an export wrote.

    Attributes:
        folder: Where.
        files: Their names.
        differences: By file, the largest difference of an output; see `largest_difference`.
        trained: Whether the weights were learnt.
    """

    folder: Path
    files: tuple[str, ...]
    differences: dict[str, float]
    trained: bool


def export_network(subject: Subject, folder: str | Path, *, onnx: bool = True) -> Exported:
    """Write a network as Python source, weights, `torch.export` program, ONNX and model card.

    Args:
        subject: What to write; without trained weights, freshly drawn ones.
        folder: Where to; there is nothing in it yet.
        onnx: Whether to write ONNX too.

    Raises:
        StudyError: The folder is not empty or cannot be written, packages are missing, or a
            format computes something else than the network.
    """
    folder = Path(folder)
    packages = ("safetensors", *(("onnx", "onnxscript", "onnxruntime") if onnx else ()))
    if lacking := missing(*packages):
        raise StudyError(f"an export needs {', '.join(lacking)}: {EXTRA}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise StudyError(f"{str(folder)!r} is not empty; name another folder with --to")
        differences = _write(subject, folder, onnx)
    except OSError as error:
        raise StudyError(f"cannot write to {str(folder)!r}: {error.strerror or error}") from error
    files = tuple(sorted(file.name for file in folder.iterdir() if file.is_file()))
    return Exported(folder, files, differences, subject.weights is not None)


def _write(subject: Subject, folder: Path, onnx: bool) -> dict[str, float]:
    config, cell, task = subject.config, subject.architecture, subject.task
    sizes = {"channels": config.space.channels or _CHANNELS, "cells": config.space.cells or _CELLS}
    reference = build_network(cell, task, seed=config.proxies.seed, **sizes)
    if subject.weights is not None:
        _load(reference, subject.weights)
    reference.eval()
    source = network_source(
        cell,
        task,
        **sizes,
        class_names=subject.class_names,
        mean=subject.mean,
        spread=subject.spread,
        values=subject.values,
    )
    write_atomically(folder / "network.py", source)
    weights = {
        exported_name(name): tensor
        for name, tensor in reference.state_dict().items()
        if kept(cell, name)
    }
    write_weights(weights, folder / "weights.safetensors")
    # What is exported is what the reader gets: the module in the file, not ours.
    network = load_module(folder / "network.py").Network()
    network.load_state_dict(weights)
    network.eval()
    write_program(network, task, folder / "network.pt2")
    if onnx:
        write_onnx(network, task, folder / "network.onnx")
    differences = largest_difference(reference, task, folder)
    costs = {
        "params": sum(p.numel() for p in network.parameters()) / 1e6,
        "flops": multiply_adds(network, task) / 1e6,
    }
    write_atomically(folder / "cell.svg", str(draw_cell(cell)))
    card = model_card(subject, costs, differences, subject.weights is not None)
    write_atomically(folder / "README.md", card)
    return differences


def _load(network: nn.Module, weights: Mapping[str, Any]) -> None:
    try:
        network.load_state_dict(dict(weights))
    except RuntimeError as error:
        raise StudyError(
            "the trained weights are of a network for other images than the run's section data "
            "names now; train again with zc-search train RUN --fresh"
        ) from error
