"""The network that NATS-Bench trained for an architecture of its size space (Dong et al. 2021).

The topology is that of one cell of NAS-Bench-201, once a stage: 3x3 convolutions on every edge but
one, a skip from input to output. Modules carry the benchmark's names, so its weights load.
"""

from torch import Tensor, nn

from zc_search.images.datasets import Task
from zc_search.spaces.nasbench201.architecture import EDGES
from zc_search.spaces.nasbench201.network import ReLUConvBN, ResidualBlock, make_stem
from zc_search.spaces.nats_sss.architecture import SizeArchitecture
from zc_search.spaces.network import ConvNetwork, initialised, stem_strides

_SKIP = EDGES.index((3, 0))


class Projection(nn.Module):
    """A skip between different numbers of channels: 1x1 convolution, batch normalisation."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map N x inputs x H x W to N x outputs x H x W."""
        return self.bn(self.conv(x))  # type: ignore[no-any-return]


class SizeCell(nn.Module):
    """The cell at work; edges from its input change the number of channels."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            ReLUConvBN(outputs if source else inputs, outputs, 3) for _, source in EDGES
        )
        self.layers[_SKIP] = nn.Identity() if inputs == outputs else Projection(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map N x inputs x H x W to N x outputs x H x W."""
        to_1, to_2, on_2, skip, on_3, last = self.layers
        first = to_1(x)
        second = to_2(x) + on_2(first)
        return skip(x) + on_3(first) + last(second)  # type: ignore[no-any-return]


class SizeNetwork(ConvNetwork):
    """Cell, residual block, cell, residual block, cell."""

    def __init__(self, architecture: SizeArchitecture, task: Task) -> None:
        a, b, c, d, e = architecture.channels
        stem = make_stem(task.channels, a, stem_strides(task.height, task.width))
        halves = ResidualBlock(a, b), ResidualBlock(c, d)
        cells = [SizeCell(a, a), halves[0], SizeCell(b, c), halves[1], SizeCell(d, e)]
        super().__init__(stem, cells, e, task.classes)


def build_network(arch: SizeArchitecture, task: Task, seed: int = 0) -> SizeNetwork:
    """Build the benchmark's network of an architecture; see `zc_search.build_network`."""
    return initialised(lambda: SizeNetwork(arch, task), seed)
