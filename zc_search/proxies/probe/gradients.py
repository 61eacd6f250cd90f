"""What the loss's gradient says of weights, of images and of what passes through the layers."""

from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from zc_search.errors import ProxyError
from zc_search.proxies.probe import passes
from zc_search.proxies.probe.features import blocks_before
from zc_search.proxies.probe.passes import Measurement, Shared, SharedPass, require_rows


class InputJacobian(Shared[Tensor], cost=0.5, by_image=True):
    """Gradient of the sum of all logits by each image, N x (C H W)."""

    def result(self, run: SharedPass) -> Tensor:
        (jacobian,) = torch.autograd.grad(
            run.logits.sum(), run.images, retain_graph=True, materialize_grads=True
        )
        return jacobian.flatten(1)


class LossGradients(Shared[dict[str, Tensor]], cost=0.7, of_loss=True):
    """Gradient of the loss by each weight, shaped like it; zero where the loss ignores it."""

    def result(self, run: SharedPass) -> dict[str, Tensor]:
        return {name: gradient.detach() for name, gradient in run.gradients.items()}


class GradientCurvature(Shared[Tensor], cost=3.2, of_loss=True, twice=True):
    """Weights times Hessian of the loss times loss gradient, ``w^T H g``; a number.

    With all weights times s the gradient by them is ``s dL/dw(s w)``, which changes by ``g + H w``
    at s = 1. Differentiated by s alone, the second pass needs no product for any weight. Where a
    layer cannot be scaled by its output, its weight's product is taken.
    """

    def install(self, run: SharedPass) -> None:
        self._scale = run.subject.images.new_ones((), requires_grad=True)
        self._scaled: set[Tensor] = set()
        layers = passes.weighted(run.subject.network)
        apart = {layer.weight for layer in layers.values() if passes.peculiarity(layer)}
        scalable = {name: m for name, m in layers.items() if m.weight not in apart}
        run.observe(scalable, self._scale_weight)
        run.observers.enter_context(passes.accurate_norms(run.subject.network))

    def _scale_weight(self, _: str, layer: nn.Module, __: Tensor, output: Tensor) -> Tensor:
        """Let the output be that of the layer with its weight times the scale, which is 1."""
        self._scaled.add(cast(Tensor, layer.weight))
        if layer.bias is None:
            return output * self._scale
        bias = cast(Tensor, layer.bias)
        bias = bias if isinstance(layer, nn.Linear) else bias[:, None, None]
        return (output - bias) * self._scale + bias

    def result(self, run: SharedPass) -> Tensor:
        _require_second_derivative(run.logits)
        weights = run.subject.weights
        scaled = {k: g for k, g in run.gradients.items() if weights[k] in self._scaled}
        others = {k: weights[k] for k, g in run.gradients.items() if k not in scaled and g.any()}
        zero = self._scale.new_zeros(())
        squares = sum((g.detach().square().sum() for g in scaled.values()), zero)
        if not any(g.requires_grad for g in run.gradients.values()):
            return zero - squares
        terms = (g.detach().mul(g).sum() for g in run.gradients.values())
        change, *products = torch.autograd.grad(
            sum(terms, zero), [self._scale, *others.values()], materialize_grads=True
        )
        by_hand = (w.detach().mul(p).sum() for w, p in zip(others.values(), products, strict=True))
        return sum(by_hand, change - squares)


def _require_second_derivative(output: Tensor) -> None:
    """Refuse a graph with a function whose gradient torch would silently take for constant."""
    seen, nodes = set(), [output.grad_fn]
    while nodes:
        node = nodes.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        nodes += [following for following, _ in node.next_functions]
        backward = getattr(getattr(node, "_forward_cls", None), "backward", None)
        if getattr(backward, "__code__", None) is _ONCE:
            message = f"the network uses {node.name()}, which cannot be differentiated twice"
            raise ProxyError(message, given=node.name())


_ONCE = once_differentiable(lambda ctx: ctx).__code__


