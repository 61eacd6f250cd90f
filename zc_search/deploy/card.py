"""The model card of an exported network, as Markdown."""

from collections.abc import Mapping

from zc_search._utils.text import VERSION
from zc_search.deploy.metadata import INT8, LABELS, METADATA, ONNX, Metadata
from zc_search.deploy.subject import Subject
from zc_search.spaces import PLUGIN, Architecture
from zc_search.spaces.nasbench201.architecture import describe_cell


def model_card(subject: Subject, about: Metadata, differences: Mapping[str, float]) -> str:
    """Return the model card, given how far each file is from the network, see `Exported`."""
    rows = "\n".join(f"| {key} | {_escaped(value)} |" for key, value in _facts(subject, about))
    checks = "\n".join(
        f"- `{name}`: largest difference {value:.1e} of the largest output"
        for name, value in differences.items()
    )
    weights = "The weights are trained."
    if subject.weights is None:
        weights = "**The weights are random**: the network was not trained"
        weights += "." if subject.config.data.generated else "; `zc-search train` does it."
    drawn, sizes, loading = _made(subject)
    picture = f"![{drawn}](cell.svg)" if drawn else ""
    parts = [
        f"# A network for {_escaped(subject.task.name)}\n\n{picture}\n\n`{subject.architecture}`",
        f"{sizes}{weights}",
        f"| | |\n|---|---|\n{rows}",
        f"## Loading it\n\n```python\n{loading}\n"
        'model.load_state_dict(safetensors.torch.load_file("weights.safetensors"))\n```',
    ]
    if ONNX in differences:
        parts.append(_example(about))
    parts += _int8(about)
    parts.append(
        f"## Checked\n\nAll files compute what the network does, on one image and on "
        f"five:\n\n{checks}\n\nWritten by zc-search {VERSION}.\n"
    )
    return "\n\n".join(parts)


def _made(subject: Subject) -> tuple[str, str, str]:
    """Return what the drawing shows, a sentence on the sizes, and the code that builds it."""
    task, text, name = subject.task, str(subject.architecture), subject.config.space.name
    if isinstance(subject.architecture, Architecture):
        sizes = f"Cells a stage: {subject.cells}. Channels of the first of three stages: "
        sizes += f"{subject.channels}. "
        loading = "import network, safetensors.torch\nmodel = network.Network().eval()"
        return f"The cell: {describe_cell(text)}", sizes, loading
    if subject.architecture.space != PLUGIN:
        drawn = "The network" * (subject.space.draw(subject.architecture) is not None)
        given = subject.config.space.model_dump(include={"channels", "cells"}, exclude_none=True)
        more = "".join(f", {key}={value}" for key, value in given.items())
        loading = f"""import safetensors.torch
from zc_search import Task, build_network, read_architecture
architecture = read_architecture({text!r})
model = build_network(architecture, {task!r}{more}).eval()"""
        return drawn, f"Of the space `{name}`. ", loading
    kind = type(subject.space).__name__
    loading = f"""import safetensors.torch
from zc_search.images import Task
from zc_search.spaces import {kind}
space = {kind}({name!r}, {task!r}, {dict(subject.space.choices)!r})
model = space.build(space.read({text!r}), space.task).eval()"""
    sizes = f"Built by `{name}`, whose source stays where it is, so that there is no network.py; "
    return "The modules", f"{sizes}the programs need none of it. ", loading


def _facts(subject: Subject, about: Metadata) -> list[tuple[str, str]]:
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
    asked = "; ".join(
        f"{c['constraint']} {c['limit']:g} {c['unit']}, "
        + ("not measured" if c["measured"] is None else f"measured {c['measured']:.4g}")
        for c in about.constraints
    )
    facts = {
        "Images": f"{task.channels} x {task.height} x {task.width}, values {subject.values}, "
        f"normalised by {scales}",
        "Classes": f"{task.classes}: {shown}",
        "Parameters": f"{about.costs['params']:.4g} million",
        "FLOPs": f"{about.costs['flops']:.4g} million multiply-adds an image",
        "Constraints asked": asked,
        **subject.known,
        "Licence of the images": "unknown to zc-search; ask before you publish the network",
    }
    facts.setdefault("Reached", "not trained")
    return [(key, value) for key, value in facts.items() if value]


