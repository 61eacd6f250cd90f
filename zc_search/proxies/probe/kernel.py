"""Every image's own gradient, in one backward pass instead of one an image.

The batch's normalisation statistics are treated as constants, so that an image's logits depend on
that image alone and its gradient by a weight is the product of the layer's input with the
gradient at its output. Published code runs one pass an image instead: the kernel's then also
flows through the statistics, to which every image contributes, and GradSign normalises each image
by itself.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.grad import conv2d_weight
from torch.nn.modules.batchnorm import _BatchNorm

from zc_search.proxies.probe import passes
from zc_search.proxies.probe.measurements import Measurement

_LAYERS = (*passes.WEIGHTED, _BatchNorm)

_Consumer = Callable[[str, Tensor], None]
"""Called with a layer's name and each image's gradient by its weight, N x weights."""


def per_image_pass(
    network: nn.Module,
    parameters: Mapping[str, Tensor],
    images: Tensor,
    labels: Tensor,
    wanted: Collection[Measurement],
    seed: int = 0,
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
        seed: Of what the network itself draws, as dropout does.

    Returns:
        The measurements by name.
    """
    kernel = torch.zeros(len(images), len(images), dtype=torch.float64, device=images.device)
    signs: dict[str, Tensor] = {}

    def add_to_kernel(_: str, gradients: Tensor) -> None:
        kernel.add_(gradients @ gradients.T)

    def add_signs(name: str, gradients: Tensor) -> None:
        signs[name] = gradients.sign().sum(0)

    layers = _Layers()
    constants = {name: parameter.detach() for name, parameter in parameters.items()}
    with (
        passes.mode(network, training=True, graph=True, seed=seed),
        passes.observed(network, _LAYERS, layers.observe),
    ):
        logits = passes.call(network, constants, images)
        measured: dict[str, object] = {}
        if "gradient_signs" in wanted:
            loss = F.cross_entropy(logits, labels, reduction="sum")
            retain = "tangent_kernel" in wanted
            layers.visit(loss, passes.WEIGHTED, add_signs, retain_graph=retain)
            measured["gradient_signs"] = signs
        if "tangent_kernel" in wanted:
            layers.visit(logits.sum(), _LAYERS, add_to_kernel)
            measured["tangent_kernel"] = kernel
    return measured


class _Layers:
    """Watches a forward pass, then hands out the images' gradients in backward passes."""

    def __init__(self) -> None:
        self._leaves: list[Tensor] = []
        self._backward = _Backward()

    def observe(self, name: str, module: nn.Module, given: Tensor, output: Tensor) -> Tensor | None:
        """Note one call of a layer; return what it should hand on instead, if anything."""
        replaced = None
        if isinstance(module, _BatchNorm):
            replaced = output = with_constant_statistics(module, given)
        if module.weight is None:
            return replaced
        if not output.requires_grad:
            # The graph starts behind the first layers, not at the images, which some layers may
            # not depend on. A copy, since a leaf must not be changed in place.
            self._leaves.append(output.detach().requires_grad_())
            replaced = output = self._leaves[-1].clone()
        hook = self._backward.hook(name, module, given)
        output.register_hook(hook)  # type: ignore[no-untyped-call]
        return replaced

    def visit(
        self,
        scalar: Tensor,
        kinds: tuple[type[nn.Module], ...],
        consume: _Consumer,
        *,
        retain_graph: bool = False,
    ) -> None:
        """Differentiate, and let `consume` have the gradients of layers of these kinds."""
        self._backward.begin(kinds, consume)
        if scalar.requires_grad:
            # Visits every layer behind the leaves, and no weight.
            torch.autograd.grad(scalar, self._leaves, retain_graph=retain_graph, allow_unused=True)
        self._backward.end()


class _Backward:
    """Each image's gradient by each weight, in a backward pass.

    Its hooks become part of the graph, so it must not know anything that holds on to the graph.
    A weight that is used once is handed on at once; one used again only when all is summed.
    """

    def __init__(self) -> None:
        self._names: dict[Tensor, str] = {}
        self._uses: Counter[Tensor] = Counter()
        self._sums: dict[Tensor, Tensor] = {}
        self._kinds: tuple[type[nn.Module], ...] = ()
        self._consume: _Consumer = lambda name, gradients: None

    def begin(self, kinds: tuple[type[nn.Module], ...], consume: _Consumer) -> None:
        self._kinds, self._consume = kinds, consume

    def end(self) -> None:
        for weight, gradients in self._sums.items():
            self._consume(self._names[weight], gradients)
        self._sums.clear()

    def hook(self, name: str, module: nn.Module, given: Tensor) -> Callable[[Tensor], None]:
        weight, given = cast(Tensor, module.weight), given.detach()
        self._names.setdefault(weight, name)
        self._uses[weight] += 1

        def on_gradient(gradient: Tensor) -> None:
            if not isinstance(module, self._kinds):
                return
            gradients = _weight_gradients(module, given, gradient)
            if self._uses[weight] == 1:
                self._consume(self._names[weight], gradients)
            elif weight in self._sums:
                self._sums[weight] += gradients
            else:
                self._sums[weight] = gradients

        return on_gradient


def with_constant_statistics(norm: _BatchNorm, given: Tensor) -> Tensor:
    """Normalise by the batch's statistics without a gradient through them."""
    mean, variance = _statistics(norm, given)
    return F.batch_norm(given, mean, variance, norm.weight, norm.bias, eps=norm.eps)


def _statistics(norm: _BatchNorm, given: Tensor) -> tuple[Tensor, Tensor]:
    # The normalisation's own kernel finds them several times faster than torch.var_mean.
    _, mean, inverse_std = torch.native_batch_norm(
        given.detach(), None, None, None, None, True, 0.0, norm.eps
    )
    return mean, inverse_std.pow(-2) - norm.eps


def _weight_gradients(module: nn.Module, given: Tensor, gradient: Tensor) -> Tensor:
    """Return each image's gradient by the module's weight, N x weights."""
    match module:
        case _BatchNorm():
            normalised, _, _ = torch.native_batch_norm(
                given, None, None, None, None, True, 0.0, module.eps
            )
            return (
                (gradient * normalised).flatten(2).sum(2)
                if given.dim() > 2
                else (gradient * normalised)
            )
        case nn.Conv2d():
            # With the images as groups of channels it is one convolution's weight gradient.
            given, padding = padded(module, given)
            by_image = conv2d_weight(  # type: ignore[no-untyped-call]
                given.reshape(1, -1, *given.shape[2:]),
                (len(given) * module.out_channels, *module.weight.shape[1:]),
                gradient.reshape(1, -1, *gradient.shape[2:]),
                module.stride,
                padding,
                module.dilation,
                len(given) * module.groups,
            )
            return cast(Tensor, by_image).reshape(len(given), -1)
        case nn.Linear():
            inputs = given.reshape(len(given), -1, given.shape[-1])
            outputs = gradient.reshape(len(gradient), -1, gradient.shape[-1])
            return torch.matmul(outputs.transpose(1, 2), inputs).flatten(1)
        case _:
            raise NotImplementedError(f"no gradients by image for {module}")


def padded(conv: nn.Conv2d, given: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """Return the input and the zeros that are still to be put around it."""
    if isinstance(conv.padding, str) or conv.padding_mode != "zeros":
        mode = "constant" if conv.padding_mode == "zeros" else conv.padding_mode
        return F.pad(given, conv._reversed_padding_repeated_twice, mode), (0, 0)
    return given, cast(tuple[int, int], conv.padding)
