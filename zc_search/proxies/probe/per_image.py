"""Every image's own gradient, in one backward pass: with constant statistics of the batch.

It is the product of a layer's input with the gradient at its output.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.grad import conv2d_weight
from torch.nn.modules.batchnorm import _BatchNorm

from zc_search.errors import ProxyError
from zc_search.proxies.probe import passes
from zc_search.proxies.probe.data_free import gaussian_parameters, normal
from zc_search.proxies.probe.normalisation import statistics
from zc_search.proxies.probe.passes import Measurement, Subject, require_plain, require_rows

T = TypeVar("T")

_LAYERS = (*passes.WEIGHTED, *passes.NORMS)
_JACOBIAN_ROWS = 128  # more than a network of NAS-Bench-201 has layers
_SMOOTHING = 0.05
_TENSORS = 128  # of parameters, as many as published code takes


class PerImage(Measurement[T], family="per image"):
    """A measurement of the pass with constant statistics, made from a backward pass of its own."""

    layers: ClassVar[tuple[type[nn.Module], ...]]  # whose weights it is about
    measured: T

    def scalar(self, logits: Tensor) -> Tensor:
        """Return what is differentiated, a sum over the images; by default that of all logits."""
        return logits.sum()

    def add(self, name: str, gradients: Tensor) -> None:
        """Take in each image's gradient by a layer's weight, N x weights."""
        raise NotImplementedError

    @classmethod
    def together(cls, subject: Subject, kinds: Mapping[str, type[Any]]) -> dict[str, Any]:
        parts: dict[str, PerImage[Any]] = {name: kind(subject) for name, kind in kinds.items()}
        leaves: list[Tensor] = []
        backward = _Backward()
        called: set[str] = set()

        def observe(name: str, module: nn.Module, given: Tensor, output: Tensor) -> Tensor | None:
            require_plain(name, module)
            require_rows(name, output, len(subject.images))
            replaced = None
            if isinstance(module, _BatchNorm):
                replaced = output = with_constant_statistics(module, given)
            if module.weight is None:
                return replaced
            called.add(name)
            if not output.requires_grad:
                # The graph starts behind the first layers, not at the images, which some layers
                # may not depend on. A copy, since a leaf must not be changed in place.
                leaves.append(output.detach().requires_grad_())
                replaced = output = leaves[-1].clone()
            output.register_hook(backward.hook(name, module, given))  # type: ignore[no-untyped-call]
            return replaced

        modules = passes.modules_of(subject.network, _LAYERS)
        with subject.mode(graph=True), passes.watched(modules, observe):
            logits = subject.call(subject.constants, subject.images)
            *_, last = parts.values()
            for part in parts.values():
                backward.run(part, logits, leaves, retain_graph=part is not last)
        refuse_hidden_weights(subject, called)
        return {name: part.measured for name, part in parts.items()}


class GradientSigns(PerImage[dict[str, Tensor]], cost=1.1, layers=passes.WEIGHTED):
    """By layer, the sum over images of the sign of each one's loss gradient; flat."""

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        self.measured = {}

    def scalar(self, logits: Tensor) -> Tensor:
        passes.check_logits(logits, self.subject.labels)
        return F.cross_entropy(logits, self.subject.labels, reduction="sum")

    def add(self, name: str, gradients: Tensor) -> None:
        self.measured[name] = gradients.sign().sum(0)


class TangentKernel(PerImage[Tensor], cost=1.2, layers=_LAYERS):
    """Gram matrix of the images' gradients of their summed logits, N x N, float64.

    ``K_ij = <d f(x_i)/d W, d f(x_j)/d W>`` with W the weights of convolutions, linear layers and
    batch normalisation.
    """

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject)
        count = len(subject.images)
        self.measured = subject.images.new_zeros(count, count, dtype=torch.float64)

    def add(self, name: str, gradients: Tensor) -> None:
        self.measured.add_(gradients @ gradients.T)


