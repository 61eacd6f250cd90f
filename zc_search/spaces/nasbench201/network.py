"""The network that NAS-Bench-201 trained for a cell (Dong and Yang 2020, section 2.2).

Modules carry the benchmark's names, so its published weights load into them.
"""

import copy
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zc_search.images.datasets import Task
from zc_search.spaces.nasbench201.architecture import EDGES, Architecture, live_edges
from zc_search.spaces.network import ConvNetwork, check_sizes, initialised, stem_strides


class ReLUConvBN(nn.Module):
    """ReLU, convolution without bias, batch normalisation."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.op = nn.Sequential(
            nn.ReLU(inplace=False),
            nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map N x inputs x H x W to N x outputs x H/stride x W/stride."""
        return self.op(x)  # type: ignore[no-any-return]


def _operation(name: str, channels: int) -> nn.Module:
    if kernel := {"nor_conv_1x1": 1, "nor_conv_3x3": 3}.get(name):
        return ReLUConvBN(channels, channels, kernel)
    if name == "avg_pool_3x3":
        return nn.AvgPool2d(3, stride=1, padding=1, count_include_pad=False)
    return nn.Identity()  # skip_connect; and none, which `Cell` never runs


class Cell(nn.Module):
    """A cell at work: each node is the sum of its edges, the last node is the output."""

    def __init__(self, architecture: Architecture, channels: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_operation(op, channels) for op in architecture.ops)
        self._edges = live_edges(architecture.ops, trained=True)
        self._written = tuple(e for e, op in enumerate(architecture.ops) if op != "none")

    def run_dead_edges(self) -> None:
        """From now on run all edges of the cell as written, but for none."""
        self._edges = self._written

    def forward(self, x: Tensor) -> Tensor:
        """Map N x channels x H x W to the same shape."""
        nodes: list[Tensor | None] = [x, None, None, None]
        for edge in self._edges:
            target, source = EDGES[edge]
            value, sofar = nodes[source], nodes[target]
            value = self.layers[edge](torch.zeros_like(x) if value is None else value)
            nodes[target] = value if sofar is None else sofar + value
        return torch.zeros_like(x) if nodes[3] is None else nodes[3]


class ResidualBlock(nn.Module):
    """Halve the resolution and widen; the shortcut is pooled and has no batch normalisation.

    An odd resolution, which the benchmark does not have, is rounded up on both paths.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv_a = ReLUConvBN(inputs, outputs, 3, stride=2)
        self.conv_b = ReLUConvBN(outputs, outputs, 3)
        self.downsample = nn.Sequential(
            nn.AvgPool2d(2, stride=2, ceil_mode=True), nn.Conv2d(inputs, outputs, 1, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map N x inputs x H x W to N x outputs x H/2 x W/2."""
        return self.downsample(x) + self.conv_b(self.conv_a(x))  # type: ignore[no-any-return]


def make_stem(inputs: int, channels: int, strides: tuple[int, ...]) -> nn.Sequential:
    """Return 3x3 convolutions with batch normalisation, one a stride, and ReLUs between them."""
    layers: list[nn.Module] = []
    for place, stride in enumerate(strides):
        layers += [nn.ReLU(inplace=False)] if place else []
        layers += [
            nn.Conv2d(channels if place else inputs, channels, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        ]
    return nn.Sequential(*layers)


class CellNetwork(ConvNetwork):
    """Three stages of equal cells, a residual block before the second and the third."""

    def __init__(self, architecture: Architecture, channels: int, cells: int, task: Task) -> None:
        widths = (channels, 2 * channels, 4 * channels)
        layers: list[nn.Module] = []
        for width in widths:
            layers += [ResidualBlock(width // 2, width)] if layers else []
            layers += [Cell(architecture, width) for _ in range(cells)]
        stem = make_stem(task.channels, channels, stem_strides(task.height, task.width))
        super().__init__(stem, layers, widths[-1], task.classes)

    def with_dead_edges(self) -> "CellNetwork":
        """Return a network of the same weights that runs dead edges as the benchmark's does."""
        tensors = (*self.parameters(), *self.buffers())
        network = copy.deepcopy(self, {id(tensor): tensor for tensor in tensors})
        for cell in network.cells:
            if isinstance(cell, Cell):
                cell.run_dead_edges()
        return network

    def multiply_adds(self, height: int, width: int) -> int:
        """Count multiply-accumulates for one image, dead edges included although not run."""
        total = _weights(self.classifier)
        for layer in self.stem:
            if isinstance(layer, nn.Conv2d):
                step = layer.stride[0]
                height, width = -(-height // step), -(-width // step)
                total += layer.weight.numel() * height * width
        for cell in self.cells:
            if isinstance(cell, ResidualBlock):
                height, width = (height + 1) // 2, (width + 1) // 2
            total += _weights(cell) * height * width
        return total


def _weights(block: nn.Module) -> int:
    """Count those of convolutions and linear layers: multiply-adds for a position of the output."""
    layers = (m for m in block.modules() if isinstance(m, nn.Conv2d | nn.Linear))
    return sum(layer.weight.numel() for layer in layers)


def costs(
    arch: Architecture, task: Task, channels: int | None = None, cells: int | None = None
) -> dict[str, float]:
    """Return a network's ``params`` and ``flops``, in millions, without building it."""
    each = _costs(task, channels or 16, cells or 5)
    params, flops = each["none"] + sum(each[op] - each["none"] for op in arch.ops if op in each)
    return {"params": int(params) / 1e6, "flops": int(flops) / 1e6}


@cache
def _costs(task: Task, channels: int, cells: int) -> dict[str, NDArray[np.int64]]:
    """Count parameters and multiply-adds with one operation in the cell and no other."""
    counts = {}
    for op in ("none", "nor_conv_1x1", "nor_conv_3x3"):
        with torch.device("meta"):
            cell = Architecture((op, *["none"] * (len(EDGES) - 1)))
            network = CellNetwork(cell, channels, cells, task)
        sizes = sum(p.numel() for p in network.parameters())
        counts[op] = np.array((sizes, network.multiply_adds(task.height, task.width)))
    return counts


def build_network(
    arch: Architecture, task: Task, channels: int = 16, cells: int = 5, seed: int = 0
) -> CellNetwork:
    """Build the benchmark's network of a cell; see `zc_search.build_network`."""
    check_sizes(channels, cells)
    # Convolutions that play the same part in two cells start alike, on whichever edge they are.
    blocks = {cells, 2 * cells + 1}
    parts = {
        f"cells.{i}.layers.{edge}.op.1": f"cells.{i}.{expression}"
        for i in range(3 * cells + 2)
        if i not in blocks
        for edge, expression in enumerate(arch.form.convolutions)
        if expression is not None
    }
    return initialised(lambda: CellNetwork(arch, channels, cells, task), seed, parts)
