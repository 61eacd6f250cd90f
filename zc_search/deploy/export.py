"""A folder with a network in every format, each checked, and its model card."""

import importlib.util
import io
import logging
import runpy
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from zc_search._utils.distribution import VERSION, install_hint
from zc_search._utils.files import write_atomically, writing
from zc_search.deploy.source import exported_weights, network_source
from zc_search.deploy.subject import Subject, subject_of_cell, subject_of_run
from zc_search.errors import StudyError
from zc_search.images.datasets import Task
from zc_search.spaces import PLUGIN, Architecture
from zc_search.spaces.nasbench201.drawing import describe_cell, draw_cell

__all__ = ["Exported", "Subject", "export_network", "subject_of_cell", "subject_of_run"]

_TOLERANCE = 1e-3
"""Largest difference of two outputs, as a share of the largest output: float32, other orders."""


@dataclass(frozen=True)
class Exported:
    """What an export wrote: the files in a folder, and whether the weights in them were learnt.

    ``differences`` is by file the largest difference of an output, as a share of the largest one.
    """

    folder: Path
    files: tuple[str, ...]
    differences: dict[str, float]
    trained: bool


def export_network(subject: Subject, folder: str | Path, *, onnx: bool = True) -> Exported:
    """Write a network as Python source, weights, `torch.export` program, ONNX and model card.

    Without trained weights, freshly drawn ones are written. The folder is a new or an empty one.

    Raises:
        StudyError: It is not empty or cannot be written, packages are missing, or a format
            computes something else than the network.
    """
    folder = Path(folder)
    packages = ("safetensors", *(("onnx", "onnxscript", "onnxruntime") if onnx else ()))
    if lacking := missing(*packages):
        raise StudyError(
            f"an export needs {', '.join(lacking)}: {install_hint('export')}", given=lacking
        )
    with writing(str(folder), StudyError):
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise StudyError(f"{str(folder)!r} is not empty; name another folder with --to")
        differences = _write(subject, folder, onnx)
    files = tuple(sorted(file.name for file in folder.iterdir() if file.is_file()))
    return Exported(folder, files, differences, subject.weights is not None)


def missing(*packages: str) -> tuple[str, ...]:
    """Return which packages are not installed, importing none."""
    return tuple(name for name in packages if importlib.util.find_spec(name) is None)


def load_network(folder: Path, weights: Mapping[str, Tensor]) -> nn.Module:
    """Return the network of a generated module, run from its file under no name of another's."""
    module = runpy.run_path(str(folder / "network.py"), run_name="zc_search_exported")
    network: nn.Module = module["Network"]()
    network.load_state_dict(weights)
    return network.eval()


def multiply_adds(network: nn.Module, task: Task) -> int:
    """Count multiply-accumulates of convolutions and linear layers as they run for one image."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(_images(task, 1))
    return int(counter.get_total_flops()) // 2


def _write(subject: Subject, folder: Path, onnx: bool) -> dict[str, float]:
    from safetensors.torch import save

    cell, task, reference = subject.architecture, subject.task, subject.build()
    if subject.weights is not None:
        try:
            reference.load_state_dict(dict(subject.weights))
        except RuntimeError as error:
            raise StudyError(
                "the trained weights are of a network for other images than the run's section data "
                "names now; train again with zc-search train RUN --fresh"
            ) from error
    reference.eval()
    weights = reference.state_dict()
    if isinstance(cell, Architecture):
        write_atomically(folder / "network.py", network_source(subject))
        weights = exported_weights(weights, cell)
    # Cloned, as two names may share a tensor.
    plain = {name: tensor.detach().cpu().clone() for name, tensor in weights.items()}
    write_atomically(folder / "weights.safetensors", save(plain))
    # What is exported is what the reader gets: the module in the file, not ours.
    network = load_network(folder, weights) if isinstance(cell, Architecture) else reference
    write_program(network, task, folder / "network.pt2")
    if onnx:
        write_onnx(network, task, folder / "network.onnx")
    differences = largest_differences(reference, task, folder, subject)
    costs = {
        "params": sum(p.numel() for p in network.parameters()) / 1e6,
        "flops": multiply_adds(network, task) / 1e6,
    }
    drawing = draw_cell(cell) if isinstance(cell, Architecture) else subject.space.draw(cell)
    if drawing is not None:
        write_atomically(folder / "cell.svg", str(drawing))
    write_atomically(folder / "README.md", model_card(subject, costs, differences))
    return differences


# Formats ------------------------------------------------------------------------------------------


def write_program(network: nn.Module, task: Task, path: Path) -> None:
    """Write a network as a `torch.export` program that takes any number of images."""
    with _quiet(), _exporting("torch.export"):
        program = torch.export.export(network, (_images(task, 2),), dynamic_shapes=_any_number())
    content = io.BytesIO()
    torch.export.save(program, content)
    write_atomically(path, content.getvalue())


def write_onnx(network: nn.Module, task: Task, path: Path) -> None:
    """Write a network as ONNX that takes any number of images."""
    with _quiet(), _exporting("ONNX; --no-onnx leaves it out"):
        program = torch.onnx.export(
            network,
            (_images(task, 2),),
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=_any_number(),
            dynamo=True,
            verbose=False,
        )
    if program is None:  # only without dynamo
        raise StudyError("torch wrote no ONNX program")
    write_atomically(path, program.model_proto.SerializeToString())


def largest_differences(
    network: nn.Module, task: Task, folder: Path, subject: Subject
) -> dict[str, float]:
    """Compare every format in a folder with a network, on batches of one and of five images."""
    found: dict[str, float] = {}
    for images in (_images(task, 1), _images(task, 5)):
        with torch.no_grad():
            expected = network(images).numpy()
        scale = max(float(np.abs(expected).max()), 1e-6)
        for name, logits in _outputs(folder, images, subject).items():
            difference = float(np.abs(logits - expected).max()) / scale
            found[name] = max(found.get(name, 0.0), difference)
    for name, difference in found.items():
        if not difference <= _TOLERANCE:
            raise StudyError(
                f"{folder / name} does not compute what the network does, by {difference:.2g} of "
                "the largest output; a fault of zc-search or of torch's exporter"
            )
    return found


def _outputs(folder: Path, images: Tensor, subject: Subject) -> dict[str, Any]:
    from safetensors.torch import load_file

    weights, name = load_file(folder / "weights.safetensors"), "network.py"
    if (folder / name).exists():
        network = load_network(folder, weights)
    else:
        network, name = subject.build().eval(), "weights.safetensors"
        network.load_state_dict(weights)
    program = torch.export.load(str(folder / "network.pt2"))
    with torch.no_grad():
        outputs: dict[str, Any] = {
            "network.pt2": program.module()(images).numpy(),
            name: network(images).numpy(),
        }
    if (folder / "network.onnx").exists():
        import onnxruntime

        session = onnxruntime.InferenceSession(
            str(folder / "network.onnx"), providers=["CPUExecutionProvider"]
        )
        outputs["network.onnx"] = session.run(None, {"images": images.numpy()})[0]
    return outputs


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep to itself what the exporters say of their own internals and of packages not there."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@contextmanager
def _exporting(what: str) -> Iterator[None]:
    """Say that an exporter cannot follow what a network of somebody's own does."""
    try:
        yield
    except Exception as error:  # torch's exporters raise errors of many kinds
        reason = (str(error).strip().splitlines() or [""])[0]
        message = f"the network cannot be exported to {what}: {type(error).__name__}: {reason}"
        raise StudyError(message) from error


