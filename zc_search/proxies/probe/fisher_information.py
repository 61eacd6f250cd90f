"""The Fisher information of a few weights, from the Jacobian of the logits."""

from collections.abc import Mapping
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from zc_search.proxies.probe import passes
from zc_search.proxies.probe.kernel import padded, with_constant_statistics

_JACOBIAN_ROWS = 128  # more than a network of NAS-Bench-201 has layers
_SMOOTHING = 0.05


def fisher_information(
    network: nn.Module, parameters: Mapping[str, Tensor], images: Tensor, seed: int = 0
) -> Tensor:
    """Return the Fisher information matrix of the first weight of every layer that takes part.

    ``F = 1/N sum_n J_n^T (diag(p_n) - p_n p_n^T) J_n`` with J_n the Jacobian of image n's logits
    by those weights (classes x layers) and p_n its predicted probabilities, mixed with 5 % of the
    uniform distribution. Only the first images enter, 128 / classes of them but at least 2.
    Normalisation statistics are those of these images, and constants.

    Args:
        network: Maps images to logits.
        parameters: All its parameters by name.
        images: N x C x H x W.
        seed: Of what the network itself draws, as dropout does.

    Returns:
        layers x layers, float64: convolutions and linear layers that depend on the image, and
        on which the logits depend.

    Raises:
        ValueError: The logits do not depend on the image.
    """
    jacobian, logits = _logit_jacobian(network, parameters, images, seed)
    classes = logits.shape[1]
    probabilities = logits.double().softmax(1) * (1 - _SMOOTHING) + _SMOOTHING / classes
    # J^T diag(p) J - (J^T p) (J^T p)^T without classes x classes matrices
    weighted = probabilities.sqrt()[..., None] * jacobian
    mean = torch.einsum("nc,ncl->nl", probabilities, jacobian)
    second = weighted.flatten(0, 1)
    return (second.T @ second - mean.T @ mean) / len(logits)


def _logit_jacobian(
    network: nn.Module, parameters: Mapping[str, Tensor], images: Tensor, seed: int
) -> tuple[Tensor, Tensor]:
    """Return N x classes x layers derivatives, float64, and the logits N x classes."""
    derivatives: dict[str, Tensor] = {}
    shared_names: dict[Tensor, str] = {}

    def observe(name: str, module: nn.Module, given: Tensor, output: Tensor) -> Tensor | None:
        if isinstance(module, _BatchNorm):
            return with_constant_statistics(module, given)
        # Layers that share a weight share its column.
        name = shared_names.setdefault(cast(Tensor, module.weight), name)
        read = _read_by_first_weight(module, given.detach())

        def on_gradient(gradient: Tensor) -> None:
            first = gradient[:, 0] if isinstance(module, nn.Conv2d) else gradient[..., 0]
            by_image = (first.reshape(read.shape) * read).sum(1)
            derivatives[name] = derivatives[name] + by_image if name in derivatives else by_image

        if output.requires_grad:
            output.register_hook(on_gradient)  # type: ignore[no-untyped-call]
        return None

    constants = {name: parameter.detach() for name, parameter in parameters.items()}
    with passes.mode(network, training=False, graph=False):
        classes = passes.call(network, constants, images[:1]).shape[1]
    with (
        passes.mode(network, training=True, graph=True, seed=seed),
        passes.observed(network, (*passes.WEIGHTED, _BatchNorm), observe),
    ):
        # Gradients by the images make the backward pass visit every layer, and no weight.
        images = images[: max(2, _JACOBIAN_ROWS // classes)].detach().requires_grad_()
        logits = passes.call(network, constants, images)
        if not logits.requires_grad:
            raise ValueError("the logits do not depend on the image")
        by_class = []
        for logit in logits.sum(0):
            derivatives.clear()
            torch.autograd.grad(logit, images, retain_graph=True, allow_unused=True)
            by_class.append(derivatives.copy())
    layers = sorted(set().union(*by_class))
    unread = torch.zeros(len(images), device=images.device)
    columns = [torch.stack([of_class.get(k, unread) for k in layers], 1) for of_class in by_class]
    return torch.stack(columns, 1).double(), logits.detach()


def _read_by_first_weight(module: nn.Module, given: Tensor) -> Tensor:
    """Return what the weight at index 0 multiplies, N x positions."""
    match module:
        case nn.Conv2d():
            first, padding = padded(module, given[:, :1])
            read = F.unfold(first, module.kernel_size, module.dilation, padding, module.stride)
            return read[:, 0]
        case nn.Linear():
            return given[..., 0].reshape(len(given), -1)
        case _:
            raise NotImplementedError(f"no gradients by image for {module}")
