"""How features with Gaussian weights answer a small change of a Gaussian input."""

import zlib
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from zc_search.proxies.probe import passes

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class Perturbation(NamedTuple):
    """The answer of a network's features.

    Attributes:
        difference: Mean over images of the sum of |f(x + change) - f(x)| over the feature maps.
        log_scale: Sum over batch normalisations of half the ln of the mean variance they divide
            by; one whose input is all zero adds nothing.
    """

    difference: Tensor
    log_scale: Tensor


def gaussian_perturbation(
    network: nn.Module, parameters: Mapping[str, Tensor], like: Tensor, *, seed: int, size: float
) -> Perturbation:
    """Perturb a network whose weights are drawn anew from the standard normal distribution.

    f(x) are the feature maps before global pooling: the last N x C x H x W output with more than
    one position that a module of the network returns.

    Args:
        network: Maps images to logits.
        parameters: All its parameters by name, for shapes; normalisation is reset.
        like: N x C x H x W; the two inputs x and e have its shape.
        seed: Draws weights and inputs; a layer of the same name draws the same weights.
        size: Of the change, ``x + size * e``.

    Raises:
        ValueError: No module returns feature maps, or a weight is no parameter but computed.
    """
    gaussian = _gaussian_parameters(network, parameters, seed)
    random = torch.Generator().manual_seed(seed)
    x, e = (_normal(like, random) for _ in range(2))
    features = [torch.zeros(())]
    log_scales: list[Tensor] = []

    def observe_norm(_: str, __: nn.Module, given: Tensor, ___: Tensor) -> None:
        variance = given.var((0, *range(2, given.dim())), correction=0).mean()
        log_scales.append(torch.where(variance > 0, variance.log() / 2, 0.0))

    def observe_all(_: str, __: nn.Module, ___: Tensor, output: Tensor) -> None:
        if output.dim() == 4 and output[0, 0].numel() > 1:
            features[0] = output

    with (
        passes.mode(network, training=True, graph=False, seed=seed),
        passes.watched(dict(network.named_modules()), observe_all),
    ):
        with passes.observed(network, _NORMS, observe_norm):
            passes.call(network, gaussian, x)
        before = features[0]
        passes.call(network, gaussian, x + size * e)
    if before.dim() != 4:
        raise ValueError("no module of the network returns feature maps, N x C x H x W")
    difference = (features[0] - before).abs().sum((1, 2, 3)).mean()
    return Perturbation(difference, torch.stack([difference.new_zeros(()), *log_scales]).sum())


def _gaussian_parameters(
    network: nn.Module, parameters: Mapping[str, Tensor], seed: int
) -> dict[str, Tensor]:
    drawn = {name: parameter.detach() for name, parameter in parameters.items()}
    own = {id(parameter) for parameter in network.parameters()}
    for name, module in network.named_modules():
        prefix = f"{name}." if name else ""
        weight, bias = f"{prefix}weight", f"{prefix}bias"
        if not isinstance(module, (*passes.WEIGHTED, *_NORMS)):
            continue
        if module.weight is not None and id(module.weight) not in own:
            raise ValueError(f"the weight of layer {name!r} is not a parameter of the network")
        if weight not in drawn:  # it has none, or another layer's, who draws it
            pass
        elif isinstance(module, _NORMS):
            drawn[weight] = torch.ones_like(drawn[weight])
        else:
            random = torch.Generator().manual_seed(zlib.crc32(f"{seed}:{name}".encode()))
            drawn[weight] = _normal(drawn[weight], random)
        if bias in drawn:
            drawn[bias] = torch.zeros_like(drawn[bias])
    return drawn


def _normal(like: Tensor, random: torch.Generator) -> Tensor:
    """Draw on the CPU, in the order of indices, and lay out in memory as `like` is."""
    return torch.empty_like(like).copy_(torch.randn(like.shape, generator=random))
