"""The network that NAS-Bench-101 trained for a cell (Ying et al. 2019, section 2 and appendix).

What enters a vertex is summed, what enters the output is concatenated. Edges from the input are
projected by a 1x1 convolution; where a vertex has more channels than the one it feeds, the last
ones are left out.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from zc_search.errors import ArchitectureError
from zc_search.images.datasets import Task
from zc_search.spaces.nasbench101.architecture import ModelSpec
from zc_search.spaces.network import check_sizes, initialised, stem_strides

STACKS = 3
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
    match name:
        case "conv3x3-bn-relu":
            return ConvBNReLU(channels, channels, 3)
        case "conv1x1-bn-relu":
            return ConvBNReLU(channels, channels, 1)
        case _:
            return nn.MaxPool2d(3, stride=1, padding=1)


def vertex_channels(inputs: int, outputs: int, matrix: Sequence[Sequence[int]]) -> list[int]:
    """Return the channels of each vertex of a pruned graph.

    The output's are divided equally among the vertices that feed it, the first ones getting those
    left over; every other vertex has as many as the widest one that it feeds.
    """
    last = len(matrix) - 1
    feeding = [v for v in range(1, last) if matrix[v][last]]
    if outputs < len(feeding):
        raise ValueError(
            f"channels: {outputs} cannot be divided among {len(feeding)} vertices; Allowed: at "
            f"least {len(feeding)}"
        )
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
        last = len(spec.ops) - 1
        channels = vertex_channels(inputs, outputs, spec.matrix)
        self._matrix = spec.matrix
        self._channels = channels
        self.projections = nn.ModuleDict(
            {str(t): ConvBNReLU(inputs, channels[t], 1) for t in range(1, last + 1) if self._fed(t)}
        )
        self.operations = nn.ModuleList(
            _operation(spec.ops[v], channels[v]) for v in range(1, last)
        )

    def _fed(self, vertex: int) -> bool:
        """Whether the cell's input feeds a vertex."""
        return bool(self._matrix[0][vertex])

    def forward(self, x: Tensor) -> Tensor:
        """Map N x inputs x H x W to N x outputs x H x W."""
        last = len(self._matrix) - 1
        vertices: list[Tensor] = [x]
        for v, operation in enumerate(self.operations, start=1):
            sources = [s for s in range(1, v) if self._matrix[s][v]]
            terms = [vertices[s][:, : self._channels[v]] for s in sources]
            if self._fed(v):
                terms.append(self.projections[str(v)](x))
            vertices.append(operation(_sum(terms)))
        ends = [vertices[v] for v in range(1, last) if self._matrix[v][last]]
        terms = [ends[0] if len(ends) == 1 else torch.cat(ends, dim=1)] if ends else []
        if self._fed(last):
            terms.append(self.projections[str(last)](x))
        return _sum(terms)


def _sum(terms: Sequence[Tensor]) -> Tensor:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


class SpecNetwork(nn.Module):
    """Stem, three stacks of equal cells, pooling and twice the channels between, classifier."""

    def __init__(self, spec: ModelSpec, channels: int, cells: int, task: Task) -> None:
        super().__init__()
        stem: list[nn.Module] = []
        for place, stride in enumerate(stem_strides(task.height, task.width)):
            convolution = ConvBNReLU(channels if place else task.channels, channels, 3, stride)
            stem += convolution.children()
        self.stem = nn.Sequential(*stem)
        layers: list[nn.Module] = []
        width = channels
        for stack in range(STACKS):
            if stack:
                layers.append(nn.MaxPool2d(2, stride=2, ceil_mode=True))
            for place in range(cells):
                wider = 2 * width if stack and place == 0 else width
                layers.append(SpecCell(spec, width, wider))
                width = wider
        self.layers = nn.ModuleList(layers)
        self.classifier = nn.Linear(width, task.classes)

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
    """Build the benchmark's network of a cell, dead vertices left out; see `build_network`.

    Weights are drawn as PyTorch does by default, which is not how the benchmark drew them.
    """
    spec = arch.pruned
    if arch.infeasible is not None or spec is None:
        raise ArchitectureError(f"{arch} is no cell of NAS-Bench-101: {arch.infeasible}")
    check_sizes(channels, cells)
    return initialised(lambda: SpecNetwork(spec, channels, cells, task), seed)