# The worked example -------------------------------------------------------------------------------

_OPENED = """image = ImageOps.exif_transpose(Image.open(sys.argv[1])).convert("{mode}")
{fitted}
pixels = np.asarray(image, np.float32).reshape(1, {height}, {width}, {channels})
pixels = pixels.transpose(0, 3, 1, 2)"""

_FITTED = {
    "crop": "side = min(image.size)\n"
    "left, top = (image.width - side) // 2, (image.height - side) // 2\n"
    "box = (left, top, left + side, top + side)\n"
    "image = image.resize(({width}, {height}), Image.Resampling.BILINEAR, box)",
    "stretch": "image = image.resize(({width}, {height}), Image.Resampling.BILINEAR)",
    "pad": "scale = {width} / max(image.size)\n"
    "size = [max(1, round(scale * side)) for side in image.size]\n"
    'square = Image.new("{mode}", ({width}, {height}))\n'
    "place = ({width} - size[0]) // 2, ({height} - size[1]) // 2\n"
    "square.paste(image.resize(size, Image.Resampling.BILINEAR), place)\n"
    "image = square",
    "exact": "assert image.size == ({width}, {height})",
}

_EXAMPLE = """## In an app

`network.onnx` and `network.pt2` take images as they are read, {what},
and normalise them themselves. `{metadata}`, and the metadata inside `network.onnx`, says the rest;
`zc-search predict` does the same. With `pip install onnxruntime pillow`, save this beside
`network.onnx` and run it with {argument}:

```python
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

{opened}
session = onnxruntime.InferenceSession("network.onnx")
logits = session.run(None, {{"images": pixels}})[0][0]
shares = np.exp(logits - logits.max())
shares /= shares.sum()
labels = open("{labels}", encoding="utf-8").read().split("\\n")
for place in shares.argsort()[::-1][:5]:
    print(f"{{labels[place]}}: {{shares[place]:.2%}}")
```"""


def _example(about: Metadata) -> str:
    size, taken = about.input, f"N x {about.input.channels} x {about.input.height} x "
    taken += f"{about.input.width} float32 with values {size.values}"
    mode = "L" if size.color == "grey" else "RGB"
    known = {"mode": mode, **size.model_dump(include={"height", "width", "channels"})}
    opened = _OPENED.format(fitted=_FITTED[about.preparation.fit].format(**known), **known)
    argument = "a picture's name"
    if not size.bytes:
        opened = "pixels = np.load(sys.argv[1]).astype(np.float32)  # N x C x H x W"
        argument = "the name of a NumPy file of such arrays"
    return _EXAMPLE.format(
        what=taken, metadata=METADATA, labels=LABELS, opened=opened, argument=argument
    )


def _int8(about: Metadata) -> list[str]:
    """Return the section on the quantised program, if there is one."""
    if (found := about.int8) is None:
        return []
    rows = "\n".join(
        f"| `{name}` | {found[f'{kind}_accuracy']:.2f} | {found[f'{kind}_latency_ms']:.3f} | "
        f"{found[f'{kind}_bytes'] / 1000:,.0f} |"
        for name, kind in ((ONNX, "float"), (INT8, "int8"))
    )
    return [
        "## In 8 bits\n\n"
        f"`network.int8.onnx` takes and gives the same, with weights and activations of 8 bits, "
        f"calibrated on {found['calibrated_on']:.0f} images trained on. Accuracy is of the "
        f"{found['judged_by']:.0f} validation images, with a standard error of "
        f"{found['standard_error']:.2f} points; the two programs name the same class for "
        f"{found['same_class']:.2f} % of them. Latency is of one image on one thread of the "
        "machine that exported it, the least of interleaved passes.\n\n"
        f"| | accuracy, % | latency, ms | kB |\n|---|---|---|---|\n{rows}"
    ]


def _escaped(text: str) -> str:
    """Keep what a table of Markdown would read otherwise."""
    escaped = text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
    return escaped.replace("`", "\\`").replace("\n", " ")
