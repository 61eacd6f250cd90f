"""Running a network without leaving a trace: modes, buffers and hooks are put back."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call

WEIGHTED = (nn.Conv2d, nn.Linear)
ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.GELU, nn.SiLU, nn.Hardswish)

Observer = Callable[[str, nn.Module, Tensor, Tensor], Tensor | None]
"""Called with a module's name, itself, its input and output; may return another output."""


@contextmanager
def mode(network: nn.Module, *, training: bool) -> Iterator[None]:
    """Put every module in training or evaluation mode, and back as each one was."""
    before = [(module, module.training) for module in network.modules()]
    network.train(training)
    try:
        yield
    finally:
        for module, flag in before:
            module.training = flag


def modules_of(network: nn.Module, kinds: tuple[type[nn.Module], ...]) -> dict[str, nn.Module]:
    """Return the network's modules of these kinds by name, in network order."""
    return {name: m for name, m in network.named_modules() if isinstance(m, kinds)}


@contextmanager
def observed(
    network: nn.Module, kinds: tuple[type[nn.Module], ...], observer: Observer
) -> Iterator[None]:
    """Let `observer` see every call of a module of these kinds, while the context is open."""
    with watched(modules_of(network, kinds), observer):
        yield


@contextmanager
def watched(modules: Mapping[str, nn.Module], observer: Observer) -> Iterator[None]:
    """Let `observer` see every call of these modules that maps a tensor to a tensor."""

    def hook_for(name: str) -> Callable[..., Tensor | None]:
        def hook(module: nn.Module, inputs: tuple[object, ...], output: object) -> Tensor | None:
            given = inputs[0] if inputs else None
            if isinstance(given, Tensor) and isinstance(output, Tensor):
                return observer(name, module, given, output)
            return None

        return hook

    handles = [module.register_forward_hook(hook_for(name)) for name, module in modules.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def call(network: nn.Module, parameters: Mapping[str, Tensor], images: Tensor) -> Tensor:
    """Return the network's output with other parameters and with buffers that are thrown away."""
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    return functional_call(network, {**parameters, **buffers}, (images,))  # type: ignore[no-any-return]


def gradients(
    scalar: Tensor, weights: Mapping[str, Tensor], *, create_graph: bool = False
) -> dict[str, Tensor]:
    """Return the gradient of `scalar` by each weight, zero where it does not depend on it."""
    if not scalar.requires_grad:
        return {name: torch.zeros_like(weight) for name, weight in weights.items()}
    by_weight = torch.autograd.grad(
        scalar,
        list(weights.values()),
        create_graph=create_graph,
        allow_unused=True,
        materialize_grads=True,
    )
    return dict(zip(weights, by_weight, strict=True))


def rows(tensor: Tensor) -> Tensor:
    """Flatten all but the first dimension, in whatever order needs no copy.

    For sums over all features of two tensors in the same memory format, order is immaterial.
    """
    if tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last):
        tensor = tensor.permute(0, 2, 3, 1)
    return tensor.flatten(1)
