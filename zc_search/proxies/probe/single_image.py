"""What one image alone says: how singular its maps are, how the outputs bend on its way."""

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from zc_search.proxies.probe import passes
from zc_search.proxies.probe.data_free import normal
from zc_search.proxies.probe.passes import Measurement

_OUTPUTS = 10  # as published


class InverseConditions(Measurement[Tensor]):
    """Smallest by largest singular value of each layer's maps (C x HW), for the first image alone.

    Batch normalisation has the statistics of that image. Layers are the modules without parts that
    return maps of more than one position; maps that are all 0 have 0.
    """

    cost = 0.2

    def measure(self) -> Tensor:
        subject = self.subject
        ratios: list[Tensor] = []

        def observe(name: str, _: nn.Module, __: Tensor, output: Tensor) -> None:
            if output.dim() == 4 and output[0, 0].numel() > 1:
                passes.require_maps(name, output, subject.images)
                singular = torch.linalg.svdvals(output[0].flatten(1).double())
                ratios.append(torch.nan_to_num(singular.amin() / singular.amax(), nan=0.0))

        modules = subject.network.named_modules()
        layers = {name: m for name, m in modules if next(m.children(), None) is None}
        with passes.watched(layers, observe), subject.mode(graph=False, training=subject.training):
            subject.call(subject.constants, subject.images[:1])
        return torch.stack(ratios) if ratios else torch.zeros(0)


class OutputCurvature(Measurement[Tensor]):
    """Extrinsic curvature of the outputs' path as one image moves along a circle; float64.

    The image is ``u cos t + w sin t`` at t = 0, with u and w orthonormal and drawn at random. Of
    the velocity v and acceleration a of the outputs, of more than ten of ten drawn at random, it is
    ``sqrt(|v|^2 |a|^2 - (v a)^2) / |v|^3``; NaN where they stand still.
    """

    # Two forward-mode products would do, but PyTorch's second one is wrong in normalisations.
    cost = 0.8

    def measure(self) -> Tensor:
        subject = self.subject
        random = torch.Generator().manual_seed(subject.seed)
        first, second = (normal(subject.images[:1], random) for _ in range(2))
        first = first / first.norm()
        second = second - (first * second).sum() * first
        second = second / second.norm()
        with (
            subject.mode(graph=True, training=subject.training),
            sdpa_kernel(SDPBackend.MATH),  # the others cannot be differentiated twice
        ):
            angle = first.new_zeros(()).requires_grad_()
            image = first * angle.cos() + second * angle.sin()
            outputs = subject.call(subject.constants, image).flatten()
            chosen = torch.randperm(len(outputs), generator=random)[:_OUTPUTS]
            path = [_derivatives(outputs[i], angle) for i in chosen.tolist()]
        v, a = torch.tensor(path, dtype=torch.float64, device=angle.device).T
        area = ((v @ v) * (a @ a) - (v @ a).square()).clamp(min=0).sqrt()
        curvature: Tensor = area / (v @ v).pow(1.5)
        return curvature


def _derivatives(output: Tensor, angle: Tensor) -> list[float]:
    """Return the first and the second derivative of an output, 0 where it does not depend on it."""
    found = [0.0, 0.0]
    for order in range(2):
        if output.requires_grad:
            (output,) = torch.autograd.grad(
                output, angle, create_graph=order == 0, retain_graph=True, materialize_grads=True
            )
            found[order] = float(output.detach())
    return found