class _Backward:
    """Each image's gradient by each weight, summed up where it is used again; holds no graph."""

    def __init__(self) -> None:
        self._names: dict[Tensor, str] = {}
        self._uses: Counter[Tensor] = Counter()
        self._sums: dict[Tensor, Tensor] = {}
        self._part: PerImage[Any] | None = None

    def run(
        self, part: PerImage[Any], logits: Tensor, leaves: list[Tensor], *, retain_graph: bool
    ) -> None:
        """Differentiate, and let `part` have the gradients of the layers that it is about."""
        self._part = part
        scalar = part.scalar(logits)
        if scalar.requires_grad:  # visits every layer behind the leaves, and no weight
            torch.autograd.grad(scalar, leaves, retain_graph=retain_graph, allow_unused=True)
        for weight, gradients in self._sums.items():
            part.add(self._names[weight], gradients)
        self._sums.clear()
        self._part = None

    def hook(self, name: str, module: nn.Module, given: Tensor) -> Callable[[Tensor], None]:
        weight, given = cast(Tensor, module.weight), given.detach()
        self._names.setdefault(weight, name)
        self._uses[weight] += 1

        def on_gradient(gradient: Tensor) -> None:
            if self._part is None or not isinstance(module, self._part.layers):
                return
            gradients = _weight_gradients(module, given, gradient)
            if self._uses[weight] == 1:
                self._part.add(self._names[weight], gradients)
            else:
                self._sums[weight] = gradients + self._sums.get(weight, 0)

        return on_gradient


def refuse_hidden_weights(subject: Subject, called: Iterable[str]) -> None:
    """Refuse a network that uses the weight of a layer without calling the layer."""
    layers = passes.weighted(subject.network)
    known = {layers[name].weight for name in called if name in layers}
    uncalled = {k: w for k, w in subject.weights.items() if layers[k].weight not in known}
    if uncalled:  # dead layers, as a rule, which have no gradient
        with subject.mode(graph=True):
            logits = subject.call(subject.parameters, subject.images[:2])
            found = passes.gradients(logits.square().sum(), uncalled)
        if used := [name for name, gradient in found.items() if gradient.any()]:
            message = f"the weight of layer {used[0]!r} is used without calling the layer"
            raise ProxyError(message, given=used[0])


def with_constant_statistics(norm: _BatchNorm, given: Tensor) -> Tensor:
    """Normalise as the layer does, without a gradient through the statistics."""
    return F.batch_norm(given, *_statistics(norm, given), norm.weight, norm.bias, eps=norm.eps)


def _statistics(norm: _BatchNorm, given: Tensor) -> tuple[Tensor, Tensor]:
    if norm.training or norm.running_mean is None or norm.running_var is None:
        return statistics(given.detach())
    return norm.running_mean, norm.running_var  # it insists on evaluation mode


def _weight_gradients(module: nn.Module, given: Tensor, gradient: Tensor) -> Tensor:
    """Return each image's gradient by the module's weight, N x weights."""
    if isinstance(module, _BatchNorm):
        normalised = F.batch_norm(given, *_statistics(module, given), eps=module.eps)
        product = gradient * normalised
        return product.flatten(2).sum(2) if given.dim() > 2 else product
    if isinstance(module, nn.Conv2d):
        # With the images as groups of channels it is one convolution's weight gradient.
        given, padding = padded(module, given)
        by_image: Tensor = conv2d_weight(  # type: ignore[no-untyped-call]
            given.reshape(1, -1, *given.shape[2:]),
            (len(given) * module.out_channels, *module.weight.shape[1:]),
            gradient.reshape(1, -1, *gradient.shape[2:]),
            module.stride,
            padding,
            module.dilation,
            len(given) * module.groups,
        )
        return by_image.reshape(len(given), -1)
    inputs = given.reshape(len(given), -1, given.shape[-1])
    outputs = gradient.reshape(len(gradient), -1, gradient.shape[-1])
    return torch.matmul(outputs.transpose(1, 2), inputs).flatten(1)


