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

from zc_search._utils.files import write_atomically, writing
from zc_search._utils.text import install_hint
from zc_search.deploy.documents import exported_weights, model_card, network_source
from zc_search.deploy.metadata import LABELS, METADATA, ONNX, TORCH, Metadata, metadata_of
from zc_search.deploy.prediction import onnx_program, torch_program
from zc_search.deploy.quantised import check_quantisable, quantised
from zc_search.deploy.subject import Subject, subject_of_cell, subject_of_run
from zc_search.errors import StudyError
from zc_search.images.datasets import Task
from zc_search.spaces import Architecture
from zc_search.spaces.nasbench201.architecture import draw_cell

__all__ = ["Exported", "Subject", "export_network", "subject_of_cell", "subject_of_run"]

_TOLERANCE = 1e-3
"""Largest difference of two outputs, as a share of the largest output: float32, other orders."""


@dataclass(frozen=True)
class Exported:
    """What an export wrote: the files in a folder, and whether the weights in them were learnt.

    ``differences`` is by file the largest difference of an output, as a share of the largest one.
    ``about`` is what ``metadata.json`` says.
    """

    folder: Path
    files: tuple[str, ...]
    differences: dict[str, float]
    trained: bool
    about: Metadata


def export_network(
    subject: Subject, folder: str | Path, *, onnx: bool = True, int8: bool = False
) -> Exported:
    """Write a network as Python source, weights, `torch.export` program, ONNX and model card.

    The programs take images as they are read and normalise them; ``metadata.json`` and
    ``labels.txt`` say what else an app must know. With `int8` there is an ONNX program of 8 bits
    too, which needs the images trained on. Without trained weights, freshly drawn ones are
    written. The folder is a new or an empty one.

    Raises:
        StudyError: It is not empty or cannot be written, packages are missing, or a format
            computes something else than the network.
    """
    folder = Path(folder)
    if int8:
        check_quantisable(subject, onnx)
    packages = ("safetensors", *(("onnx", "onnxscript", "onnxruntime") if onnx else ()))
    if lacking := missing(*packages):
        raise StudyError(
            f"an export needs {', '.join(lacking)}: {install_hint('export')}", given=lacking
        )
    with writing(str(folder), StudyError):
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise StudyError(f"{str(folder)!r} is not empty; name another folder with --to")
        differences, about = _write(subject, folder, onnx, int8)
    files = tuple(sorted(file.name for file in folder.iterdir() if file.is_file()))
    return Exported(folder, files, differences, subject.weights is not None, about)


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


class _Raw(nn.Module):
    """A network that takes images as they are read, and normalises them itself."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, network: nn.Module, subject: Subject) -> None:
        super().__init__()
        self.network = network
        _, *scales = subject.raw
        for name, values in zip(("mean", "deviation"), scales, strict=True):
            self.register_buffer(name, torch.tensor(values).reshape(1, -1, 1, 1))

    def forward(self, images: Tensor) -> Any:
        return self.network((images - self.mean) / self.deviation)


def _write(
    subject: Subject, folder: Path, onnx: bool, int8: bool
) -> tuple[dict[str, float], Metadata]:
    from safetensors.torch import save

    cell, task, reference = subject.architecture, subject.task, _network(subject)
    weights = reference.state_dict()
    if isinstance(cell, Architecture):
        write_atomically(folder / "network.py", network_source(subject))
        weights = exported_weights(weights, cell)
    # Cloned, as two names may share a tensor.
    plain = {name: tensor.detach().cpu().clone() for name, tensor in weights.items()}
    write_atomically(folder / "weights.safetensors", save(plain))
    # What is exported is what the reader gets: the module in the file, not ours.
    network = load_network(folder, weights) if isinstance(cell, Architecture) else reference
    costs = {
        "params": sum(p.numel() for p in network.parameters()) / 1e6,
        "flops": multiply_adds(network, task) / 1e6,
    }
    about, raw = metadata_of(subject, costs), _Raw(network, subject).eval()
    write_program(raw, task, folder / TORCH)
    if onnx:
        write_onnx(raw, task, folder / ONNX, about)
    differences = largest_differences(reference, folder, subject)
    if int8:
        with _quiet():
            about = quantised(subject, folder, about)
    write_atomically(folder / METADATA, about.to_json())
    write_atomically(folder / LABELS, "\n".join(about.classes) + "\n")
    drawing = draw_cell(cell) if isinstance(cell, Architecture) else subject.space.draw(cell)
    if drawing is not None:
        write_atomically(folder / "cell.svg", str(drawing))
    write_atomically(folder / "README.md", model_card(subject, about, differences))
    return differences, about


def _network(subject: Subject) -> nn.Module:
    """Return our own network with the weights that are exported."""
    network: nn.Module = subject.build()
    if subject.weights is not None:
        try:
            network.load_state_dict(dict(subject.weights))
        except RuntimeError as error:
            raise StudyError(
                "the trained weights are of a network for other images than the run's section data "
                "names now; train again with zc-search train RUN --fresh"
            ) from error
    return network.eval()


# Formats ------------------------------------------------------------------------------------------


def write_program(network: nn.Module, task: Task, path: Path) -> None:
    """Write a network as a `torch.export` program that takes any number of images."""
    with _quiet(), _exporting("torch.export"):
        program = torch.export.export(network, (_images(task, 2),), dynamic_shapes=_any_number())
    for node in program.graph.nodes:  # the paths of this machine are nobody's business
        node.meta.pop("stack_trace", None)
    content = io.BytesIO()
    torch.export.save(program, content)
    write_atomically(path, content.getvalue())


def write_onnx(network: nn.Module, task: Task, path: Path, about: Metadata) -> None:
    """Write a network as ONNX that takes any number of images, and knows what it is."""
    import onnx

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
    model = program.model_proto
    for part in (model.graph, *model.graph.node, *model.graph.value_info):
        del part.metadata_props[:]  # traces of torch's, a third of a small file, with paths
    onnx.helper.set_model_props(model, about.properties())
    write_atomically(path, model.SerializeToString())


def largest_differences(network: nn.Module, folder: Path, subject: Subject) -> dict[str, float]:
    """Compare every format in a folder with a network, on batches of one and of five images."""
    found: dict[str, float] = {}
    for images in (_images(subject.task, 1), _images(subject.task, 5)):
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

    _, *scales = subject.raw
    mean, deviation = (torch.tensor(values).reshape(1, -1, 1, 1) for values in scales)
    raw = images * deviation + mean
    weights, name = load_file(folder / "weights.safetensors"), "network.py"
    if (folder / name).exists():
        network = load_network(folder, weights)
    else:
        network, name = subject.build().eval(), "weights.safetensors"
        network.load_state_dict(weights)
    with torch.no_grad():
        outputs: dict[str, Any] = {
            TORCH: torch_program(folder / TORCH)(raw.numpy()),
            name: network(images).numpy(),
        }
    if (folder / ONNX).exists():
        outputs[ONNX] = onnx_program(folder / ONNX)(raw.numpy())
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
