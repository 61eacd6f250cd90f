"""A network of NAS-Bench-201 cells as Python source that is read easily and needs torch alone."""

from collections.abc import Sequence

from zc_search.images.datasets import Task
from zc_search.spaces import EDGES, Architecture
from zc_search.spaces.nasbench201.graph import live_edges
from zc_search.spaces.network import stem_strides

_BLOCKS = '''
class ReLUConvBN(nn.Module):
    """ReLU, convolution without bias, batch normalisation."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.op = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)


class ResidualBlock(nn.Module):
    """Halve height and width, widen."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv_a = ReLUConvBN(inputs, outputs, 3, stride=2)
        self.conv_b = ReLUConvBN(outputs, outputs, 3)
        self.downsample = nn.Sequential(
            nn.AvgPool2d(2, stride=2, ceil_mode=True),
            nn.Conv2d(inputs, outputs, 1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.downsample(x) + self.conv_b(self.conv_a(x))
'''

_CALLS = {
    "nor_conv_1x1": "self.edge_{target}_{source}({value})",
    "nor_conv_3x3": "self.edge_{target}_{source}({value})",
    "avg_pool_3x3": "self.pool({value})",
    "skip_connect": "{value}",
}


def network_source(
    architecture: Architecture,
    task: Task,
    *,
    channels: int,
    cells: int,
    class_names: Sequence[str],
    mean: Sequence[float],
    spread: Sequence[float],
    values: str,
) -> str:
    """Return a module with a class ``Network`` that imports nothing but torch.

    Its parameters are named as `exported_name` says. Names of classes go in as Python literals.

    Args:
        architecture: The cell.
        task: What the network is for.
        channels: Width of the first stage.
        cells: Cells a stage.
        class_names: In the order of the outputs.
        mean: Of each channel, to be subtracted from an image.
        spread: Standard deviation of each channel, to divide by afterwards.
        values: What the values of an image are before that, such as ``from 0 to 255``.
    """
    widths = [channels, 2 * channels, 4 * channels]
    blocks = []
    for stage, width in enumerate(widths):
        if stage:
            blocks.append(f"ResidualBlock({widths[stage - 1]}, {width}),")
        blocks += [f"Cell({width}),"] * cells
    body = "\n".join(f"            {block}" for block in blocks)
    names = "".join(f"    {name!r},\n" for name in class_names)
    cell = _cell(architecture)
    imports = "import torch\n" if "torch.zeros" in cell else ""
    imports += "from torch import Tensor, nn"
    return f'''"""A network that zc-search found; it needs PyTorch and nothing else.

Input: images N x {task.channels} x {task.height} x {task.width} with values {values},
less MEAN, then divided by STD, channel by channel. Output: logits N x {len(class_names)}, in the
order of CLASSES.

The cell, in the notation of NAS-Bench-201:
{_wrapped(architecture)}
"""

{imports}

CLASSES = (
{names})
MEAN = {_floats(mean)}
STD = {_floats(spread)}

{_BLOCKS}

{cell}

class Network(nn.Module):
    """Stem, three stages of cells with residual blocks between them, classifier."""

    def __init__(self, classes: int = {len(class_names)}) -> None:
        super().__init__()
        self.stem = nn.Sequential(
{_stem(task, channels)}
        )
        self.cells = nn.Sequential(
{body}
        )
        self.lastact = nn.Sequential(nn.BatchNorm2d({widths[-1]}), nn.ReLU())
        self.classifier = nn.Linear({widths[-1]}, classes)

    def forward(self, images: Tensor) -> Tensor:
        x = self.lastact(self.cells(self.stem(images)))
        return self.classifier(x.mean((2, 3)))
'''


def exported_name(name: str) -> str:
    """Return what a parameter of `CellNetwork` is called in the exported module; see `kept`."""
    parts = name.split(".")
    if len(parts) > 3 and parts[0] == "cells" and parts[2] == "layers":
        target, source = EDGES[int(parts[3])]
        parts[2:4] = [f"edge_{target}_{source}"]
    return ".".join(parts)


def kept(architecture: Architecture, name: str) -> bool:
    """Whether a parameter of `CellNetwork` is in the exported module: its edge can matter."""
    parts = name.split(".")
    if len(parts) > 3 and parts[0] == "cells" and parts[2] == "layers":
        return int(parts[3]) in live_edges(architecture.ops, trained=True)
    return True


def _cell(architecture: Architecture) -> str:
    edges = live_edges(architecture.ops, trained=True)
    layers, lines = [], []
    terms: dict[int, list[str]] = {1: [], 2: [], 3: []}
    for edge in edges:
        target, source = EDGES[edge]
        operation = architecture.ops[edge]
        if operation.startswith("nor_conv"):
            kernel = 3 if operation.endswith("3x3") else 1
            layers.append(
                f"        self.edge_{target}_{source} = ReLUConvBN(channels, channels, {kernel})"
            )
        call = _CALLS[operation].format(target=target, source=source, value=f"node_{source}")
        terms[target].append(call)
    if "avg_pool_3x3" in {architecture.ops[edge] for edge in edges}:
        layers.append(
            "        self.pool = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)"
        )
    used = {EDGES[edge][1] for edge in edges} | {3}
    for node in (1, 2, 3):
        if node in used:
            value = " + ".join(terms[node]) or "torch.zeros_like(node_0)"
            lines.append(f"        node_{node} = {value}")
    listed = "\n".join(layers)
    return f'''class Cell(nn.Module):
    """Four nodes; each is the sum of operations on earlier ones, the last is the output."""

    def __init__(self, channels: int) -> None:
        super().__init__()
{listed}

    def forward(self, node_0: Tensor) -> Tensor:
{chr(10).join(lines)}
        return node_3
'''.replace("super().__init__()\n\n\n", "super().__init__()\n\n")


def _stem(task: Task, channels: int) -> str:
    lines = []
    for place, stride in enumerate(stem_strides(task.height, task.width)):
        inputs = channels if place else task.channels
        lines += ["nn.ReLU(),"] if place else []
        lines += [
            f"nn.Conv2d({inputs}, {channels}, 3, {stride}, padding=1, bias=False),",
            f"nn.BatchNorm2d({channels}),",
        ]
    return "\n".join(f"            {line}" for line in lines)


def _wrapped(architecture: Architecture) -> str:
    return "\n".join(f"    {part}" for part in str(architecture).replace("+", "+\n").split("\n"))


def _floats(values: Sequence[float]) -> str:
    return f"({', '.join(f'{value:.7g}' for value in values)},)"
