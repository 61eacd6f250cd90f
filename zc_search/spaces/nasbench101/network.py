"""The network that NAS-Bench-101 trained for a cell (Ying et al. 2019, section 2 and appendix).

What enters a vertex is summed, what enters the output is concatenated. Edges from the input are
projected by a 1x1 convolution; where a vertex has more channels than the one it feeds, the last
ones are left out.
"""

from collections.abc import Sequence
from functools import reduce
from operator import add

import torch
from torch import Tensor, nn

from zc_search.errors import ArchitectureError
from zc_search.images.datasets import Task
from zc_search.spaces.nasbench101.architecture import ModelSpec
from zc_search.spaces.network import check_sizes, initialised, stem_strides

_MOMENTUM = 1 - 0.997  # of running statistics; TensorFlow counts the other way
_EPSILON = 1e-5


class ConvBNReLU(nn.Module):
    """Convolution without bias, batch normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=_EPSILON, momentum=_MOMENTUM)
        self.relu = nn.ReLU(inplace=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map N x inputs x H x W to N x outputs x H/stride x W/stride."""
        return self.relu(self.bn(self.conv(x)))  # type: ignore[no-any-return]


def _operation(name: str, channels: int) -> nn.Module:
    kernel = {"conv1x1-bn-relu": 1, "conv3x3-bn-relu": 3}.get(name)
    pool = nn.MaxPool2d(3, stride=1, padding=1)
    return ConvBNReLU(channels, channels, kernel) if kernel else pool


def vertex_channels(inputs: int, outputs: int, matrix: Sequence[Sequence[int]]) -> list[int]:
    """Return the channels of each vertex of a pruned graph.

    The output's are divided equally among the vertices that feed it, the first ones getting those
    left over; every other vertex has as many as the widest one that it feeds.
    """
    last = len(matrix) - 1
    feeding = [v for v in range(1, last) if matrix[v][last]]
    if outputs < len(feeding):
        raise ValueError(f"channels: {outputs} cannot be divided among {len(feeding)} vertices")
    channels = [0] * len(matrix)
    channels[0], channels[last] = inputs, outputs
    for place, v in enumerate(feeding):
        share, left = divmod(outputs, len(feeding))
        channels[v] = share + (place < left)
    for v in reversed(range(1, last)):
        if v not in feeding:
            channels[v] = max(channels[t] for t in range(v + 1, last) if matrix[v][t])
    return channels


class SpecCell(nn.Module):
    """A pruned cell at work."""

    def __init__(self, spec: ModelSpec, inputs: int, outputs: int) -> None:
        super().__init__()
        self._matrix = spec.matrix
        self._channels = channels = vertex_channels(inputs, outputs, spec.matrix)
        self.projections = nn.ModuleDict(
            {
                str(vertex): ConvBNReLU(inputs, channels[vertex], 1)
                for vertex, fed in enumerate(spec.matrix[0])
                if fed
            }
        )
        self.operations = nn.ModuleList(map(_operation, spec.ops[1:-1], channels[1:-1]))

    def forward(self, x: Tensor) -> Tensor:
        """Map N x inputs x H x W to N x outputs x H x W."""
        last = len(self._matrix) - 1
        vertices: list[Tensor] = [x]
        for v, operation in enumerate(self.operations, start=1):
            sources = [s for s in range(1, v) if self._matrix[s][v]]
            terms = [vertices[s][:, : self._channels[v]] for s in sources]
            vertices.append(operation(self._sum(terms, x, v)))
        ends = [vertices[v] for v in range(1, last) if self._matrix[v][last]]
        joined = [ends[0] if len(ends) == 1 else torch.cat(ends, dim=1)] if ends else []
        return self._sum(joined, x, last)

    def _sum(self, terms: list[Tensor], x: Tensor, vertex: int) -> Tensor:
        """Return the sum of what enters a vertex, the cell's input projected."""
        projected = [self.projections[str(vertex)](x)] if self._matrix[0][vertex] else []
        return reduce(add, terms + projected)  # type: ignore[no-any-return]


class SpecNetwork(nn.Module):
    """Stem, three stacks of equal cells, pooling and twice the channels between, classifier."""

    def __init__(self, spec: ModelSpec, channels: int, cells: int, task: Task) -> None:
        super().__init__()
        stem: list[nn.Module] = []
        for place, stride in enumerate(stem_strides(task.height, task.width)):
            convolution = ConvBNReLU(channels if place else task.channels, channels, 3, stride)
            stem += convolution.children()
        self.stem = nn.Sequential(*stem)
        self.layers = nn.ModuleList(SpecCell(spec, channels, channels) for _ in range(cells))
        for width in (2 * channels, 4 * channels):
            self.layers.append(nn.MaxPool2d(2, stride=2, ceil_mode=True))
            self.layers.append(SpecCell(spec, width // 2, width))
            self.layers.extend(SpecCell(spec, width, width) for _ in range(cells - 1))
        self.classifier = nn.Linear(4 * channels, task.classes)

    def features(self, images: Tensor) -> Tensor:
        """Map images to the maps before pooling, N x 4 channels x H/4 x W/4."""
        x = self.stem(images)
        for layer in self.layers:
            x = layer(x)
        return x  # type: ignore[no-any-return]

    def forward(self, images: Tensor) -> Tensor:
        """Map images N x channels x H x W to logits N x classes."""
        return self.classifier(self.features(images).mean(dim=(2, 3)))  # type: ignore[no-any-return]


def build_network(
    arch: ModelSpec, task: Task, channels: int = 128, cells: int = 3, seed: int = 0
) -> SpecNetwork:
    """Build the benchmark's network of a cell, dead vertices left out.

    Weights are drawn as PyTorch does by default, which is not how the benchmark drew them.
    """
    spec = arch.pruned
    if arch.infeasible is not None or spec is None:
        raise ArchitectureError(f"{arch} is no cell of NAS-Bench-101: {arch.infeasible}")
    check_sizes(channels, cells)
    return initialised(lambda: SpecNetwork(spec, channels, cells, task), seed)
