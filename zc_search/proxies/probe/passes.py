"""Running a network without leaving a trace: modes, buffers, hooks, random state are put back."""

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
def mode(network: nn.Module, *, training: bool, graph: bool, seed: int = 0) -> Iterator[None]:
    """Put everything that a pass depends on in a known state, and back as it was.

    Args:
        network: Every module of it is put in training or evaluation mode.
        training: Which of the two.
        graph: Whether autograd records, whatever mode the caller is in.
        seed: Of what the network itself draws, as dropout does.
    """
    before = [(module, module.training) for module in network.modules()]
    buffers = [(buffer, buffer.clone()) for buffer in network.buffers()]
    network.train(training)
    try:
        # What is made in inference mode cannot be differentiated later.
        with torch.inference_mode(False), torch.set_grad_enabled(graph), _random(network, seed):
            yield
    finally:
        for module, flag in before:
            module.training = flag
        # `call` keeps them out of the forward pass, but not out of a backward pass that runs part
        # of it again, as gradient checkpointing does.
        for buffer, copy in buffers:
            with torch.inference_mode(buffer.is_inference()), torch.no_grad():
                buffer.copy_(copy)


@contextmanager
def _random(network: nn.Module, seed: int) -> Iterator[None]:
    """Seed the generators of the CPU and of the network's own GPUs."""
    tensors = (*network.parameters(), *network.buffers())
    gpus = sorted({t.device.index or 0 for t in tensors if t.device.type == "cuda"})
    with torch.random.fork_rng(gpus):
        # torch.manual_seed would seed all GPUs.
        torch.default_generator.manual_seed(seed)
        for gpu in gpus:
            torch.cuda.default_generators[gpu].manual_seed(seed)
        yield


def normal(tensor: Tensor) -> Tensor:
    """Return the tensor, or a copy if it was made in inference mode."""
    return tensor.clone() if tensor.is_inference() else tensor


def modules_of(network: nn.Module, kinds: tuple[type[nn.Module], ...]) -> dict[str, nn.Module]:
    """Return the network's modules of these kinds by name, in network order."""
    return {name: m for name, m in network.named_modules() if isinstance(m, kinds)}


def weight_names(network: nn.Module) -> dict[str, str]:
    """Return the name of each convolution's and linear layer's weight, by layer.

    Of layers that share one weight only the first is there.

    Raises:
        ValueError: A weight is no parameter but computed from some, as by weight normalisation.
    """
    parameters = {id(parameter): name for name, parameter in network.named_parameters()}
    layers: dict[str, str] = {}
    for layer, module in modules_of(network, WEIGHTED).items():
        if id(module.weight) not in parameters:
            raise ValueError(f"the weight of layer {layer!r} is not a parameter of the network")
        layers.setdefault(parameters[id(module.weight)], layer)
    return {layer: name for name, layer in layers.items()}


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
        def hook(
            module: nn.Module,
            inputs: tuple[object, ...],
            named: Mapping[str, object],
            output: object,
        ) -> Tensor | None:
            given = next(iter((*inputs, *named.values())), None)
            if isinstance(given, Tensor) and isinstance(output, Tensor):
                return observer(name, module, given, output)
            return None

        return hook

    handles = [
        module.register_forward_hook(hook_for(name), with_kwargs=True)
        for name, module in modules.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def entered(
    modules: Mapping[str, nn.Module],
    observer: Callable[[str, nn.Module, Tensor], Tensor | None],
) -> Iterator[None]:
    """Let `observer` see, and replace, the input of these modules before each call."""

    def hook_for(name: str) -> Callable[..., tuple[object, ...] | None]:
        def hook(module: nn.Module, inputs: tuple[object, ...]) -> tuple[object, ...] | None:
            if inputs and isinstance(inputs[0], Tensor):
                replaced = observer(name, module, inputs[0])
                return None if replaced is None else (replaced, *inputs[1:])
            return None

        return hook

    handles = [module.register_forward_pre_hook(hook_for(name)) for name, module in modules.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def call(network: nn.Module, parameters: Mapping[str, Tensor], images: Tensor) -> Tensor:
    """Return the network's output with other parameters and with buffers that are thrown away.

    The images are a copy, since some networks normalise their input in place.
    """
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    return functional_call(network, {**parameters, **buffers}, (images.clone(),))  # type: ignore[no-any-return]


def gradients(
    scalar: Tensor, weights: Mapping[str, Tensor], *, create_graph: bool = False
) -> dict[str, Tensor]:
    """Return the gradient of `scalar` by each weight, zero where it does not depend on it."""
    if not (scalar.requires_grad and weights):
        return {name: torch.zeros_like(weight) for name, weight in weights.items()}
    by_weight = torch.autograd.grad(
        scalar,
        list(weights.values()),
        create_graph=create_graph,
        allow_unused=True,
        materialize_grads=True,
    )
    return dict(zip(weights, by_weight, strict=True))


def channels_last(tensor: Tensor) -> Tensor:
    """Return N x C x H x W in the memory format that CPUs convolve few channels fastest in.

    About 1.4 times faster for 16 channels. Of another shape it is a view.
    """
    if tensor.dim() == 4:
        return tensor.contiguous(memory_format=torch.channels_last)
    return tensor.view_as(tensor)


def rows(tensor: Tensor) -> Tensor:
    """Flatten all but the first dimension, in whatever order needs no copy.

    For sums over all features of two tensors in the same memory format, order is immaterial.
    """
    if tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last):
        tensor = tensor.permute(0, 2, 3, 1)
    return tensor.flatten(1)
