"""One forward pass of the batch, with its graph, for all measurements that can share it."""

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, ClassVar, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zc_search.proxies.probe import passes
from zc_search.proxies.probe.measurement import Measurement
from zc_search.proxies.probe.passes import Subject

T = TypeVar("T")


class Shared(Measurement[T]):
    """A measurement of the shared pass.

    Hooks on tensors become part of the graph. What they know, such as `self`, must not hold on to
    the graph or to the pass, since Python cannot collect such a circle.
    """

    family = "shared"
    by_image: ClassVar[bool] = False  # the images must have gradients
    of_loss: ClassVar[bool] = False  # the loss must be differentiated before the result
    twice: ClassVar[bool] = False  # and those gradients must have a graph themselves
    measured: T

    def install(self, run: "SharedPass") -> None:
        """Observe what is needed of the forward pass that follows."""

    def result(self, run: "SharedPass") -> T:
        """Return what came of it."""
        return self.measured

    @classmethod
    def together(cls, subject: Subject, kinds: Mapping[str, type[Any]]) -> dict[str, Any]:
        run = SharedPass(subject, copying=False)
        measured = run.measure(kinds)
        if run.backward.spoilt:
            measured = SharedPass(subject, copying=True).measure(kinds)
        return measured


class Backward:
    """What hooks on tensors know of the pass."""

    collecting = False  # whether it is the loss that is being differentiated
    spoilt = False  # whether the network changed in place what a hook looked at


class SharedPass:
    """A pass while it runs.

    With `copying`, outputs are copied that the backward pass looks at. That takes time, and is
    needed for networks that change them in place.
    """

    images: Tensor
    logits: Tensor
    gradients: dict[str, Tensor]  # of the loss, by layer

    def __init__(self, subject: Subject, *, copying: bool) -> None:
        self.subject = subject
        self.copying = copying
        self.backward = Backward()
        self.observers = ExitStack()

    def measure(self, kinds: Mapping[str, type[Shared[Any]]]) -> dict[str, Any]:
        """Run it; return the results, ``logits`` always among them."""
        subject = self.subject
        parts = {name: kind(subject) for name, kind in kinds.items()}
        of_loss = {name: part for name, part in parts.items() if part.of_loss}
        with subject.mode(training=subject.training, graph=True):
            self.images = subject.images.detach()
            if any(part.by_image for part in parts.values()):
                self.images.requires_grad_()
            with self.observers:
                for part in parts.values():
                    part.install(self)
                self.logits = subject.call(subject.parameters, self.images)
            measured: dict[str, Any] = {"logits": self.logits.detach()}
            # Before the loss's backward pass, which frees the graph.
            measured |= {n: p.result(self) for n, p in parts.items() if not p.of_loss}
            if of_loss:
                passes.check_logits(self.logits, subject.labels)
                self.backward.collecting = True
                self.gradients = passes.gradients(
                    F.cross_entropy(self.logits, subject.labels),
                    subject.weights,
                    create_graph=any(part.twice for part in of_loss.values()),
                )
                self.backward.collecting = False
                measured |= {name: part.result(self) for name, part in of_loss.items()}
        return measured

    def observe(self, modules: Mapping[str, nn.Module], observer: passes.Observer) -> None:
        """Let `observer` see every call of these modules."""
        self.observers.enter_context(passes.watched(modules, observer))

    def observe_kinds(self, kinds: tuple[type[nn.Module], ...], observer: passes.Observer) -> None:
        """Let `observer` see every call of a module of these kinds."""
        self.observe(passes.modules_of(self.subject.network, kinds), observer)


class Logits(Shared[Tensor]):
    """Outputs, N x classes, without graph."""

    cost = 0.3

    def result(self, run: SharedPass) -> Tensor:
        return run.logits.detach()


class InputJacobian(Shared[Tensor]):
    """Gradient of the sum of all logits by each image, N x (C H W)."""

    cost = 0.5
    by_image = True

    def result(self, run: SharedPass) -> Tensor:
        (jacobian,) = torch.autograd.grad(
            run.logits.sum(), run.images, retain_graph=True, materialize_grads=True
        )
        return jacobian.flatten(1)
