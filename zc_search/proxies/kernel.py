"""Every image's own gradient, in one backward pass instead of one an image.

The batch's normalisation statistics are treated as constants, so that an image's logits depend on
that image alone and its gradient by a weight is the product of the layer's input with the
gradient at its output. Published code runs one pass an image instead: the kernel's then also
flows through the statistics, to which every image contributes, and GradSign normalises each image
by itself.
"""

from collections.abc import Callable, Collection, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zc_search.proxies import passes
from zc_search.proxies.measurements import Measurement

_LAYERS = (*passes.WEIGHTED, nn.BatchNorm2d)

_Consumer = Callable[[str, Tensor], None]
"""Called with a layer's name and each image's gradient by its weight, N x weights."""


def per_image_pass(
    network: nn.Module,
    parameters: Mapping[str, Tensor],
    images: Tensor,
    labels: Tensor,
    wanted: Collection[Measurement],
) -> dict[str, object]:
    """Measure from one forward pass, and a backward pass for each measurement.

    ``tangent_kernel``: ``K_ij = <d f(x_i)/d W, d f(x_j)/d W>``, N x N, float64, with f the sum of
    an image's logits and W the weights of convolutions, linear layers and batch normalisation.

    ``gradient_signs``: by layer, for each weight of convolutions and linear layers, the sum over
    images of the sign of its derivative of the image's own cross-entropy.

    Args:
        network: Maps images to logits.
        parameters: All its parameters by name.
        images: N x C x H x W.
        labels: N.
        wanted: What to measure of the two.

    Returns:
        The measurements by name.
    """
    kernel = torch.zeros(len(images), len(images), dtype=torch.float64, device=images.device)
    signs: dict[str, Tensor] = {}

    def add_to_kernel(_: str, gradients: Tensor) -> None:
        kernel.add_(gradients @ gradients.T)

    def add_signs(name: str, gradients: Tensor) -> None:
        summed = gradients.sign().sum(0)
        signs[name] = signs[name] + summed if name in signs else summed

    consume: _Consumer = add_to_kernel
    kinds: tuple[type[nn.Module], ...] = _LAYERS

    def observe(name: str, module: nn.Module, given: Tensor, output: Tensor) -> Tensor | None:
        replaced = None
        if isinstance(module, nn.BatchNorm2d):
            replaced = output = with_constant_statistics(module, given, parameters, name)

        def on_gradient(gradient: Tensor) -> None:
            if isinstance(module, kinds):
                consume(name, _weight_gradients(module, given.detach(), gradient))

        if output.requires_grad:
            output.register_hook(on_gradient)  # type: ignore[no-untyped-call]
        return replaced

    constants = {name: parameter.detach() for name, parameter in parameters.items()}
    # Gradients by the images make the backward pass visit every layer, and no weight.
    images = images.detach().requires_grad_()
    with (
        torch.enable_grad(),
        passes.mode(network, training=True),
        passes.observed(network, _LAYERS, observe),
    ):
        logits = passes.call(network, constants, images)
        measured: dict[str, object] = {}
        if "gradient_signs" in wanted:
            consume, kinds = add_signs, passes.WEIGHTED
            loss = F.cross_entropy(logits, labels, reduction="sum")
            _visit(loss, images, retain_graph="tangent_kernel" in wanted)
            measured["gradient_signs"] = signs
        if "tangent_kernel" in wanted:
            consume, kinds = add_to_kernel, _LAYERS
            _visit(logits.sum(), images)
            measured["tangent_kernel"] = kernel
    return measured


def _visit(scalar: Tensor, images: Tensor, *, retain_graph: bool = False) -> None:
    if scalar.requires_grad:
        torch.autograd.grad(scalar, images, retain_graph=retain_graph, allow_unused=True)


def with_constant_statistics(
    norm: nn.BatchNorm2d, given: Tensor, parameters: Mapping[str, Tensor], name: str
) -> Tensor:
    """Normalise by the batch's statistics without a gradient through them."""
    weight = parameters.get(f"{name}.weight")
    bias = parameters.get(f"{name}.bias")
    return F.batch_norm(
        given,
        *_statistics(given),
        None if weight is None else weight.detach(),
        None if bias is None else bias.detach(),
        training=False,
        eps=norm.eps,
    )


def _statistics(given: Tensor) -> tuple[Tensor, Tensor]:
    variance, mean = torch.var_mean(given.detach(), dim=(0, 2, 3), correction=0)
    return mean, variance


def _weight_gradients(module: nn.Module, given: Tensor, gradient: Tensor) -> Tensor:
    """Return each image's gradient by the module's weight, N x weights."""
    match module:
        case nn.BatchNorm2d():
            normalised = F.batch_norm(given, *_statistics(given), training=False, eps=module.eps)
            return (gradient * normalised).sum((2, 3))
        case nn.Conv2d(padding=tuple() as padding):
            columns = F.unfold(
                given, module.kernel_size, module.dilation, padding, module.stride
            )  # N x (in k k) x positions
            groups = module.groups
            inputs = columns.reshape(len(given), groups, -1, columns.shape[-1])
            outputs = gradient.reshape(len(given), groups, -1, columns.shape[-1])
            return torch.matmul(outputs, inputs.transpose(2, 3)).flatten(1)
        case nn.Linear():
            inputs = given.reshape(len(given), -1, given.shape[-1])
            outputs = gradient.reshape(len(gradient), -1, gradient.shape[-1])
            return torch.matmul(outputs.transpose(1, 2), inputs).flatten(1)
        case _:
            raise NotImplementedError(f"no gradients by image for {module}")
