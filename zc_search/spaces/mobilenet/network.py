"""Networks of inverted residuals (Sandler et al. 2018, sections 3.2 to 4).

Modules carry the names that torchvision's MobileNetV2 has, so that its published weights load.
There is no dropout before the classifier.
"""

from torch import Tensor, nn

from zc_search.images.datasets import Task
from zc_search.spaces.mobilenet.architecture import Block, MobileNet, counts
from zc_search.spaces.network import initialised


def _convolution(
    inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Return a convolution, batch normalisation, and ReLU6."""
    padding = kernel // 2
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU6(inplace=False),
    )


class SqueezeExcitation(nn.Module):
    """Channels weighted by what all positions say together (Hu et al. 2018, section 3)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.squeeze, self.act = nn.Conv2d(channels, channels // 4, 1), nn.ReLU()
        self.excite, self.gate = nn.Conv2d(channels // 4, channels, 1), nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """Map N x channels x H x W to as many."""
        return x * self.gate(self.excite(self.act(self.squeeze(self.pool(x)))))  # type: ignore[no-any-return]


class InvertedResidual(nn.Module):
    """Expansion, depthwise convolution, projection without activation, and a skip if it fits."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        if block.hidden != block.inputs:
            layers.append(_convolution(block.inputs, block.hidden))
        layers.append(
            _convolution(block.hidden, block.hidden, block.kernel, block.stride, block.hidden)
        )
        if block.se:
            layers.append(SqueezeExcitation(block.hidden))
        projection = nn.Conv2d(block.hidden, block.outputs, 1, bias=False)
        self.conv = nn.Sequential(*layers, projection, nn.BatchNorm2d(block.outputs))
        self.skips = block.stride == 1 and block.inputs == block.outputs

    def forward(self, x: Tensor) -> Tensor:
        """Map N x inputs x H x W to N x outputs x H/stride x W/stride."""
        return x + self.conv(x) if self.skips else self.conv(x)  # type: ignore[no-any-return]


class MobileNetwork(nn.Module):
    """Stem, inverted residuals, a last 1x1 convolution, pooling, classifier."""

    def __init__(self, architecture: MobileNet, task: Task) -> None:
        super().__init__()
        self._planned = architecture, task
        stride, blocks = architecture.blocks(task)
        first, last = architecture.chosen[0], architecture.chosen[-1]
        self.features = nn.Sequential(
            _convolution(task.channels, first, 3, stride),
            *map(InvertedResidual, blocks),
            _convolution(blocks[-1].outputs, last),
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Identity(), nn.Linear(last, task.classes))

    def multiply_adds(self, height: int, width: int) -> int:
        """Count multiply-accumulates for one image."""
        return counts(*self._planned, height, width)[1]

    def forward(self, images: Tensor) -> Tensor:
        """Map images N x channels x H x W to logits N x classes."""
        return self.classifier(self.pool(self.features(images)).flatten(1))  # type: ignore[no-any-return]


def build_network(arch: MobileNet, task: Task, seed: int = 0) -> MobileNetwork:
    """Build the network of an architecture; see `zc_search.build_network`."""
    return initialised(lambda: MobileNetwork(arch, task), seed)
