"""Synaptic flow: what each weight carries from the input to the output."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call

from zc_search.proxies.probe import passes


def synaptic_flow(
    network: nn.Module, parameters: Mapping[str, Tensor], images: Tensor
) -> dict[str, Tensor]:
    """Return, by layer, |weight x gradient| of the summed output of the linearised network.

    All parameters are replaced by their absolute values, batch normalisation by the identity and
    the batch by one image of ones (Tanaka et al. 2020, eq. 4).

    Args:
        network: Maps images to logits.
        parameters: All its parameters by name.
        images: N x C x H x W, of which only the shape and the device are used.

    Returns:
        Shaped like the weights of convolutions and linear layers, float64.
    """
    weights = passes.weight_names(network)
    with passes.mode(network, training=False, graph=True):
        tensors = {name: p.detach().double().abs() for name, p in parameters.items()}
        tensors |= {name: _copied(buffer) for name, buffer in network.named_buffers()}
        tensors |= _identities(network, tensors, images)
        of_layers = {layer: tensors[name].requires_grad_() for layer, name in weights.items()}
        ones = torch.ones_like(images[:1], dtype=torch.float64)
        output = functional_call(network, tensors, (ones,)).sum()
        flow = passes.gradients(output, of_layers)
    return {layer: weight.detach().mul(flow[layer]).abs() for layer, weight in of_layers.items()}


def _copied(buffer: Tensor) -> Tensor:
    return buffer.to(torch.float64 if buffer.is_floating_point() else buffer.dtype, copy=True)


def _identities(
    network: nn.Module, tensors: Mapping[str, Tensor], images: Tensor
) -> dict[str, Tensor]:
    """Return statistics, scales and shifts with which batch normalisation changes nothing."""
    neutral: dict[str, Tensor] = {}
    for name, norm in network.named_modules():
        if not isinstance(norm, nn.modules.batchnorm._BatchNorm):
            continue
        prefix = f"{name}." if name else ""
        # One that keeps no statistics of its own uses these too, if it is given them.
        values = {"running_mean": 0.0, "running_var": 1.0 - norm.eps}
        values |= {k: v for k, v in (("weight", 1.0), ("bias", 0.0)) if prefix + k in tensors}
        for key, value in values.items():
            neutral[prefix + key] = images.new_full(
                (norm.num_features,), value, dtype=torch.float64
            )
    return neutral
