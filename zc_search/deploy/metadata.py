"""What an app must know of an exported network: ``metadata.json``, and the same inside ONNX."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from zc_search._utils.text import VERSION
from zc_search.errors import StudyError

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