def padded(conv: nn.Conv2d, given: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """Return the input and the zeros that are still to be put around it."""
    if isinstance(conv.padding, str) or conv.padding_mode != "zeros":
        mode = "constant" if conv.padding_mode == "zeros" else conv.padding_mode
        return F.pad(given, conv._reversed_padding_repeated_twice, mode), (0, 0)
    return given, cast(tuple[int, int], conv.padding)


class FisherInformation(Measurement[Tensor], cost=0.6):
    """Fisher information of the first weight of each layer, layers x layers, float64.

    ``F = 1/N sum_n J_n^T (diag(p_n) - p_n p_n^T) J_n`` with J_n the Jacobian of image n's logits
    by those weights (classes x layers) and p_n its predicted probabilities, mixed with 5 % of the
    uniform distribution. Only the first images enter, 128 / classes of them but at least 2.
    """

    def measure(self) -> Tensor:
        jacobian, logits = _logit_jacobian(self.subject)
        probabilities = _smoothed(logits)
        # J^T diag(p) J - (J^T p) (J^T p)^T without classes x classes matrices
        weighted = probabilities.sqrt()[..., None] * jacobian
        mean = torch.einsum("nc,ncl->nl", probabilities, jacobian)
        second = weighted.flatten(0, 1)
        return (second.T @ second - mean.T @ mean) / len(logits)


class PublishedFisherInformation(Measurement[Tensor], cost=2.5):
    """As `fisher_information`, as its authors' code takes it; tensors x tensors, float64.

    ``1/N sum_n J_n^T L_n^T L_n J_n`` with ``L_n L_n^T = diag(p_n) - p_n p_n^T`` (so the factors of
    the formula, but for their order) and J_n by the first entry of each of the first 128 tensors
    of parameters. Weights are drawn by He et al. 2015 (normal, fan in), normalisation has the
    statistics 0 and 1, and the images are standard normal, as many as there are in the batch.
    """

    def measure(self) -> Tensor:
        jacobian, logits = _jacobian_of_tensors(self.subject)
        p = _smoothed(logits)[:, :-1]
        leading = torch.linalg.cholesky(p.diag_embed() - p[:, :, None] * p[:, None, :])
        factor = torch.cat([leading, -leading.sum(1, keepdim=True)], 1)  # the last column is 0
        rows = (factor @ jacobian[:, :-1]).flatten(0, 1)
        return rows.T @ rows / len(logits)


def _smoothed(logits: Tensor) -> Tensor:
    return logits.double().softmax(1) * (1 - _SMOOTHING) + _SMOOTHING / logits.shape[1]


def _jacobian_of_tensors(subject: Subject) -> tuple[Tensor, Tensor]:
    """Return N x classes x tensors derivatives, float64, and the logits N x classes."""
    layers = passes.modules_of(subject.network, _LAYERS)
    parameters = gaussian_parameters(subject)
    for name, drawn in parameters.items():
        if name.rpartition(".")[0] not in layers:
            kinds = "convolutions, linear layers and batch normalisation"
            message = f"published=true is about parameters of {kinds}, and {name!r} is of none"
            raise ProxyError(message, given=name)
        if drawn.dim() > 1:
            parameters[name] = drawn * (2 / drawn[0].numel()) ** 0.5
    names = {id(tensor): name for name, tensor in parameters.items()}
    derivatives: dict[str, Tensor] = {}
    called: set[str] = set()

    def observe(name: str, module: nn.Module, given: Tensor, output: Tensor) -> Tensor | None:
        require_plain(name, module)
        require_rows(name, output, len(images))
        called.add(name)
        values, replaced = given.detach(), None
        if isinstance(module, _BatchNorm):
            usual = values.new_zeros(values.shape[1]), values.new_ones(values.shape[1])
            read = F.batch_norm(values, *usual, eps=module.eps)[:, 0].reshape(len(images), -1)
            scaled = cast(Tensor, module.weight), cast(Tensor, module.bias)
            replaced = output = F.batch_norm(given, *usual, *scaled, eps=module.eps)
        else:
            read = _read_by_first_weight(module, values)
        tensors = {id(t): r for t, r in ((module.weight, read), (module.bias, 1.0))}

        def on_gradient(gradient: Tensor) -> None:
            linear = isinstance(module, nn.Linear)
            first = (gradient[..., 0] if linear else gradient[:, 0]).reshape(len(images), -1)
            for key, factor in tensors.items():
                if key in names:
                    by_image = (first * factor).sum(1)
                    derivatives[names[key]] = by_image + derivatives.get(names[key], 0)

        if not output.requires_grad:  # it is fed with zeros, and its shift is seen nevertheless
            leaves.append(output.detach().requires_grad_())
            replaced = output = leaves[-1].clone()
        output.register_hook(on_gradient)  # type: ignore[no-untyped-call]
        return replaced

    random = torch.Generator().manual_seed(subject.seed)
    images = normal(subject.images, random).requires_grad_()
    leaves = [images]
    with subject.mode(graph=True, training=False), passes.watched(layers, observe):
        logits = subject.call(parameters, images)
        by_class = _by_class(logits, subject.labels, leaves, derivatives)
    refuse_hidden_weights(subject, called)
    return _stacked(by_class, list(parameters)[:_TENSORS], images), logits.detach()


def _by_class(
    logits: Tensor, labels: Tensor, leaves: list[Tensor], derivatives: dict[str, Tensor]
) -> list[dict[str, Tensor]]:
    """Return what hooks collect in `derivatives` as each class's logits are differentiated."""
    if not logits.requires_grad:
        raise ValueError("the logits do not depend on the image")
    passes.check_logits(logits, labels[: len(logits)])
    by_class = []
    for logit in logits.sum(0):
        derivatives.clear()
        torch.autograd.grad(logit, leaves, retain_graph=True, allow_unused=True)
        by_class.append(derivatives.copy())
    return by_class


def _stacked(by_class: list[dict[str, Tensor]], names: list[str], images: Tensor) -> Tensor:
    unread = torch.zeros(len(images), device=images.device)
    columns = [torch.stack([found.get(k, unread) for k in names], 1) for found in by_class]
    return torch.stack(columns, 1).double()


def _logit_jacobian(subject: Subject) -> tuple[Tensor, Tensor]:
    """Return N x classes x layers derivatives, float64, and the logits N x classes."""
    derivatives: dict[str, Tensor] = {}
    shared_names: dict[Tensor, str] = {}
    called: set[str] = set()

    def observe(name: str, module: nn.Module, given: Tensor, output: Tensor) -> Tensor | None:
        require_plain(name, module)
        require_rows(name, output, len(images))
        if isinstance(module, _BatchNorm):
            return with_constant_statistics(module, given)
        called.add(name)
        # Layers that share a weight share its column.
        name = shared_names.setdefault(cast(Tensor, module.weight), name)
        read, fed = _read_by_first_weight(module, given.detach()), bool(given.any())

        def on_gradient(gradient: Tensor) -> None:
            first = gradient[:, 0] if isinstance(module, nn.Conv2d) else gradient[..., 0]
            by_image = (first.reshape(read.shape) * read).sum(1)
            if not by_image.any() and not (fed and gradient.any()):
                return  # it takes no part, as behind a normalisation whose scale is 0
            derivatives[name] = derivatives[name] + by_image if name in derivatives else by_image

        if output.requires_grad:
            output.register_hook(on_gradient)  # type: ignore[no-untyped-call]
        return None

    with subject.mode(training=False, graph=False):
        logits = subject.call(subject.constants, subject.images[:2])
        passes.check_logits(logits, subject.labels[:2])
        classes = logits.shape[1]
    modules = passes.modules_of(subject.network, _LAYERS)
    with subject.mode(graph=True), passes.watched(modules, observe):
        # Gradients by the images make the backward pass visit every layer, and no weight.
        images = subject.images[: max(2, _JACOBIAN_ROWS // classes)].detach().requires_grad_()
        logits = subject.call(subject.constants, images)
        by_class = _by_class(logits, subject.labels, [images], derivatives)
    refuse_hidden_weights(subject, called)
    return _stacked(by_class, sorted(set().union(*by_class)), images), logits.detach()


def _read_by_first_weight(module: nn.Module, given: Tensor) -> Tensor:
    """Return what the weight at index 0 multiplies, N x positions."""
    if isinstance(module, nn.Conv2d):
        first, padding = padded(module, given[:, :1])
        return F.unfold(first, module.kernel_size, module.dilation, padding, module.stride)[:, 0]
    return given[..., 0].reshape(len(given), -1)