class ChannelSaliency(Shared[dict[str, Tensor]], cost=0.8, of_loss=True):
    """By layer: activation times loss gradient, summed over positions, calls; N x channels."""

    def install(self, run: SharedPass) -> None:
        self.measured = {}
        backward, copying, images = run.backward, run.copying, len(run.images)

        def observe(name: str, layer: nn.Module, _: Tensor, output: Tensor) -> None:
            if not output.requires_grad:
                return
            require_rows(name, output, images)
            activation = output.detach().clone() if copying else output.detach()
            version = activation._version
            channels = -1 if isinstance(layer, nn.Linear) else 1

            def keep(gradient: Tensor) -> None:
                if backward.collecting:
                    backward.spoilt |= activation._version != version
                    product = (activation * gradient.detach()).movedim(channels, 1)
                    summed = product.flatten(2).sum(2) if product.dim() > 2 else product
                    earlier = self.measured.get(name)
                    self.measured[name] = summed if earlier is None else earlier + summed

            output.register_hook(keep)  # type: ignore[no-untyped-call]

        run.observe(passes.weighted(run.subject.network), observe)


class ResponseCorrelations(Shared[Tensor], cost=1.1, of_loss=True):
    """Sum over activations of 2^(blocks before) |correlations| of inputs, gradients; N x N."""

    def install(self, run: SharedPass) -> None:
        images = len(run.images)
        self.measured = run.images.new_zeros(images, images, dtype=torch.float64)
        backward, network = run.backward, run.subject.network
        before = blocks_before(network)

        def observe(name: str, module: nn.Module, given: Tensor) -> Tensor | None:
            require_rows(name, given, len(self.measured))
            weight = 2.0 ** before[name]
            self._add(given.detach(), weight)
            if not given.requires_grad:
                return None

            def add_gradient(gradient: Tensor) -> None:
                if backward.collecting:
                    self._add(gradient.detach(), weight)

            # A view's gradient is that of this use alone; others may read the same tensor. What
            # is changed in place is no view, or others would not see the change: its hook gets
            # the gradient of what stands there before.
            if getattr(module, "inplace", False):
                _before_change(given, add_gradient)
                return None
            seen = given.view_as(given)
            seen.register_hook(add_gradient)  # type: ignore[no-untyped-call]
            return seen

        activations = passes.modules_of(network, passes.ACTIVATIONS)
        run.observers.enter_context(passes.entered(activations, observe))

    def _add(self, values: Tensor, weight: float) -> None:
        """Add weight x |correlations| of the rows; nothing if one is undefined."""
        correlations = torch.corrcoef(passes.rows(values)).abs().double()
        defined = correlations.isfinite().all()
        self.measured += weight * torch.where(defined, correlations, 0.0)


def _before_change(tensor: Tensor, observer: Callable[[Tensor], None]) -> None:
    """Call `observer` with a tensor's gradient, of its values before they are changed in place.

    Who changes a view changes its base, and the view's own hooks are not called.
    """
    base = tensor._base
    if base is None:
        tensor.register_hook(observer)  # type: ignore[no-untyped-call]
        return
    whole = base.size(), base.stride()
    part = tensor.size(), tensor.stride(), tensor.storage_offset() - base.storage_offset()

    def of_base(gradient: Tensor) -> None:
        alike = torch.empty_strided(*whole, dtype=gradient.dtype, device=gradient.device)
        observer(alike.copy_(gradient).as_strided(*part))

    base.register_hook(of_base)  # type: ignore[no-untyped-call]


class HalfBatchGradients(Measurement[tuple[dict[str, Tensor], dict[str, Tensor]]], cost=0.7):
    """Loss gradients of the first and of the second half of the batch, each on its own."""

    def measure(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        count = len(self.subject.images)
        middle = count // 2
        try:
            return self._gradients(slice(middle)), self._gradients(slice(middle, 2 * middle))
        except ValueError as error:  # of a normalisation that is given one value a channel
            if middle > 1:
                raise
            message = f"halves of {count} images are too few for this network; give 4 or more"
            raise ProxyError(f"{message} ({error})", key="data.batch_size", given=count) from error

    def _gradients(self, half: slice) -> dict[str, Tensor]:
        subject = self.subject
        labels = subject.labels[half]
        with subject.mode(training=subject.training, graph=True):
            logits = subject.call(subject.parameters, subject.images[half])
            passes.check_logits(logits, labels)
            return passes.gradients(F.cross_entropy(logits, labels), subject.weights)
