"""The Probe: measurements of a freshly initialised network, each made at most once.

Proxies are formulas over these measurements. One forward pass with its graph serves the loss
gradients, the activation statistics and the input Jacobian; whoever creates the Probe says in
advance which measurements will be read, so that they are collected in that one pass.
"""

from collections.abc import Callable, Collection
from functools import cached_property
from typing import TypeVar, cast, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zc_search.proxies.probe import passes
from zc_search.proxies.probe.fisher_information import fisher_information
from zc_search.proxies.probe.kernel import per_image_pass
from zc_search.proxies.probe.measurements import PER_IMAGE, SHARED, Measurement
from zc_search.proxies.probe.patterns import Agreement
from zc_search.proxies.probe.perturbation import Perturbation, gaussian_perturbation
from zc_search.proxies.probe.shared_pass import OF_LOSS, SharedPass
from zc_search.proxies.probe.synaptic_flow import synaptic_flow
from zc_search.proxies.probe.timing import forward_milliseconds

_T = TypeVar("_T")
_Pass = Callable[[frozenset[Measurement]], dict[str, object]]


class Probe:
    """Measures one network on one batch and leaves the network as it was.

    Gradients are of the mean cross-entropy over the batch. Batch normalisation uses the batch's
    statistics, as in training; the running statistics, the ``.grad`` fields, the training flags
    and the global random state are not touched.

    Args:
        network: Maps N x C x H x W images to N x classes logits.
        images: float32, N x C x H x W, normalised.
        labels: int64, N.
        needs: The measurements that will be read; others still work, at a pass of their own.
        seed: Of the few measurements that draw something themselves.
        training: Whether the network is in training mode for the measurements that can do
            without; in evaluation mode batch normalisation uses its running statistics.
        needs_evaluating: As `needs`, of `evaluating`.
    """

    def __init__(
        self,
        network: nn.Module,
        images: Tensor,
        labels: Tensor,
        needs: Collection[str] = (),
        seed: int = 0,
        *,
        training: bool = True,
        needs_evaluating: Collection[str] = (),
    ) -> None:
        self.network = network
        self._training = training
        self._needs_evaluating = frozenset(needs_evaluating)
        with torch.inference_mode(False):
            self.images = passes.channels_last(passes.normal(images))
            self.labels = passes.normal(labels)
        self.seed = seed
        self._planned = frozenset(m for m in get_args(Measurement) if m in needs)
        self._measured: dict[str, object] = {}

    @cached_property
    def evaluating(self) -> "Probe":
        """The same network, batch and seed, measured in evaluation mode."""
        return Probe(
            self.network,
            self.images,
            self.labels,
            self._needs_evaluating,
            self.seed,
            training=False,
        )

    # Without a pass --------------------------------------------------------------------------

    @cached_property
    def parameters(self) -> dict[str, Tensor]:
        """All parameters by name, detached from the network's own, and requiring gradients.

        Convolutions' are laid out in memory as the images are; the others share the storage.
        """
        with torch.inference_mode(False):
            return {
                name: passes.channels_last(passes.normal(parameter.detach())).requires_grad_()
                for name, parameter in self.network.named_parameters()
            }

    @cached_property
    def weights(self) -> dict[str, Tensor]:
        """The weights of convolutions and linear layers, by layer name, in network order.

        One that layers share is that of the first of them.
        """
        names = passes.weight_names(self.network)
        return {layer: self.parameters[name] for layer, name in names.items()}

    # From the shared pass --------------------------------------------------------------------

    @property
    def logits(self) -> Tensor:
        """Outputs, N x classes, without graph."""
        return self._from_shared_pass("logits", Tensor)

    @property
    def loss_gradients(self) -> dict[str, Tensor]:
        """Gradient of the loss by each weight, shaped like it; zero where the loss ignores it."""
        return self._from_shared_pass("loss_gradients", dict)

    @property
    def gradient_curvature(self) -> Tensor:
        """Weights times Hessian of the loss times loss gradient, ``w^T H g``; a number."""
        return self._from_shared_pass("gradient_curvature", Tensor)

    @property
    def channel_saliency(self) -> dict[str, Tensor]:
        """By layer: activation times loss gradient, summed over positions, calls; N x channels."""
        return self._from_shared_pass("channel_saliency", dict)

    @property
    def relu_agreement(self) -> Agreement:
        """In how many activation units each two images are on the same side of zero."""
        return self._from_shared_pass("relu_agreement", Agreement)

    @property
    def distinct_unit_patterns(self) -> Tensor:
        """In how many different ways activation units are positive for some of the images."""
        return self._from_shared_pass("distinct_unit_patterns", Tensor)

    @property
    def layer_agreements(self) -> dict[str, Agreement]:
        """As `relu_agreement` for the outputs of each convolution and linear layer, by name."""
        return self._from_shared_pass("layer_agreement", dict)

    @cached_property
    def layer_agreement(self) -> Agreement:
        """`layer_agreements`, all layers taken together."""
        everything = Agreement(len(self.images), self.images.device)
        return everything.add_all(self.layer_agreements.values())

    @property
    def input_jacobian(self) -> Tensor:
        """Gradient of the sum of all logits by each image, N x (C H W)."""
        return self._from_shared_pass("input_jacobian", Tensor)

    @property
    def response_correlations(self) -> Tensor:
        """Sum over activations of 2^(blocks before) |correlations| of inputs, gradients; N x N."""
        return self._from_shared_pass("response_correlations", Tensor)

    @property
    def smallest_eigenvalues(self) -> Tensor:
        """Of the correlations between channels for the first image, of each layer with maps."""
        return self._from_shared_pass("smallest_eigenvalues", Tensor)

    @property
    def sampled_eigenvalues(self) -> Tensor:
        """The same from a sample of 8 channels a layer, each times channels / 8."""
        return self._from_shared_pass("sampled_eigenvalues", Tensor)

    @property
    def block_entropies(self) -> Tensor:
        """Entropy of the spectrum of the features before and after each block, blocks + 1."""
        return self._from_shared_pass("block_entropies", Tensor)

    @property
    def block_jacobian_norms(self) -> Tensor:
        """Estimated spectral norm of each block's Jacobian; inf if it hands its input on."""
        return self._from_shared_pass("block_jacobian_norms", Tensor)

    def _from_shared_pass(self, name: str, kind: type[_T]) -> _T:
        def run(wanted: frozenset[Measurement]) -> dict[str, object]:
            for copying in (False, True):
                shared = SharedPass(
                    self.network,
                    self.parameters,
                    self.weights if wanted & OF_LOSS else {},
                    self.images,
                    self.labels,
                    wanted,
                    self.seed,
                    training=self._training,
                    copying=copying,
                )
                measured = shared.run()
                if not shared.spoilt:
                    break
            return measured

        return self._from(run, SHARED, name, kind)

    def _from(self, run: _Pass, together: frozenset[Measurement], name: str, kind: type[_T]) -> _T:
        """Return a measurement of a pass that serves several."""
        if name not in self._measured:
            with torch.inference_mode(False):
                self._measured |= self._together_or_alone(run, together, name)
        return cast(_T, self._measured[name])

    def _together_or_alone(
        self, run: _Pass, together: frozenset[Measurement], name: str
    ) -> dict[str, object]:
        wanted, alone = together & (self._planned | {name}), together & {name}
        self._planned -= together  # later surprises get a pass of their own
        try:
            return run(wanted)
        except Exception:
            if wanted == alone:
                raise
        # It may be another measurement that failed. Outside of the handler, which would keep the
        # failed pass's graph alive.
        return run(alone)

    # From the pass with constant statistics --------------------------------------------------

    @property
    def tangent_kernel(self) -> Tensor:
        """Gram matrix of the images' gradients of their summed logits, N x N, float64."""
        return self._from_per_image_pass("tangent_kernel", Tensor)

    @property
    def gradient_signs(self) -> dict[str, Tensor]:
        """By layer, the sum over images of the sign of each one's loss gradient; flat."""
        return self._from_per_image_pass("gradient_signs", dict)

    def _from_per_image_pass(self, name: str, kind: type[_T]) -> _T:
        def run(wanted: frozenset[Measurement]) -> dict[str, object]:
            return per_image_pass(
                self.network, self.parameters, self.images, self.labels, wanted, self.seed
            )

        return self._from(run, PER_IMAGE, name, kind)

    # With passes of their own ----------------------------------------------------------------

    @cached_property
    def half_batch_gradients(self) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Loss gradients of the first and of the second half of the batch, each on its own."""
        middle = len(self.images) // 2
        first, second = (
            self._batch_gradients(self.images[half], self.labels[half])
            for half in (slice(middle), slice(middle, 2 * middle))
        )
        return first, second

    def _batch_gradients(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        with passes.mode(self.network, training=self._training, graph=True, seed=self.seed):
            logits = passes.call(self.network, self.parameters, images)
            return passes.gradients(F.cross_entropy(logits, labels), self.weights)

    @cached_property
    def fisher_information(self) -> Tensor:
        """Fisher information of the first weight of each layer, layers x layers, float64."""
        return fisher_information(self.network, self.parameters, self.images, self.seed)

    @cached_property
    def synaptic_flow(self) -> dict[str, Tensor]:
        """By layer, |weight x gradient| of the summed output of the linearised network, float64."""
        return synaptic_flow(self.network, self.parameters, self.images)

    @cached_property
    def gaussian_perturbation(self) -> Perturbation:
        """How features with Gaussian weights answer a change of a Gaussian input by 1 %."""
        return gaussian_perturbation(
            self.network, self.parameters, self.images, seed=self.seed, size=0.01
        )

    @cached_property
    def multiply_adds(self) -> int:
        """Multiply-accumulate operations of convolutions and linear layers, for one image.

        A network that leaves out what does not reach its output has a method
        ``multiply_adds(height, width)``, which is asked; any other is run once.
        """
        known = getattr(self.network, "multiply_adds", None)
        if callable(known):
            return int(known(*self.images.shape[-2:]))
        total = 0

        def observe(_: str, module: nn.Module, __: Tensor, output: Tensor) -> None:
            nonlocal total
            total += output.numel() * cast(Tensor, module.weight)[0].numel()

        with (
            passes.mode(self.network, training=False, graph=False),
            passes.observed(self.network, passes.WEIGHTED, observe),
        ):
            passes.call(self.network, self.parameters, self.images[:1])
        return total

    @cached_property
    def latency(self) -> float:
        """Median time of a forward pass of the batch in evaluation mode, in milliseconds."""
        return forward_milliseconds(self.network, self.images)
