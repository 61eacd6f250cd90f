"""A network of NAS-Bench-201 cells as Python source that is read easily and needs torch alone."""

import inspect
from collections.abc import Mapping, Sequence
from typing import cast

from torch import Tensor

from zc_search.deploy.subject import Subject
from zc_search.spaces import EDGES, Architecture
from zc_search.spaces.nasbench201.architecture import live_edges
from zc_search.spaces.nasbench201.network import ReLUConvBN, ResidualBlock, make_stem
from zc_search.spaces.network import stem_strides


def network_source(subject: Subject) -> str:
    """Return a module with a class ``Network``, of a cell, that imports nothing but torch.

    Its parameters are those of `exported_weights`. Names of classes go in as Python literals.
    """
    task, classes = subject.task, len(subject.class_names)
    widths = [subject.channels, 2 * subject.channels, 4 * subject.channels]
    cells = []
    for stage, width in enumerate(widths):
        if stage:
            cells.append(f"ResidualBlock({widths[stage - 1]}, {width}),")
        cells += [f"Cell({width}),"] * subject.cells
    stem = f"{task.channels}, {subject.channels}, {stem_strides(task.height, task.width)}"
    # Parts that are there in every network are taken over word by word.
    parts = (inspect.getsource(part) for part in (ReLUConvBN, ResidualBlock, make_stem))
    blocks = "\n\n".join(parts).replace("  # type: ignore[no-any-return]", "")
    names = "".join(f"    {name!r},\n" for name in subject.class_names)
    notation = str(subject.architecture).replace("+", "+\n    ")
    return f'''"""A network that zc-search found; it needs PyTorch and nothing else.

Input: images N x {task.channels} x {task.height} x {task.width} with values {subject.values},
less MEAN, then divided by STD, channel by channel. Output: logits N x {classes}, in the
order of CLASSES.

The cell, in the notation of NAS-Bench-201:
    {notation}
"""

from torch import Tensor, nn

CLASSES = (
{names})
MEAN = {_floats(subject.mean)}
STD = {_floats(subject.spread)}


{blocks}

{_cell(cast("Architecture", subject.architecture))}

class Network(nn.Module):
    """Stem, three stages of cells with residual blocks between them, classifier."""

    def __init__(self, classes: int = {classes}) -> None:
        super().__init__()
        self.stem = make_stem({stem})
        self.cells = nn.Sequential(
{_indented(cells, 12)}
        )
        self.lastact = nn.Sequential(nn.BatchNorm2d({widths[-1]}), nn.ReLU())
        self.classifier = nn.Linear({widths[-1]}, classes)

    def forward(self, images: Tensor) -> Tensor:
        x = self.lastact(self.cells(self.stem(images)))
        return self.classifier(x.mean((2, 3)))
'''


def exported_weights(
    weights: Mapping[str, Tensor], architecture: Architecture
) -> dict[str, Tensor]:
    """Return those weights of our own network that the exported one has, under its names."""
    live = live_edges(architecture.ops, trained=True)
    exported = {}
    for name, tensor in weights.items():
        parts = name.split(".")
        if parts[0] == "cells" and parts[2] == "layers":
            edge = int(parts[3])
            if edge not in live:
                continue
            parts[2:4] = ["edge_{}_{}".format(*EDGES[edge])]
        exported[".".join(parts)] = tensor
    return exported


def _cell(architecture: Architecture) -> str:
    layers = []
    terms: dict[int, list[str]] = {1: [], 2: [], 3: []}
    live = live_edges(architecture.ops, trained=True)
    for edge in live:
        (target, source), operation = EDGES[edge], architecture.ops[edge]
        term = f"node_{source}"
        if operation.startswith("nor_conv"):
            kernel = 3 if operation.endswith("3x3") else 1
            layer = f"self.edge_{target}_{source}"
            layers.append(f"{layer} = ReLUConvBN(channels, channels, {kernel})")
            term = f"{layer}({term})"
        elif operation == "avg_pool_3x3":
            term = f"self.pool({term})"
        terms[target].append(term)
    if "avg_pool_3x3" in {architecture.ops[edge] for edge in live}:
        layers.append("self.pool = nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)")
    used = {EDGES[edge][1] for edge in live} | {3}
    sums = [
        f"node_{node} = {' + '.join(terms[node]) or 'node_0.new_zeros(node_0.shape)'}"
        for node in (1, 2, 3)
        if node in used
    ]
    return f'''class Cell(nn.Module):
    """Four nodes; each is the sum of operations on earlier ones, the last is the output."""

    def __init__(self, channels: int) -> None:
{_indented(["super().__init__()", *layers], 8)}

    def forward(self, node_0: Tensor) -> Tensor:
{_indented([*sums, "return node_3"], 8)}
'''


def _indented(lines: Sequence[str], by: int) -> str:
    return "\n".join(" " * by + line for line in lines)


def _floats(values: Sequence[float]) -> str:
    return f"({', '.join(f'{value:.7g}' for value in values)},)"
