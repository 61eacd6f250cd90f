"""A folder with a network in every format, each checked, and its model card."""

import importlib.util
import io
import logging
import math
import runpy
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from zc_search._utils.files import write_atomically, writing
from zc_search._utils.text import install_hint
from zc_search.deploy.documents import exported_weights, model_card, network_source
from zc_search.deploy.feedback import error_of_share
from zc_search.deploy.prediction import (
    INT8,
    LABELS,
    METADATA,
    ONNX,
    TORCH,
    Metadata,
    Program,
    metadata_of,
    onnx_program,
    torch_program,
)
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


_CALIBRATED_ON = 256  # images trained on
_AT_ONCE = 64
_ROUNDS = 200  # passes of each program, one after the other, of which the least time counts


def check_quantisable(subject: Subject, onnx: bool) -> None:
    """Raise a StudyError where there is nothing to quantise, or nothing to calibrate with."""
    reason = None
    if not onnx:
        reason = "is made of the ONNX program, which --no-onnx leaves out"
    elif subject.weights is None:
        reason = "needs trained weights, and the network was not trained; zc-search train RUN"
    elif subject.images is None:
        reason = "is calibrated and judged with the images trained on, which are not there any more"
    if reason is not None:
        raise StudyError(f"--int8: a program of 8 bits {reason}", key="--int8")


def quantised(subject: Subject, folder: Path, about: Metadata) -> Metadata:
    """Write the program of 8 bits beside the other one; return what is known of both.

    Weights have 8 bits a channel, activations 8 bits a tensor, calibrated with images trained on.
    """
    import onnx

    images, data = subject.images, subject.config.data
    assert images is not None  # noqa: S101  see `check_quantisable`
    trained_on, judged_by = images.split(data.validation, data.seed)
    rng = np.random.default_rng(data.seed)
    chosen = rng.choice(trained_on, min(_CALIBRATED_ON, len(trained_on)), replace=False)
    scale = np.float32(subject.scale or 1)

    def raw(places: NDArray[np.int64]) -> NDArray[np.float32]:
        return images.pixels[places].astype(np.float32) / scale

    _quantise(folder / ONNX, folder / INT8, [raw(p) for p in _batches(chosen)])
    programs = [onnx_program(folder / name, threads=1) for name in (ONNX, INT8)]
    named = [
        np.concatenate([program(raw(places)).argmax(1) for places in _batches(judged_by)])
        for program in programs
    ]
    labels = images.labels[judged_by]
    accuracies = [100 * float((classes == labels).mean()) for classes in named]
    figures = {
        "calibrated_on": len(chosen),
        "judged_by": len(labels),
        "standard_error": error_of_share(accuracies[0], len(labels)),
        "same_class": 100 * float((named[0] == named[1]).mean()),
    }
    latencies = _latencies(programs, raw(judged_by[:1]))
    for kind, name, accuracy, latency in zip(
        ("float", "int8"), (ONNX, INT8), accuracies, latencies, strict=True
    ):
        figures |= {f"{kind}_accuracy": accuracy, f"{kind}_latency_ms": latency}
        figures[f"{kind}_bytes"] = (folder / name).stat().st_size
    about = about.model_copy(update={"int8": figures})
    model = onnx.load(folder / INT8)
    onnx.helper.set_model_props(model, about.properties())
    write_atomically(folder / INT8, model.SerializeToString())
    return about


def _quantise(source: Path, target: Path, batches: list[NDArray[np.float32]]) -> None:
    from onnxruntime.quantization import CalibrationDataReader, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.batches = iter(batches)

        def get_next(self) -> dict[str, Any] | None:
            images = next(self.batches, None)
            return None if images is None else {"images": images}

    with TemporaryDirectory() as work:
        prepared = Path(work) / "prepared.onnx"
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        quantize_static(str(prepared), str(target), Reader(), per_channel=True)


def _latencies(programs: list[Program], image: NDArray[np.float32]) -> list[float]:
    """Return the least milliseconds of each program for an image, in interleaved passes."""
    found = np.full((_ROUNDS, len(programs)), np.inf)
    for turn, place in np.ndindex(found.shape):
        begun = time.perf_counter()
        programs[place](image)
        found[turn, place] = time.perf_counter() - begun
    return [1000 * float(least) for least in found.min(axis=0)]


def _batches(places: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    return iter(np.array_split(places, math.ceil(len(places) / _AT_ONCE)))
