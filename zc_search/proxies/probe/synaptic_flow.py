"""Synaptic flow: what each weight carries from the input to the output."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call

from zc_search.proxies.probe import passes
from zc_search.proxies.probe.measurement import Measurement
from zc_search.proxies.probe.passes import Subject


class SynapticFlow(Measurement[dict[str, Tensor]]):
    """By layer, |weight x gradient| of the summed output of the linearised network, float64.

    All parameters are replaced by their absolute values, batch normalisation by the identity,
    ReLU6 by ReLU and the batch by one image of ones (Tanaka et al. 2020, eq. 4).
    """

    cost = 0.1

    def measure(self) -> dict[str, Tensor]:
        subject = self.subject
        weights = passes.weight_names(subject.network)
        with subject.mode(training=False, graph=True), _without_ceilings(subject.network):
            tensors = {name: p.double().abs() for name, p in subject.constants.items()}
            for name, buffer in subject.network.named_buffers():
                kind = torch.float64 if buffer.is_floating_point() else buffer.dtype
                tensors[name] = buffer.to(kind, copy=True)
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
        shape = (norm.num_features,)
        # One that keeps no statistics of its own uses these too, if it is given them.
        values = {"running_mean": 0.0, "running_var": 1.0 - norm.eps}
        values |= {k: v for k, v in (("weight", 1.0), ("bias", 0.0)) if prefix + k in tensors}
        for key, value in values.items():
            neutral[prefix + key] = subject.images.new_full(shape, value, dtype=torch.float64)
    return neutral
