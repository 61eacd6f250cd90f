"""What is measured without the batch: flow, a change of noise, one image alone, costs."""

import statistics
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from zc_search.proxies.probe import passes
from zc_search.proxies.probe.passes import Measurement, Subject


class SynapticFlow(Measurement[dict[str, Tensor]], cost=0.1):
    """By layer, |weight x gradient| of the summed output of the linearised network, float64.

    All parameters are replaced by their absolute values, batch normalisation by the identity,
    ReLU6 by ReLU and the batch by one image of ones (Tanaka et al. 2020, eq. 4).
    """

    def measure(self) -> dict[str, Tensor]:
        subject = self.subject
        weights = passes.weight_names(subject.network)
        with subject.mode(training=False, graph=True), _without_ceilings(subject.network):
            tensors = {name: p.double().abs() for name, p in subject.constants.items()}
            for name, buffer in subject.network.named_buffers():
                tensors[name] = (
                    buffer.clone().double() if buffer.is_floating_point() else buffer.clone()
                )
            tensors |= _identities(subject, tensors)
            of_layers = {layer: tensors[name].requires_grad_() for layer, name in weights.items()}
            ones = torch.ones_like(subject.images[:1], dtype=torch.float64)
            output = functional_call(subject.network, tensors, (ones,)).sum()
            flow = passes.gradients(output, of_layers)
        return {k: weight.detach().mul(flow[k]).abs() for k, weight in of_layers.items()}


@contextmanager
def _without_ceilings(network: nn.Module) -> Iterator[None]:
    """Let ReLU6 be ReLU, since flows that reach its ceiling would have no gradient."""
    before = [(module, module.max_val) for module in network.modules() if type(module) is nn.ReLU6]
    try:
        for module, _ in before:
            module.max_val = float("inf")
        yield
    finally:
        for module, ceiling in before:
            module.max_val = ceiling


