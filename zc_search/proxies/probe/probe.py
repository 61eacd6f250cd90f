"""The Probe: measurements of a fresh network, each made at most once, announced ones together."""

import copy
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Generic, TypeVar, cast

import torch
from torch import Tensor, nn

from zc_search._utils.torch_defaults import settings_kept, usual_defaults
from zc_search.errors import ProxyError
from zc_search.proxies.catalogue import Cost
from zc_search.proxies.probe import data_free, features, gradients, per_image
from zc_search.proxies.probe.passes import Measurement, Subject, check_logits

T = TypeVar("T")

MEASUREMENTS: dict[str, type[Measurement[Any]]] = {}
"""Every measurement by its name; those that share a pass are collected in this order."""


class Measured(Generic[T]):
    """A measurement as an attribute of a `Probe`, made when it is first read."""

    def __init__(self, kind: type[Measurement[T]]) -> None:
        self._kind = kind
        self.__doc__ = kind.__doc__

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name
        MEASUREMENTS[name] = self._kind

    def __get__(self, probe: Any, owner: type) -> T:
        return cast(T, self if probe is None else probe.measure(self._name))


class Probe(Subject):
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
        needs_evaluating, needs_dead: As `needs`, of `evaluating` and `with_dead_edges`.
        classes: Number of classes of the data set; by default one a logit.
    """

    # First what replaces outputs of layers, which the others are to see.
    gradient_curvature = Measured(gradients.GradientCurvature)
    relu_agreement = Measured(features.ReluAgreement)
    distinct_unit_patterns = Measured(features.DistinctUnitPatterns)
    response_correlations = Measured(gradients.ResponseCorrelations)
    layer_agreement = Measured(features.LayerAgreements)
    channel_saliency = Measured(gradients.ChannelSaliency)
    smallest_eigenvalues = Measured(features.SmallestEigenvalues)
    sampled_eigenvalues = Measured(features.SampledEigenvalues)
    activation_ranks = Measured(features.ActivationRanks)
    block_entropies = Measured(features.BlockEntropies)
    block_jacobian_norms = Measured(features.BlockJacobianNorms)
    input_jacobian = Measured(gradients.InputJacobian)
    loss_gradients = Measured(gradients.LossGradients)
    logits = Measured(features.Logits)
    gradient_signs = Measured(per_image.GradientSigns)
    tangent_kernel = Measured(per_image.TangentKernel)
    half_batch_gradients = Measured(gradients.HalfBatchGradients)
    fisher_information = Measured(per_image.FisherInformation)
    published_fisher_information = Measured(per_image.PublishedFisherInformation)
    synaptic_flow = Measured(data_free.SynapticFlow)
    gaussian_perturbation = Measured(data_free.GaussianPerturbation)
    inverse_conditions = Measured(data_free.InverseConditions)
    output_curvature = Measured(data_free.OutputCurvature)
    multiply_adds = Measured(data_free.MultiplyAdds)
    latency = Measured(data_free.Latency)

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
        needs_dead: Collection[str] = (),
        classes: int | None = None,
    ) -> None:
        super().__init__(network, images, labels, seed, training=training)
        self._planned = frozenset(needs)
        self._needs_evaluating = frozenset(needs_evaluating)
        self._needs_dead = frozenset(needs_dead)
        self._classes = classes
        self._measured: dict[str, object] = {}

    @cached_property
    def evaluating(self) -> "Probe":
        """The same network, batch and seed, measured in evaluation mode."""
        needs = self._needs_evaluating
        return self._other(self.network, needs, training=False)

    @cached_property
    def with_dead_edges(self) -> "Probe":
        """The same with the network's dead edges at work; itself where it cannot tell them."""
        make = getattr(self.network, "with_dead_edges", None)
        if make is None:
            return self
        return self._other(make(), self._needs_dead, training=self.training)

    def _other(self, network: nn.Module, needs: Collection[str], *, training: bool) -> "Probe":
        given = network, self.images, self.labels, needs, self.seed
        return Probe(*given, training=training, classes=self._classes)

    @property
    def classes(self) -> int:
        """Number of classes of the data set."""
        if self._classes is None:
            check_logits(self.logits, self.labels)
            return self.logits.shape[1]
        return self._classes

    def measure(self, name: str) -> object:
        """Return a measurement, made now with all planned ones of its pass if it was not yet."""
        if name not in self._measured:
            self.require_seen()
            with torch.inference_mode(False), usual_defaults():
                self._measured |= self._together_or_alone(name)
        return self._measured[name]

    def _together_or_alone(self, name: str) -> dict[str, object]:
        kind = MEASUREMENTS[name]
        alone = {name: kind}
        planned = self._planned if kind.family else frozenset[str]()
        together = {
            other: member
            for other, member in MEASUREMENTS.items()
            if other == name or (other in planned and member.family == kind.family)
        }
        self._planned -= together.keys()  # later surprises get a pass of their own
        try:
            return kind.together(self, together)
        except Exception:
            if together == alone:
                raise
        # It may be another measurement that failed. Outside of the handler, which would keep the
        # failed pass's graph alive.
        return kind.together(self, alone)


def cost_class(needs: Collection[str]) -> Cost:
    """Return the class of a proxy's cost: up to 0, 1, 2 or more plain passes."""
    for name in needs:
        if name not in MEASUREMENTS:
            raise ProxyError.unknown("measurement", name, MEASUREMENTS, key="needs")
    total = sum(MEASUREMENTS[name].cost for name in needs)
    return "free" if total <= 0 else "low" if total <= 1 else "medium" if total <= 2 else "high"


_KEPT = ("default dtype", "default device", "number of threads", "gradient mode")


class SandboxedProbe(Probe):
    """A probe with copies of another's network, batch and measurements, made when first read."""

    def __init__(self, host: Probe) -> None:
        super().__init__(host.network, host.images, host.labels, (), host.seed)
        self.training, self._classes = host.training, host._classes
        self._host = host
        del self.network, self.images, self.labels

    def __getattr__(self, name: str) -> Any:
        if name not in ("network", "images", "labels"):
            raise AttributeError(f"'Probe' object has no attribute {name!r}", name=name)
        try:
            setattr(self, name, copy.deepcopy(getattr(self._host, name)))
        except Exception as error:  # such as a layer that keeps a tensor with its graph
            message = f"the {name} cannot be copied for a proxy that may change it: {error}"
            raise ProxyError(message, given=name) from error
        return self.__dict__[name]

    @cached_property
    def evaluating(self) -> Probe:
        return SandboxedProbe(self._host.evaluating)

    def measure(self, name: str) -> object:
        return copy.deepcopy(self._host.measure(name))


@contextmanager
def sandboxed(host: Probe, name: str) -> Iterator[SandboxedProbe]:
    """Lend a proxy a copy; undo, and say once, what it does to torch's settings and generators."""
    changed: list[str] = []
    try:
        with settings_kept(_KEPT) as changed, host.random():
            yield SandboxedProbe(host)
    finally:
        if changed:  # Python shows a warning of one text once
            message = f"proxy {name!r} changed torch's {', '.join(changed)}, which is put back"
            warnings.warn(message, RuntimeWarning, stacklevel=2)
