"""From an architecture of any search space to its network."""

from typing import Any

from torch import nn

from zc_search.images.datasets import DatasetName, Task
from zc_search.spaces import AnyArchitecture, Architecture, ModelSpec, SizeArchitecture
from zc_search.spaces.nasbench101.network import SpecNetwork, build_spec_network
from zc_search.spaces.nasbench201 import network as nasbench201
from zc_search.spaces.nasbench201.network import CellNetwork
from zc_search.spaces.nats_sss.network import SizeNetwork, build_size_network

__all__ = ["CellNetwork", "SizeNetwork", "SpecNetwork", "build_network"]


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
        ValueError: `channels` or `cells` are too few.
    """
    given: dict[str, Any] = {"channels": channels, "cells": cells}
    widths = {name: number for name, number in given.items() if number is not None}
    match arch:
        case Architecture():
            return nasbench201.build_network(arch, dataset, seed=seed, **widths)
        case ModelSpec():
            return build_spec_network(arch, dataset, seed=seed, **widths)
        case SizeArchitecture():
            return build_size_network(arch, dataset, seed)
    raise TypeError(f"no architecture: {arch!r}")
