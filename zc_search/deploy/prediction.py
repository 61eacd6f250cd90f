"""Classes of picture files, from the folder of an exported network alone."""

import importlib.util
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from zc_search._utils.text import install_hint
from zc_search.deploy.metadata import INT8, LABELS, METADATA, ONNX, TORCH, Input, Metadata
from zc_search.errors import DataError, StudyError
from zc_search.images.pictures import FORMATS, as_array, reason, upright

Program = Callable[[NDArray[np.float32]], Any]
"""From images, N x channels x height x width, to logits."""

_AT_ONCE = 64


class ExportedNetwork:
    """A network in an exported folder: ``network.onnx`` where ONNX Runtime is installed.

    Elsewhere, and where that file is not there, it is the torch program ``network.pt2``. With
    `int8` it is ``network.int8.onnx``. No code from the folder is run. ``labels`` are of the file
    ``labels.txt``, which may be edited.

    Raises:
        StudyError: The folder is none that an export wrote, or lacks a file.
    """

    def __init__(self, folder: str | Path, *, int8: bool = False) -> None:
        self.folder = Path(folder)
        self.about = Metadata.read(self.folder)
        self.labels = self._labels()
        self._program = self._opened(int8)

    def probabilities(self, files: Sequence[str | Path]) -> NDArray[np.float64]:
        """Return the softmax of the logits of picture files, (N, classes).

        Raises:
            DataError: A file is not there or no picture, or the network takes none.
        """
        parts = [
            self._program(np.stack([self.read(Path(file)) for file in files[first:][:_AT_ONCE]]))
            for first in range(0, len(files), _AT_ONCE)
        ]
        logits = np.concatenate(parts).astype(np.float64)
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        return cast("NDArray[np.float64]", shares / shares.sum(axis=1, keepdims=True))

    def read(self, file: Path) -> NDArray[np.float32]:
        """Return a picture file as the programs take it, (channels, height, width)."""
        wanted, how = self.about.input, self.about.preparation
        if not wanted.bytes:
            message = (
                f"the network in {str(self.folder)!r} was trained on arrays with values of their "
                "own, and what a picture's bytes would be there is not known; give network.onnx "
                f"such arrays, see {METADATA}"
            )
            raise DataError(message, key="IMAGE", given=str(file))
        size = max(wanted.height, wanted.width)
        try:
            with warnings.catch_warnings(), Image.open(file, formats=FORMATS) as opened:
                warnings.simplefilter("ignore")  # of odd metadata
                if how.jpeg_draft:
                    opened.draft(opened.mode, (size, size))
                image, fit = upright(opened), how.fit
                if fit == "exact":
                    image, fit = _unscaled(image, wanted), "stretch"
                pixels = as_array(image, size, fit, wanted.color)
        except Exception as error:  # Pillow's decoders raise nearly anything
            why = error.strerror if isinstance(error, OSError) else None
            message = f"{file} cannot be read as an image: {why or reason(error)}"
            raise DataError(message, key="IMAGE", given=str(file)) from error
        return pixels[:, : wanted.height, : wanted.width].astype(np.float32)

    def _labels(self) -> tuple[str, ...]:
        path, classes = self.folder / LABELS, self.about.classes
        try:
            labels = tuple(path.read_text(encoding="utf-8").removesuffix("\n").split("\n"))
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "it is no text"
            message = f"{path} cannot be read: {why}; it has a class a line, in the order of "
            message += f"'classes' in {METADATA}"
            raise StudyError(message, key=LABELS, given=str(path)) from error
        if len(labels) != len(classes):
            message = f"{path} has {len(labels)} lines, and the network {len(classes)} classes"
            raise StudyError(message, key=LABELS, given=len(labels), allowed=classes)
        return labels

    def _opened(self, int8: bool) -> Program:
        """Return what gives logits for images."""
        runtime = importlib.util.find_spec("onnxruntime") is not None
        program = self.folder / (INT8 if int8 else ONNX)
        if int8 and not (runtime and program.exists()):
            lacking = "export it with --int8" if runtime else install_hint("export")
            raise StudyError(f"--int8 needs {program} and onnxruntime: {lacking}", key="--int8")
        if not (runtime and program.exists()):
            program = self.folder / TORCH
        try:
            return (torch_program if program.name == TORCH else onnx_program)(program)
        except Exception as error:  # the runtimes' own, of many kinds
            why = "it is not there" if not program.exists() else reason(error)
            raise StudyError(f"{program} cannot be opened: {why}", given=str(program)) from error


def _unscaled(image: Image.Image, wanted: Input) -> Image.Image:
    """Return an image that must have the network's size with a margin that makes it a square."""
    if image.size != (wanted.width, wanted.height):
        there = f"{image.width} x {image.height}"
        raise ValueError(f"it has {there} pixels, not {wanted.width} x {wanted.height}")
    return image.crop((0, 0, max(image.size), max(image.size)))


def onnx_program(path: Path, threads: int = 0) -> Program:
    """Return what an ONNX program gives for images; by default with a thread a core."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda images: session.run(None, {"images": images})[0]


def torch_program(path: Path) -> Program:
    """Return what a `torch.export` program gives for images."""
    import torch

    network = torch.export.load(str(path)).module()

    def run(images: NDArray[np.float32]) -> Any:
        with torch.no_grad():
            return network(torch.from_numpy(images)).numpy()

    return run
