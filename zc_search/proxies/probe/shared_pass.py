"""One forward pass of the batch, with its graph, for all measurements that can share it."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zc_search.proxies.probe import passes
from zc_search.proxies.probe.batch_norm import normalise
from zc_search.proxies.probe.blocks import blocks_before, primary_blocks
from zc_search.proxies.probe.measurements import Measurement
from zc_search.proxies.probe.patterns import Agreement, UnitPatterns, codes
from zc_search.proxies.probe.responses import Responses
from zc_search.proxies.probe.statistics import Blocks, ChannelCorrelations

OF_LOSS: frozenset[Measurement] = frozenset(
    {"loss_gradients", "channel_saliency", "gradient_curvature", "response_correlations"}
)


class SharedPass:
    """Runs a network and collects what is wanted; run it once.

    Args:
        network: Maps images to logits.
        parameters: All its parameters by name.
        weights: Those of them that gradients are wanted for, by layer.
        images: N x C x H x W.
        labels: N.
        wanted: What to measure; nothing else is collected.
        seed: Of what the measurements and the network draw.
        training: Whether the network is in training mode.
        copying: Whether outputs are copied that the backward pass looks at. That takes time, and
            is needed for networks that change them in place.
    """

    def __init__(
        self,
        network: nn.Module,
        parameters: Mapping[str, Tensor],
        weights: Mapping[str, Tensor],
        images: Tensor,
        labels: Tensor,
        wanted: frozenset[Measurement],
        seed: int = 0,
        *,
        training: bool = True,
        copying: bool = False,
    ) -> None:
        self._network = network
        self._parameters = parameters
        self._weights = weights
        self._images = images
        self._labels = labels
        self._wanted = wanted
        self._seed = seed
        self._training = training
        self._scale = images.new_ones((), requires_grad=True)
        self._scaled: set[Tensor] = set()
        self._copying = copying
        self._saliency = _Saliency()
        self._units = Agreement(len(images), images.device)
        self._unit_patterns = UnitPatterns(len(images), images.device)
        self._layers: dict[str, Agreement] = {}
        self._responses = Responses(len(images), images.device)
        self._correlations = ChannelCorrelations(
            seed,
            full="smallest_eigenvalues" in wanted,
            sampled="sampled_eigenvalues" in wanted,
        )
        self._blocks = Blocks(
            seed,
            entropies="block_entropies" in wanted,
            jacobians="block_jacobian_norms" in wanted,
        )

    def run(self) -> dict[str, object]:
        """Return the measurements by name, ``logits`` always among them."""
        with passes.mode(self._network, training=self._training, graph=True, seed=self._seed):
            images = self._images.detach()
            if self._wanted & {"input_jacobian", "block_jacobian_norms"}:
                images.requires_grad_()
            with ExitStack() as observers:
                self._observe(observers)
                logits = passes.call(self._network, self._parameters, images)
            measured: dict[str, object] = {
                "logits": logits.detach(),
                "relu_agreement": self._units,
                "layer_agreement": self._layers,
                "response_correlations": self._responses.correlations,
            }
            summaries: dict[Measurement, Callable[[], Tensor]] = {
                "distinct_unit_patterns": self._unit_patterns.count,
                "smallest_eigenvalues": self._correlations.smallest,
                "sampled_eigenvalues": self._correlations.smallest_of_sample,
                "block_entropies": self._blocks.entropies,
                "block_jacobian_norms": self._blocks.jacobian_norms,
            }
            measured |= {name: f() for name, f in summaries.items() if name in self._wanted}
            if "input_jacobian" in self._wanted:
                (jacobian,) = torch.autograd.grad(
                    logits.sum(), images, retain_graph=True, materialize_grads=True
                )
                measured["input_jacobian"] = jacobian.flatten(1)
            measured |= self._backwards(logits)
        # What was not asked for was not collected, and must not be mistaken for a measurement.
        return {k: v for k, v in measured.items() if k in self._wanted or k == "logits"}

    @property
    def spoilt(self) -> bool:
        """Whether the network changed in place what the backward pass looked at."""
        return self._saliency.spoilt

    def _observe(self, observers: ExitStack) -> None:
        wanted, network = self._wanted, self._network
        if "gradient_curvature" in wanted:
            observers.enter_context(passes.observed(network, passes.WEIGHTED, self._scale_weight))
            observers.enter_context(passes.observed(network, (nn.BatchNorm2d,), self._normalise))
        if wanted & {"relu_agreement", "distinct_unit_patterns"}:
            observers.enter_context(
                passes.observed(network, passes.ACTIVATIONS, self._observe_activation)
            )
        if "response_correlations" in wanted:
            before = blocks_before(network)
            observe = self._responses.observer({name: 2.0**n for name, n in before.items()})
            activations = passes.modules_of(network, passes.ACTIVATIONS)
            observers.enter_context(passes.entered(activations, observe))
        if wanted & {"layer_agreement", "channel_saliency"}:
            observers.enter_context(passes.observed(network, passes.WEIGHTED, self._observe_layer))
        if wanted & {"smallest_eigenvalues", "sampled_eigenvalues"}:
            observers.enter_context(passes.watched(_map_makers(network), self._observe_maps))
        if wanted & {"block_entropies", "block_jacobian_norms"}:
            blocks = primary_blocks(network)
            observers.enter_context(passes.entered(blocks, self._blocks.enter))
            observers.enter_context(passes.watched(blocks, self._blocks.observe))

    def _normalise(self, _: str, norm: nn.Module, given: Tensor, __: Tensor) -> Tensor | None:
        """Replace a batch normalisation's output by one that is cheap to differentiate twice."""
        if not norm.training:
            return None
        return normalise(given, cast(nn.BatchNorm2d, norm))

    def _scale_weight(self, _: str, layer: nn.Module, __: Tensor, output: Tensor) -> Tensor:
        """Let the output be that of the layer with its weight times `_scale`, which is 1."""
        self._scaled.add(cast(Tensor, layer.weight))
        if layer.bias is None:
            return output * self._scale
        bias = cast(Tensor, layer.bias)
        bias = bias if isinstance(layer, nn.Linear) else bias[:, None, None]
        return (output - bias) * self._scale + bias

    def _observe_activation(self, _: str, __: nn.Module, given: Tensor, ___: Tensor) -> None:
        bits = codes(given.detach())
        if "relu_agreement" in self._wanted:
            self._units.add_codes(bits)
        if "distinct_unit_patterns" in self._wanted:
            self._unit_patterns.add_codes(bits)

    def _observe_layer(self, name: str, layer: nn.Module, _: Tensor, output: Tensor) -> None:
        activation = output.detach().clone() if self._copying else output.detach()
        if "layer_agreement" in self._wanted:
            if name not in self._layers:
                self._layers[name] = Agreement(len(activation), activation.device)
            self._layers[name].add(activation)
        if "channel_saliency" in self._wanted and output.requires_grad:
            channels = -1 if isinstance(layer, nn.Linear) else 1
            hook = self._saliency.hook(name, activation, channels)
            output.register_hook(hook)  # type: ignore[no-untyped-call]

    def _observe_maps(self, _: str, __: nn.Module, ___: Tensor, output: Tensor) -> None:
        self._correlations.add(output)

    def _backwards(self, logits: Tensor) -> dict[str, object]:
        if not self._wanted & OF_LOSS:
            return {}
        measured: dict[str, object] = {}
        second_order = "gradient_curvature" in self._wanted
        self._saliency.collecting = self._responses.collecting = True
        loss = F.cross_entropy(logits, self._labels)
        gradients = passes.gradients(loss, self._weights, create_graph=second_order)
        self._saliency.collecting = self._responses.collecting = False
        measured["channel_saliency"] = self._saliency.by_layer
        if second_order:
            measured["gradient_curvature"] = self._curvature(gradients)
        measured["loss_gradients"] = {name: g.detach() for name, g in gradients.items()}
        return measured

    def _curvature(self, gradients: Mapping[str, Tensor]) -> Tensor:
        for layer, gradient in gradients.items():
            if self._weights[layer] not in self._scaled and gradient.any():
                raise ValueError(f"the weight of layer {layer!r} is used without calling the layer")
        # With all weights times s the gradient by them is s dL/dw(s w), which changes by g + H w
        # at s = 1. Differentiated by s alone, the second pass needs no product for any weight.
        zero = self._scale.new_zeros(())
        squares = sum((g.detach().square().sum() for g in gradients.values()), zero)
        if not any(g.requires_grad for g in gradients.values()):
            return zero - squares
        products = sum((g.detach().mul(g).sum() for g in gradients.values()), zero)
        (change,) = torch.autograd.grad(products, self._scale, materialize_grads=True)
        return change - squares


class _Saliency:
    """Activation times loss gradient, by layer, summed over positions and calls.

    Its hooks become part of the graph, so it must not know anything that holds on to the graph:
    Python cannot collect such a circle.
    """

    def __init__(self) -> None:
        self.collecting = False
        self.spoilt = False
        self.by_layer: dict[str, Tensor] = {}

    def hook(self, name: str, activation: Tensor, channels: int) -> Callable[[Tensor], None]:
        version = activation._version

        def keep(gradient: Tensor) -> None:
            if self.collecting:
                self.spoilt |= activation._version != version
                product = (activation * gradient.detach()).movedim(channels, 1)
                summed = product.flatten(2).sum(2) if product.dim() > 2 else product
                earlier = self.by_layer.get(name)
                self.by_layer[name] = summed if earlier is None else earlier + summed

        return keep


def _map_makers(network: nn.Module) -> dict[str, nn.Module]:
    """Return the modules without parts; a normalisation repeats its input's correlations."""
    return {
        name: module
        for name, module in network.named_modules()
        if next(module.children(), None) is None
        and not isinstance(module, nn.modules.batchnorm._BatchNorm)
    }
