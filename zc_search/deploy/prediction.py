"""An exported folder: what it says of itself, also inside ONNX, and classes of picture files."""

import importlib.util
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, ValidationError

from zc_search._utils.text import VERSION, install_hint
from zc_search.errors import DataError, StudyError
from zc_search.images.pictures import FORMATS, as_array, reason, upright

if TYPE_CHECKING:
    from zc_search.deploy.subject import Subject

METADATA, LABELS = "metadata.json", "labels.txt"
ONNX, INT8, TORCH = "network.onnx", "network.int8.onnx", "network.pt2"

_STEPS = {
    "crop": "cut out the largest square in the middle, rounding its corner down, and scale it to "
    "{width} x {height} pixels, bilinear with antialiasing (Pillow's Image.resize)",
    "pad": "scale the longer side to {width} pixels, bilinear with antialiasing (Pillow's "
    "Image.resize), and put it in the middle of {width} x {height} black pixels",
    "stretch": "scale to {width} x {height} pixels, bilinear with antialiasing (Pillow's "
    "Image.resize)",
    "exact": "nothing is scaled: an image must have {width} x {height} pixels",
}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Input(_Part):
    """What the programs take: images as they are read, which they normalise themselves.

    ``mean`` and ``deviation`` are by channel, in the unit of the values; where ``bytes`` is false
    the values are those of the arrays trained on, and no picture file can be read as such.
    """

    name: str = "images"
    layout: str = "NCHW"
    dtype: str = "float32"
    color: Literal["grey", "rgb"]
    channels: int
    height: int
    width: int
    values: str
    bytes: bool
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    normalised_inside: bool = True


class Preparation(_Part):
    """How a picture file becomes an input; ``steps`` says it in words, in their order."""

    fit: Literal["crop", "pad", "stretch", "exact"]
    jpeg_draft: bool
    steps: tuple[str, ...]


class Metadata(_Part):
    """All of it; ``classes`` in the order of the logits, costs in millions, accuracies in percent.

    ``training`` is empty for random weights, ``constraints`` what was asked and measured, ``int8``
    what the quantised program reaches beside the other one, where there is one.
    """

    format: Literal["zc-search network 1"] = "zc-search network 1"
    written_by: str = f"zc-search {VERSION}"
    images: str
    space: str
    architecture: str
    classes: tuple[str, ...]
    input: Input
    preparation: Preparation
    output: str = "logits, N x classes; their softmax gives probabilities"
    trained: bool
    training: Mapping[str, Any]
    costs: Mapping[str, float]
    constraints: tuple[Mapping[str, Any], ...]
    licence_of_images: str = "unknown"
    int8: Mapping[str, float] | None = None

    @classmethod
    def read(cls, folder: Path) -> "Metadata":
        """Read it from an exported folder; raise a StudyError that says what is wrong."""
        path = folder / METADATA
        hint = "zc-search export RUN --to FOLDER"
        if not folder.is_dir():
            given = "is no folder" if folder.exists() else "does not exist"
            message = f"{str(folder)!r} {given}; name one that an export wrote: {hint}"
            raise StudyError(message, key="NETWORK", given=str(folder), hint=hint)
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            message = f"{str(folder)!r} is no exported network: it has no {METADATA}; {hint}"
            raise StudyError(message, key="NETWORK", given=str(folder), hint=hint) from None
        except (OSError, ValidationError) as error:
            why = str(error).partition("\n")[0]
            message = f"{path} cannot be read: {why}; export it again: {hint}"
            raise StudyError(message, key="NETWORK", given=str(folder), hint=hint) from error

    def to_json(self) -> str:
        """Return everything as JSON."""
        return self.model_dump_json(indent=2, exclude_none=True) + "\n"

    def properties(self) -> dict[str, str]:
        """Return everything by key as ONNX keeps it: texts as they are, the rest as JSON."""
        values = self.model_dump(mode="json", exclude_none=True)
        return {k: v if isinstance(v, str) else json.dumps(v) for k, v in values.items()}


def metadata_of(subject: "Subject", costs: Mapping[str, float]) -> Metadata:
    """Return what is known of a network, given params and flops in millions."""
    task, data = subject.task, subject.config.data
    fit = data.fit if task.height == task.width else "exact"
    values, mean, deviation = subject.raw
    color: Literal["grey", "rgb"] = "grey" if task.channels == 1 else "rgb"
    steps = [
        "turn the image as its EXIF orientation says",
        "of 16-bit greys keep the upper 8 bits",
        "put what is transparent on white",
        f"convert it to {'grey, luma of ITU-R 601' if color == 'grey' else 'RGB'}",
        _STEPS[fit].format(height=task.height, width=task.width),
        f"values {values} as float32, N x {task.channels} x {task.height} x {task.width}; "
        "the programs subtract the mean and divide by the deviation themselves",
    ]
    draft = data.source == "folder"
    if draft:
        steps.insert(
            0, "a JPEG may be decoded at 1/2, 1/4 or 1/8 if that is no smaller than needed"
        )
    measured = {"params": costs["params"], "flops": costs["flops"], **subject.measured}
    return Metadata(
        images=task.name,
        space=subject.config.space.name,
        architecture=str(subject.architecture),
        classes=subject.class_names,
        input=Input(
            color=color,
            channels=task.channels,
            height=task.height,
            width=task.width,
            values=values,
            bytes=subject.scale is not None,
            mean=mean,
            deviation=deviation,
        ),
        preparation=Preparation(fit=fit, jpeg_draft=draft, steps=tuple(steps)),
        trained=subject.weights is not None,
        training=subject.training,
        costs=costs,
        constraints=tuple(
            {"constraint": name, "limit": limit, "unit": unit, "measured": measured.get(proxy)}
            for proxy, name, limit, unit in subject.limits
        ),
    )


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
