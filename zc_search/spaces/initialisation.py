"""PyTorch's default initialisation, each layer drawn from a seed of its own.

Layers that play the same part in two architectures start with the same weights, so isomorphic
architectures compute the same function and scores of neighbours differ by architecture, not luck.
"""

import hashlib
import math
from collections.abc import Mapping

import torch
from torch import nn


def initialise(network: nn.Module, seed: int, parts: Mapping[str, str]) -> None:
    """Draw every weight of `network`, in place, as PyTorch does by default.

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
