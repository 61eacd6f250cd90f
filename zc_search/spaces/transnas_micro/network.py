"""The network of TransNAS-Bench-101's micro cells for classification (Duan et al. 2021, fig. 2).

Five modules of two cells each; the first, third and fifth halve the maps and double the channels.
Images below 128 pixels are halved less often by the stem than the benchmark's of 224.
"""

import torch
from torch import Tensor, nn

from zc_search.images.datasets import Task
from zc_search.spaces.nasbench201.architecture import EDGES, live_edges
from zc_search.spaces.nasbench201.network import ReLUConvBN
from zc_search.spaces.network import initialised
from zc_search.spaces.transnas_micro.architecture import MicroCell

CHANNELS = 64
"""Of the maps that enter the cells."""

_HALVED_FROM = 64  # pixels of the maps that a convolution of the stem halves


class FactorizedReduction(nn.Module):
    """A skip that changes the shape: ReLU, two 1x1 convolutions, one a pixel further, joined."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        half = outputs // 2
        self.relu, self.norm = nn.ReLU(inplace=False), nn.BatchNorm2d(outputs)
        self.here = nn.Conv2d(inputs, half, 1, stride, bias=False)
        self.beside = nn.Conv2d(inputs, outputs - half, 1, stride, bias=False)
        self.shift = nn.ConstantPad2d((-1, 1, -1, 1), 0.0)

    def forward(self, x: Tensor) -> Tensor:
        """Map N x inputs x H x W to N x outputs x H/stride x W/stride."""
        x = self.relu(x)
        return self.norm(torch.cat((self.here(x), self.beside(self.shift(x))), 1))  # type: ignore[no-any-return]


def _operation(name: str, inputs: int, outputs: int, stride: int) -> nn.Module:
    if kernel := {"nor_conv_1x1": 1, "nor_conv_3x3": 3}.get(name):
        return ReLUConvBN(inputs, outputs, kernel, stride)
    if name == "skip_connect" and (stride > 1 or inputs != outputs):
        return FactorizedReduction(inputs, outputs, stride)
    return nn.Identity()  # a skip; and none, which the cell never runs


class MicroCellModule(nn.Module):
    """A cell at work: each node is the sum of its edges, the last node is the output."""

    def __init__(self, cell: MicroCell, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.edges = nn.ModuleList(
            _operation(op, *((outputs, outputs, 1) if source else (inputs, outputs, stride)))
            for op, (_, source) in zip(cell.ops, EDGES, strict=True)
        )
        self._run, self._outputs, self._stride = live_edges(cell.ops, trained=True), outputs, stride

    def forward(self, x: Tensor) -> Tensor:
        """Map N x inputs x H x W to N x outputs x H/stride x W/stride."""
        height, width = (-(-side // self._stride) for side in x.shape[2:])
        nothing = x.new_zeros(x.shape[0], self._outputs, height, width)
        nodes: list[Tensor] = [x, nothing, nothing, nothing]
        for edge in self._run:
            target, source = EDGES[edge]
            value = self.edges[edge](nodes[source])
            nodes[target] = value if nodes[target] is nothing else nodes[target] + value
        return nodes[3]


class MicroNetwork(nn.Module):
    """Stem, five modules of two cells, pooling, classifier."""

    def __init__(self, cell: MicroCell, task: Task) -> None:
        super().__init__()
        first = 2 if task.resolution >= _HALVED_FROM else 1
        second = 2 if task.resolution / first >= _HALVED_FROM else 1
        self.stem = nn.Sequential(
            nn.Conv2d(task.channels, CHANNELS // 2, 3, first, 1, bias=False),
            nn.BatchNorm2d(CHANNELS // 2),
            ReLUConvBN(CHANNELS // 2, CHANNELS, 3, second),
        )
        cells: list[nn.Module] = []
        channels = CHANNELS
        for stride in (2, 1, 2, 1, 2):
            outputs = channels * stride
            cells += [
                MicroCellModule(cell, channels, outputs, stride),
                MicroCellModule(cell, outputs, outputs),
            ]
            channels = outputs
        self.cells = nn.Sequential(*cells)
        self.pool, self.classifier = nn.AdaptiveAvgPool2d(1), nn.Linear(channels, task.classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map images N x channels x H x W to logits N x classes."""
        return self.classifier(self.pool(self.cells(self.stem(images))).flatten(1))  # type: ignore[no-any-return]


def build_network(arch: MicroCell, task: Task, seed: int = 0) -> MicroNetwork:
    """Build the network of a cell; see `zc_search.build_network`."""
    return initialised(lambda: MicroNetwork(arch, task), seed)
