"""From an architecture of any search space to its network, and what these networks share."""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from zc_search._utils.torch_defaults import usual_defaults
from zc_search.errors import ArchitectureError
from zc_search.images.datasets import DatasetName, Task, task_of
from zc_search.spaces.base import PLUGIN, SPACES, AnyArchitecture

LARGEST_SIDE = 48
"""Pixels of the largest maps that enter the cells; larger images are halved by the stem."""

N = TypeVar("N", bound=nn.Module)

VERSION = 1
"""Goes up when an architecture and a seed give another network, so that no old score is reused."""


def build_network(
    arch: AnyArchitecture,
    dataset: DatasetName | Task = "cifar10",
    channels: int | None = None,
    cells: int | None = None,
    seed: int = 0,
) -> nn.Module:
    """Build the network that the benchmark trained for an architecture, with fresh weights.

    Args:
        arch: The architecture, of any search space.
        dataset: Decides the number of classes, the channels of the images and, for images larger
            than the benchmark's, the stem.
        channels: Width of the first stage; by default the benchmark's, 16 of NAS-Bench-201 and 128
            of NAS-Bench-101. The size space's architectures have their own.
        cells: Cells a stage; by default the benchmark's, 5 and 3. The size space has one.
        seed: Seed of the weights. Isomorphic architectures of NAS-Bench-201 compute the same
            function under the same seed, up to rounding.

    Raises:
        ArchitectureError: An architecture that is infeasible.
        DataError: Unknown data set.
        TypeError: No architecture.
        ValueError: `channels` or `cells` are too few.
    """
    task = task_of(dataset)
    space = SPACES.get(getattr(arch, "space", ""))
    if space is None:
        raise TypeError(f"no architecture: {arch!r}")
    if space.name == PLUGIN:
        message = f"{arch} is of a user's own space: build it with `FunctionSpace.build`"
        raise ArchitectureError(message, given=str(arch))
    sizes = {"channels": channels, "cells": cells}
    with usual_defaults():
        network: nn.Module = space.build_shipped(arch, task, seed, **sizes)
    return network


class _Undrawn(TorchFunctionMode):
    """Leaves weights as they lie in memory where PyTorch would draw them."""

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if getattr(function, "__module__", None) == "torch.nn.init":
            return None
        return function(*args, **(kwargs or {}))


def initialised(make: Callable[[], N], seed: int, parts: Mapping[str, str] | None = None) -> N:
    """Return a network with weights drawn by `initialise` alone, PyTorch's own not drawn at all."""
    with usual_defaults():
        with _Undrawn():
            network = make()
        initialise(network, seed, parts or {})
    return network


def initialise(network: nn.Module, seed: int, parts: Mapping[str, str]) -> None:
    """Draw every weight of `network`, in place, as PyTorch does by default.

    Each layer is drawn from a seed of its own. Layers that play the same part in two architectures
    start with the same weights, so isomorphic architectures compute the same function and scores
    of neighbours differ by architecture, not luck.

    Convolutions and linear layers: uniform in ±1/sqrt(fan_in) (He et al. 2015 with a = sqrt(5));
    batch normalisation: scale 1, shift 0. The global random state is neither used nor changed.
    `parts` says by a layer's name which part it plays; layers not named play their own name.
    """
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            generator = torch.Generator().manual_seed(_layer_seed(seed, parts.get(name, name)))
            bound = 1 / math.sqrt(module.weight[0].numel())
            for parameter in module.parameters(recurse=False):
                nn.init.uniform_(parameter, -bound, bound, generator=generator)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()


def _layer_seed(seed: int, part: str) -> int:
    digest = hashlib.sha256(f"{seed}:{part}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


def check_sizes(channels: int, cells: int) -> None:
    """Refuse a network without channels or cells."""
    if channels < 1 or cells < 1:
        raise ValueError(f"channels and cells must be at least 1, got {channels} and {cells}")


def stem_strides(height: int, width: int) -> tuple[int, ...]:
    """Return the stride of each convolution of the stem for images of this size.

    One of stride 1 up to `LARGEST_SIDE` pixels, as in the benchmark; beyond, as many of stride 2
    as bring the larger side down to it, as networks for large images do.
    """
    side, strides = max(height, width), []
    while side > LARGEST_SIDE:
        side = (side + 1) // 2
        strides.append(2)
    return tuple(strides) or (1,)


class ConvNetwork(nn.Module):
    """Stem, cells, a last batch normalisation, pooling, linear classifier, as the benchmarks have.

    Modules carry the names of NAS-Bench-201's and NATS-Bench's, so that published weights load.
    """

    def __init__(
        self, stem: nn.Sequential, cells: Sequence[nn.Module], channels: int, classes: int
    ) -> None:
        super().__init__()
        self.stem = stem
        self.cells = nn.ModuleList(cells)
        self.lastact = nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(inplace=False))
        self.global_pooling = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(channels, classes)

    def features(self, images: Tensor) -> Tensor:
        """Map images to the maps before pooling, N x channels x H/4 x W/4.

        With a stem for large images those are smaller by its strides too.
        """
        x = self.stem(images)
        for cell in self.cells:
            x = cell(x)
        return self.lastact(x)  # type: ignore[no-any-return]

    def forward(self, images: Tensor) -> Tensor:
        """Map images N x channels x H x W to logits N x classes."""
        return self.classifier(self.global_pooling(self.features(images)).flatten(1))  # type: ignore[no-any-return]
