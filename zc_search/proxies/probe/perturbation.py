"""How features with Gaussian weights answer a small change of a Gaussian input."""

import zlib
from typing import NamedTuple

import torch
from torch import Tensor, nn

from zc_search.proxies.probe import passes
from zc_search.proxies.probe.measurement import Measurement
from zc_search.proxies.probe.passes import Subject

_SIZE = 0.01


class Perturbation(NamedTuple):
    """The mean sum of |f(x + change) - f(x)|, and the sum of ln sqrt(mean variance of a norm)."""

    difference: Tensor
    log_scale: Tensor


class GaussianPerturbation(Measurement[Perturbation]):
    """How features with Gaussian weights answer a change of a Gaussian input by 1 %.

    Weights, and the inputs x and e, are drawn anew from the standard normal distribution; a layer
    of the same name draws the same weights. f(x) are the feature maps before global pooling: the
    last N x C x H x W output with more than one position that a module of the network returns.
    """

    cost = 0.8

    def measure(self) -> Perturbation:
        subject, network = self.subject, self.subject.network
        gaussian = _gaussian_parameters(subject)
        random = torch.Generator().manual_seed(subject.seed)
        x, e = (_normal(subject.images, random) for _ in range(2))
        features = [torch.zeros(())]
        log_scales: list[Tensor] = []

        def observe_norm(_: str, __: nn.Module, given: Tensor, ___: Tensor) -> None:
            variance = given.var((0, *range(2, given.dim())), correction=0).mean()
            log_scales.append(torch.where(variance > 0, variance.log() / 2, 0.0))

        def observe_all(_: str, __: nn.Module, ___: Tensor, output: Tensor) -> None:
            if output.dim() == 4 and output[0, 0].numel() > 1:
                features[0] = output

        norms = passes.modules_of(network, passes.NORMS)
        with passes.watched(dict(network.named_modules()), observe_all):
            with subject.mode(graph=False), passes.watched(norms, observe_norm):
                subject.call(gaussian, x)
            before = features[0]
            with subject.mode(graph=False):  # in which the network draws the same again
                subject.call(gaussian, x + _SIZE * e)
        if before.dim() != 4:
            raise ValueError("no module of the network returns feature maps, N x C x H x W")
        difference = (features[0] - before).abs().sum((1, 2, 3)).mean()
        return Perturbation(difference, torch.stack([difference.new_zeros(()), *log_scales]).sum())


def _gaussian_parameters(subject: Subject) -> dict[str, Tensor]:
    drawn = dict(subject.constants)
    own = {id(parameter) for parameter in subject.network.parameters()}
    layers = passes.modules_of(subject.network, (*passes.WEIGHTED, *passes.NORMS))
    for name, module in layers.items():
        prefix = f"{name}." if name else ""
        weight, bias = f"{prefix}weight", f"{prefix}bias"
        if module.weight is not None and id(module.weight) not in own:
            raise passes.computed_weight(name)
        if weight in drawn:  # or it has none, or another layer's, who draws it
            random = torch.Generator().manual_seed(zlib.crc32(f"{subject.seed}:{name}".encode()))
            normed = isinstance(module, passes.NORMS)
            like = drawn[weight]
            drawn[weight] = torch.ones_like(like) if normed else _normal(like, random)
        if bias in drawn:
            drawn[bias] = torch.zeros_like(drawn[bias])
    return drawn


def _normal(like: Tensor, random: torch.Generator) -> Tensor:
    """Draw on the CPU, in the order of indices, and lay out in memory as `like` is."""
    return torch.empty_like(like).copy_(torch.randn(like.shape, generator=random))