def _identities(subject: Subject, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return statistics, scales and shifts with which batch normalisation changes nothing."""
    neutral: dict[str, Tensor] = {}
    for name, norm in passes.modules_of(subject.network, passes.NORMS).items():
        prefix = f"{name}." if name else ""
        # One that keeps no statistics of its own uses these too, if it is given them.
        values = {"running_mean": 0.0, "running_var": 1.0 - norm.eps}
        values |= {k: v for k, v in (("weight", 1.0), ("bias", 0.0)) if prefix + k in tensors}
        like = subject.images.new_ones(norm.num_features, dtype=torch.float64)
        neutral |= {prefix + key: like * value for key, value in values.items()}
    return neutral


_SIZE = 0.01


class GaussianPerturbation(Measurement[tuple[Tensor, Tensor]], cost=0.8):
    """How features with Gaussian weights answer a change of a Gaussian input by 1 %.

    Weights, and the inputs x and e, are drawn anew from the standard normal distribution; a layer
    of the same name draws the same weights. f(x) are the feature maps before global pooling: the
    last N x C x H x W output with more than one position that a module of the network returns.
    Returned are the mean sum of |f(x + change) - f(x)|, and the sum of ln sqrt(mean variance) over
    normalisations.
    """

    def measure(self) -> tuple[Tensor, Tensor]:
        subject, network = self.subject, self.subject.network
        gaussian = gaussian_parameters(subject)
        random = torch.Generator().manual_seed(subject.seed)
        x, e = (normal(subject.images, random) for _ in range(2))
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
        return difference, torch.stack([difference.new_zeros(()), *log_scales]).sum()


def gaussian_parameters(subject: Subject) -> dict[str, Tensor]:
    """Return standard normal weights, scales of 1 and shifts of 0, of the layers that have any."""
    passes.weighted(subject.network)
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
            drawn[weight] = torch.ones_like(like) if normed else normal(like, random)
        if bias in drawn:
            drawn[bias] = torch.zeros_like(drawn[bias])
    return drawn


def normal(like: Tensor, random: torch.Generator) -> Tensor:
    """Draw on the CPU, in the order of indices, and lay out in memory as `like` is."""
    return torch.empty_like(like).copy_(torch.randn(like.shape, generator=random))


_OUTPUTS = 10  # as published


class InverseConditions(Measurement[Tensor], cost=0.2):
    """Smallest by largest singular value of each layer's maps (C x HW), for the first image alone.

    Layers are modules without parts, with maps of more than one position; maps all 0 have 0.
    """

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


class OutputCurvature(Measurement[Tensor], cost=0.8):
    """Extrinsic curvature of the outputs' path as one image moves along a circle; float64.

    The image is ``u cos t + w sin t`` at t = 0, with u and w orthonormal and drawn at random. Of
    the velocity v and acceleration a of the outputs, of more than ten of ten drawn at random, it is
    ``sqrt(|v|^2 |a|^2 - (v a)^2) / |v|^3``; NaN where they stand still.
    """

    # Two forward-mode products would do, but PyTorch's second one is wrong in normalisations.
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


class MultiplyAdds(Measurement[int], cost=0.0):
    """Multiply-accumulate operations of convolutions and matrix products for one image."""

    def measure(self) -> int:
        subject = self.subject
        # A network that leaves out what does not reach its output is asked; others are run.
        known = getattr(subject.network, "multiply_adds", None)
        if callable(known):
            return int(known(*subject.images.shape[-2:]))
        with (
            subject.mode(training=False, graph=False),
            sdpa_kernel(SDPBackend.MATH),  # the counter does not know the kernels of CPUs
            FlopCounterMode(display=False) as counter,
        ):
            subject.call(subject.parameters, subject.images[:1])
        return int(counter.get_total_flops()) // 2


class Latency(Measurement[float], cost=1.4):
    """Least time of a forward pass of the batch in evaluation mode, in milliseconds."""

    def measure(self) -> float:
        return forward_milliseconds(self.subject, len(self.subject.images))


class Timing(NamedTuple):
    """The least time of a pass, and how many times its own least a reference took beside."""

    milliseconds: float
    load: float


_ROUNDS, _MOST_ROUNDS, _MOST_SECONDS = 5, 40, 2.0
_GAIN = 0.98  # share of the least so far below which a pass is a new one worth going on for
_least_reference: dict[str, float] = {}  # seconds, by device, of this process


def forward_milliseconds(subject: Subject, images: int) -> float:
    """Return the time of a forward pass of some images, see `timing`."""
    return timing(subject, images).milliseconds


def timing(subject: Subject, images: int) -> Timing:
    """Time passes in turn with those of a reference, at least five and until none is faster."""
    batch = subject.images[:images]
    own: list[float] = []
    reference: list[float] = []
    # Not in inference mode: what a module keeps from its first pass could never be trained with.
    with subject.mode(training=False, graph=False):
        begun, fastest = time.perf_counter(), 0
        while len(own) <= _ROUNDS or (
            len(own) - fastest <= _ROUNDS
            and len(own) <= _MOST_ROUNDS
            and time.perf_counter() - begun < _MOST_SECONDS
        ):
            reference.append(_seconds(_reference, batch.new_ones(1, 16, 32, 32)))
            own.append(_seconds(subject.network, batch.clone()))  # which some change in place
            if len(own) > 2 and own[-1] < _GAIN * min(own[1:-1]):
                fastest = len(own)
    device = str(batch.device)
    least = min(*reference[1:], _least_reference.get(device, float("inf")))
    _least_reference[device] = least
    return Timing(1000 * min(own[1:]), statistics.median(reference[1:]) / least)


def _seconds(call: Callable[[Tensor], object], given: Tensor) -> float:
    _wait_for(given.device)
    start = time.perf_counter()
    call(given)
    _wait_for(given.device)
    return time.perf_counter() - start


def _reference(images: Tensor) -> Tensor:
    """Compute what takes a fraction of a millisecond, of the kind that networks do."""
    weight = _weight(images.device)
    for _ in range(3):
        images = F.conv2d(images, weight, padding=1).relu()
    return images


@lru_cache(maxsize=8)
def _weight(device: torch.device) -> Tensor:
    return torch.full((16, 16, 3, 3), 0.01, dtype=torch.float32, device=device)


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