def _any_number() -> tuple[dict[int, Any]]:
    return ({0: torch.export.Dim("batch")},)


def _images(task: Task, count: int) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    return torch.randn(count, task.channels, task.height, task.width, generator=generator)


# The model card -----------------------------------------------------------------------------------


def model_card(
    subject: Subject, costs: Mapping[str, float], differences: Mapping[str, float]
) -> str:
    """Return the model card as Markdown, given params and flops in millions."""
    task = subject.task
    facts = _facts(subject, costs)
    rows = "\n".join(f"| {key} | {_escaped(value)} |" for key, value in facts.items())
    checks = "\n".join(
        f"- `{name}`: largest difference {value:.1e} of the largest output"
        for name, value in differences.items()
    )
    weights = "The weights are trained."
    if subject.weights is None:
        weights = "**The weights are random**: the network was not trained"
        weights += "." if subject.config.data.generated else "; `zc-search train` does it."
    text, name = str(subject.architecture), subject.config.space.name
    if isinstance(subject.architecture, Architecture):
        drawn = f"The cell: {describe_cell(text)}"
        sizes = f"Cells a stage: {subject.cells}. Channels of the first of three stages: "
        sizes += f"{subject.channels}. "
        loading = "import network, safetensors.torch\nmodel = network.Network().eval()"
    elif subject.architecture.space != PLUGIN:
        drawn = "The network" * (subject.space.draw(subject.architecture) is not None)
        sizes = f"Of the space `{name}`. "
        given = subject.config.space.model_dump(include={"channels", "cells"}, exclude_none=True)
        more = "".join(f", {key}={value}" for key, value in given.items())
        loading = f"""import safetensors.torch
from zc_search import Task, build_network, read_architecture
architecture = read_architecture({text!r})
model = build_network(architecture, {task!r}{more}).eval()"""
    else:
        drawn, sizes = "The modules", f"Built by `{name}`, whose source stays where it is, so that "
        sizes += "there is no network.py; the programs need none of it. "
        kind = type(subject.space).__name__
        made = f"{name!r}, {task!r}, {dict(subject.space.choices)!r}"
        loading = f"""import safetensors.torch
from zc_search.images import Task
from zc_search.spaces import {kind}
space = {kind}({made})
model = space.build(space.read({text!r}), space.task).eval()"""
    picture = f"![{drawn}](cell.svg)" if drawn else ""
    return f"""# A network for {_escaped(task.name)}

{picture}

`{text}`

{sizes}{weights}

| | |
|---|---|
{rows}

## Loading it

```python
{loading}
model.load_state_dict(safetensors.torch.load_file("weights.safetensors"))
```

## Checked

All files compute what the network does, on one image and on five:

{checks}

Written by zc-search {VERSION}.
"""


def _facts(subject: Subject, costs: Mapping[str, float]) -> dict[str, str]:
    """Return what the card's table says of a network, by matter."""
    task = subject.task
    more = len(subject.class_names) - 20
    shown = ", ".join(subject.class_names[:20]) + (f" and {more} more" if more > 0 else "")
    scales = "MEAN and STD of network.py"
    if not isinstance(subject.architecture, Architecture):
        mean, spread = (
            ", ".join(f"{v:.7g}" for v in values) for values in (subject.mean, subject.spread)
        )
        scales = f"a mean of {mean} and a deviation of {spread}, channel by channel"
    facts = {
        "Images": f"{task.channels} x {task.height} x {task.width}, values {subject.values}, "
        f"normalised by {scales}",
        "Classes": f"{task.classes}: {shown}",
        "Parameters": f"{costs['params']:.4g} million",
        "FLOPs": f"{costs['flops']:.4g} million multiply-adds an image",
        **subject.known,
    }
    facts.setdefault("Reached", "not trained")
    return facts


def _escaped(text: str) -> str:
    """Keep what a table of Markdown would read otherwise."""
    escaped = text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
    return escaped.replace("`", "\\`").replace("\n", " ")
