"""One network in several formats, each checked to compute the same."""

import importlib.util
import io
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from zc_search._utils.files import write_atomically
from zc_search.errors import StudyError
from zc_search.images.datasets import Task

EXTRA = 'pip install "zc-search[export]"'
"""What installs the packages of the formats that torch has not."""

_TOLERANCE = 1e-3
"""Largest difference of two outputs, as a share of the largest output: float32, other orders."""


def missing(*packages: str) -> tuple[str, ...]:
    """Return which packages are not installed, importing none."""
    return tuple(name for name in packages if importlib.util.find_spec(name) is None)


def load_module(path: Path) -> Any:
    """Import a generated module from its file, under no name that another could have."""
    specification = importlib.util.spec_from_file_location("zc_search_exported", path)
    if specification is None or specification.loader is None:
        raise StudyError(f"{path} is no Python module")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def write_weights(weights: Mapping[str, Tensor], path: Path) -> None:
    """Write weights as safetensors."""
    from safetensors.torch import save

    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    write_atomically(path, save(plain))


def write_program(network: nn.Module, task: Task, path: Path) -> None:
    """Write a network as a `torch.export` program that takes any number of images."""
    content = io.BytesIO()
    torch.export.save(_program(network, task), content)
    write_atomically(path, content.getvalue())


def write_onnx(network: nn.Module, task: Task, path: Path) -> None:
    """Write a network as ONNX that takes any number of images."""
    with _quiet():
        program = torch.onnx.export(
            network,
            (_images(task, 2),),
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
            dynamo=True,
            verbose=False,
        )
    if program is None:  # only without dynamo
        raise StudyError("torch wrote no ONNX program")
    write_atomically(path, program.model_proto.SerializeToString())


def largest_difference(network: nn.Module, task: Task, folder: Path) -> dict[str, float]:
    """Compare every format in a folder with a network, on batches of one and of five images.

    Returns:
        The largest difference of an output by file, as a share of the largest output.

    Raises:
        StudyError: One of them computes something else.
    """
    found: dict[str, float] = {}
    for count in (1, 5):
        images = _images(task, count)
        with torch.no_grad():
            expected = network(images).numpy()
        for name, logits in _outputs(folder, images).items():
            scale = max(float(np.abs(expected).max()), 1e-6)
            difference = float(np.abs(logits - expected).max()) / scale
            found[name] = max(found.get(name, 0.0), difference)
    for name, difference in found.items():
        if not difference <= _TOLERANCE:
            raise StudyError(
                f"{folder / name} does not compute what the network does: its outputs differ by "
                f"{difference:.2g} of the largest; this is a fault of zc-search or of torch's "
                "exporter"
            )
    return found


def multiply_adds(network: nn.Module, task: Task) -> int:
    """Count multiply-accumulates of convolutions and linear layers as they run for one image."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(_images(task, 1))
    return int(counter.get_total_flops()) // 2


def _outputs(folder: Path, images: Tensor) -> dict[str, Any]:
    outputs: dict[str, Any] = {}
    with torch.no_grad():
        if (folder / "network.pt2").exists():
            program = torch.export.load(str(folder / "network.pt2"))
            outputs["network.pt2"] = program.module()(images).numpy()
        if (folder / "weights.safetensors").exists():
            from safetensors.torch import load_file

            network = load_module(folder / "network.py").Network()
            network.load_state_dict(load_file(str(folder / "weights.safetensors")))
            outputs["network.py"] = network.eval()(images).numpy()
    if (folder / "network.onnx").exists():
        import onnxruntime

        session = onnxruntime.InferenceSession(
            str(folder / "network.onnx"), providers=["CPUExecutionProvider"]
        )
        outputs["network.onnx"] = session.run(None, {"images": images.numpy()})[0]
    return outputs


def _program(network: nn.Module, task: Task) -> Any:
    with _quiet():
        return torch.export.export(
            network,
            (_images(task, 2),),
            dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
        )


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


def _images(task: Task, count: int) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    return torch.randn(count, task.channels, task.height, task.width, generator=generator)
