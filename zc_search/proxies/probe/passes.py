"""How a network is run without leaving a trace, and what one pass of it measures."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import cached_property, partial
from typing import Any, ClassVar, Generic, Self, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules import module as _module
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parameter import is_lazy
from torch.nn.utils.parametrize import is_parametrized

from zc_search.errors import ProxyError
from zc_search.proxies.probe.normalisation import batch_norm

WEIGHTED = (nn.Conv2d, nn.Linear)
NORMS = (_BatchNorm,)
_RECTIFIERS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.Hardswish)
_SMOOTH = (nn.GELU, nn.SiLU, nn.Mish, nn.ELU, nn.CELU, nn.SELU)
ACTIVATIONS = (*_RECTIFIERS, *_SMOOTH)
"""Activations that do different things on the two sides of zero."""

_FORWARDS = (nn.Conv2d.forward, nn.Linear.forward, _BatchNorm.forward, nn.SyncBatchNorm.forward)

M = TypeVar("M", bound=nn.Module)
T = TypeVar("T")

EntryObserver = Callable[[str, nn.Module, Tensor], Tensor | None]
Observer = Callable[[str, nn.Module, Tensor, Tensor], Tensor | None]
"""Called with a module's name, itself, its input and output; may return another output."""


# A network and its batch --------------------------------------------------------------------------


class Subject:
    """A network with the batch that it is measured on."""

    def __init__(
        self, network: nn.Module, images: Tensor, labels: Tensor, seed: int, *, training: bool
    ) -> None:
        self.network = network
        self.seed = seed
        self.training = training
        self._seen = False
        with torch.inference_mode(False):
            self.images = self._laid_out(images)
            self.labels = _normal(labels)

    @cached_property
    def parameters(self) -> dict[str, Tensor]:
        """All parameters by name, detached from the network's own, and requiring gradients."""
        with torch.inference_mode(False):
            return {
                name: self._laid_out(parameter.detach()).requires_grad_()
                for name, parameter in self.network.named_parameters()
            }

    def _laid_out(self, tensor: Tensor) -> Tensor:
        tensor = _normal(tensor)
        if tensor.dim() == 4:
            return tensor.contiguous(memory_format=self._memory_format)
        return tensor.view_as(tensor)

    @cached_property
    def _memory_format(self) -> torch.memory_format:
        return memory_format(self.network)

    @cached_property
    def constants(self) -> dict[str, Tensor]:
        """The parameters, of which no gradient is wanted."""
        return {name: parameter.detach() for name, parameter in self.parameters.items()}

    @cached_property
    def weights(self) -> dict[str, Tensor]:
        """The weights of convolutions and linear layers, by the name of their first layer."""
        return {layer: self.parameters[name] for layer, name in weight_names(self.network).items()}

    def require_seen(self) -> None:
        """Refuse a network of which a part cannot be seen."""
        if self._seen:
            return
        if _module._global_forward_hooks or _module._global_forward_pre_hooks:
            message = "torch has forward hooks for all modules, which may change what they return"
            raise ProxyError(f"{message}; remove them: register_module_forward_hook(...).remove()")
        for name, module in self.network.named_modules():
            if reason := hidden(module, self.images):
                what = f"module {name!r}" if name else f"the network, a {type(module).__name__},"
                raise ProxyError(f"{what} cannot be looked into: {reason}", given=name)
        self._seen = True

    @contextmanager
    def mode(self, *, graph: bool, training: bool = True) -> Iterator[None]:
        """Put modes, autograd and random state in a known state, and all back as it was."""
        before = [(module, module.training) for module in self.network.modules()]
        buffers = [(buffer, buffer.clone()) for buffer in self.network.buffers()]
        self.network.train(training)
        try:
            with (
                # What is made in inference mode cannot be differentiated later.
                torch.inference_mode(False),
                torch.set_grad_enabled(graph),
                torch.autocast(self.images.device.type, enabled=False),
                self._eager(),
                self.random(),
                accurate_norms(self.network) if self.images.device.type == "cpu" else nullcontext(),
            ):
                yield
        finally:
            for module, flag in before:
                module.training = flag
            # `call` keeps them out of the forward pass, but not out of a backward pass that runs
            # part of it again, as gradient checkpointing does.
            for buffer, copy in buffers:
                with torch.inference_mode(buffer.is_inference()), torch.no_grad():
                    buffer.copy_(copy)

    def _eager(self) -> AbstractContextManager[object]:
        """Let compiled modules run as they are written, since hooks are not seen otherwise."""
        for module in self.network.modules():
            if module._compiled_call_impl or type(module).__module__.startswith("torch._dynamo"):
                stance: AbstractContextManager[object] = torch.compiler.set_stance("force_eager")
                return stance
        return nullcontext()

    @contextmanager
    def random(self) -> Iterator[None]:
        """Seed the generators of the CPU and of the network's own GPUs."""
        tensors = (*self.network.parameters(), *self.network.buffers())
        gpus = sorted({t.device.index or 0 for t in tensors if t.device.type == "cuda"})
        with torch.random.fork_rng(gpus):
            # torch.manual_seed would seed all GPUs.
            torch.default_generator.manual_seed(self.seed)
            for gpu in gpus:
                torch.cuda.default_generators[gpu].manual_seed(self.seed)
            yield

    def call(self, parameters: Mapping[str, Tensor], images: Tensor) -> Tensor:
        """Return the network's output with other parameters and with buffers thrown away."""
        buffers = {name: buffer.clone() for name, buffer in self.network.named_buffers()}
        copy = images.clone()  # which some networks normalise in place
        output = functional_call(self.network, {**parameters, **buffers}, (copy,))
        if not isinstance(output, Tensor):
            raise _wrong_output(f"a {type(output).__name__}")
        return output


def _normal(tensor: Tensor) -> Tensor:
    """Return the tensor, or a copy if it was made in inference mode."""
    return tensor.clone() if tensor.is_inference() else tensor


def memory_format(network: nn.Module) -> torch.memory_format:
    """Return channels last, in which CPUs convolve few channels fastest, where that is safe.

    PyTorch 2.13 writes beyond the end of memory where it differentiates a channels-last convolution
    whose stride exceeds its kernel, which one outside of a module may do too.
    """
    layers = modules_of(network, (nn.Conv2d,)).values()
    of_layers = {id(weight) for layer in layers for weight in layer.parameters(recurse=False)}
    safe = all(
        k >= s for layer in layers for k, s in zip(layer.kernel_size, layer.stride, strict=True)
    )
    known = all(is_lazy(p) or p.dim() != 4 or id(p) in of_layers for p in network.parameters())
    return torch.channels_last if safe and known else torch.contiguous_format


def rows(tensor: Tensor) -> Tensor:
    """Flatten all but the first dimension, in whatever order needs no copy."""
    if tensor.dim() == 4 and tensor.is_contiguous(memory_format=torch.channels_last):
        tensor = tensor.permute(0, 2, 3, 1)
    return tensor.flatten(1)


# What may be measured at all ----------------------------------------------------------------------


def check_logits(logits: Tensor, labels: Tensor) -> None:
    """Refuse what no loss can be computed of: outputs of another shape, or too few of them."""
    if logits.dim() != 2 or len(logits) != len(labels):
        raise _wrong_output(f"a tensor of shape {tuple(logits.shape)} for {len(labels)} images")
    highest, classes = int(labels.max()), logits.shape[1]
    if highest >= classes:
        message = f"the network has {classes} outputs, but there is a label {highest}"
        raise ProxyError(message, given=highest)


def _wrong_output(given: str) -> ProxyError:
    message = f"the network returns {given}; Allowed: one tensor, images x classes"
    return ProxyError(message, given=given, allowed=("images x classes",))


def peculiarity(module: nn.Module) -> str | None:
    """Return why a layer's output is not what torch's own layer makes of its weight, if so."""
    kind = type(module)
    replaced = vars(module).get("forward")
    own = kind.forward in _FORWARDS and (replaced is None or _is_accurate(replaced))
    if isinstance(module, nn.Conv2d):
        own &= type(module)._conv_forward is nn.Conv2d._conv_forward
    if not own:
        return f"{kind.__name__} has a forward of its own"
    if is_parametrized(module) or "weight" not in module._parameters:
        return "its weight is computed"
    return None


def hidden(module: nn.Module, images: Tensor) -> str | None:
    """Return why what a module does to such images cannot be seen, or not rightly, if so."""
    kind, graph = type(module), getattr(module, "graph", None)
    if isinstance(module, torch.jit.ScriptModule):
        return "it is TorchScript; give the module that it was made from"
    nodes = graph.nodes if isinstance(graph, torch.fx.Graph) else ()
    if any(getattr(node.target, "namespace", "") == "aten" for node in nodes):
        return "torch.export made it; give the module that it was made from"
    if kind.__module__.startswith("torch.ao.") and ".quantized" in kind.__module__:
        return "it is quantised; give the module that it was made from"
    if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
        return "it runs the network in parts; give its .module"
    buffers = module.named_buffers(recurse=False) if isinstance(module, NORMS) else ()
    for name, tensor in (*module.named_parameters(recurse=False), *buffers):
        if is_lazy(tensor):
            return f"its {name} has no values yet; call the network once"
        if hasattr(tensor, "__tensor_flatten__"):
            return f"its {name} is a {type(tensor).__name__}, which torch's layers do not make"
        if tensor.device != images.device or tensor.is_meta:
            return f"its {name} is on the device {tensor.device}, the images on {images.device}"
        if tensor.is_floating_point() and tensor.dtype != images.dtype:
            there = f"its {name} is {tensor.dtype}, the images are {images.dtype}"
            return f"{there}: copy.deepcopy(network).float()"
    return None


def _is_accurate(forward: object) -> bool:
    return isinstance(forward, partial) and forward.func is batch_norm


@contextmanager
def accurate_norms(network: nn.Module) -> Iterator[None]:
    """Let batch normalisations whose forward is torch's own take `normalisation`'s."""
    norms = [
        norm
        for norm in modules_of(network, (nn.BatchNorm2d,)).values()
        if "forward" not in vars(norm) and not peculiarity(norm)
    ]
    try:
        for norm in norms:
            vars(norm)["forward"] = partial(batch_norm, norm)
        yield
    finally:
        for norm in norms:
            vars(norm).pop("forward", None)


def require_plain(name: str, module: nn.Module) -> None:
    """Refuse a layer that is peculiar."""
    if reason := peculiarity(module):
        raise ProxyError(f"layer {name!r} cannot be looked into: {reason}", given=name)


def require_rows(name: str, tensor: Tensor, images: int) -> None:
    """Refuse a layer that holds something else than the images in its first dimension."""
    count = len(tensor) if tensor.dim() else 0
    if count != images:
        raise ProxyError(f"layer {name!r} has {count} rows for {images} images", given=name)


def require_maps(name: str, maps: Tensor, images: Tensor) -> None:
    """Refuse maps whose channels come last, as far as the proportions of the images tell."""
    (_, first, second, third), (height, width) = maps.shape, images.shape[-2:]

    def alike(rows: int, columns: int) -> bool:  # up to a pixel
        return abs(rows * width - columns * height) <= max(height, width)

    if alike(first, second) and not alike(second, third):
        given = f"{first} x {second} x {third}"
        message = f"module {name!r} has maps of {given}, whose channels come last"
        raise ProxyError(f"{message}; Allowed: images x channels x height x width", given=given)


# Layers, hooks, gradients -------------------------------------------------------------------------


def modules_of(network: nn.Module, kinds: tuple[type[M], ...]) -> dict[str, M]:
    """Return the network's modules of these kinds by name, in network order."""
    return {name: m for name, m in network.named_modules() if isinstance(m, kinds)}


def weighted(network: nn.Module) -> dict[str, nn.Module]:
    """Return the network's convolutions and linear layers by name; refuse weights without any."""
    layers = modules_of(network, WEIGHTED)
    if layers or all(parameter.dim() < 2 for parameter in network.parameters()):
        return layers
    names = tuple(kind.__name__ for kind in WEIGHTED)
    message = "no layer of the network is a module with a weight to look at; Allowed: "
    raise ProxyError(message + ", ".join(names), allowed=names)


def weight_names(network: nn.Module) -> dict[str, str]:
    """Return the name of each convolution's and linear layer's weight, by its first layer."""
    parameters = {id(parameter): name for name, parameter in network.named_parameters()}
    layers: dict[str, str] = {}
    for layer, module in weighted(network).items():
        if id(module.weight) not in parameters:
            raise computed_weight(layer)
        layers.setdefault(parameters[id(module.weight)], layer)
    return {layer: name for name, layer in layers.items()}


def computed_weight(layer: str) -> ProxyError:
    """Return the refusal of a layer whose weight is made from others."""
    return ProxyError(f"the weight of layer {layer!r} is not a parameter of the network")


@contextmanager
def watched(modules: Mapping[str, nn.Module], observer: Observer) -> Iterator[None]:
    """Let `observer` see every call that maps a tensor to a tensor, before other hooks do."""

    def hook(name: str, module: nn.Module, inputs: Any, named: Any, output: Any) -> Tensor | None:
        given = next(iter((*inputs, *named.values())), None)
        if isinstance(given, Tensor) and isinstance(output, Tensor):
            return observer(name, module, given, output)
        return None

    with ExitStack() as handles:
        for name, module in modules.items():
            seeing = partial(hook, name)
            handle = module.register_forward_hook(seeing, prepend=True, with_kwargs=True)
            handles.callback(handle.remove)
        yield


@contextmanager
def entered(modules: Mapping[str, nn.Module], observer: EntryObserver) -> Iterator[None]:
    """Let `observer` see, and replace, the input of these modules before each call."""

    def hook(name: str, module: nn.Module, inputs: Any) -> Any:
        if not inputs or not isinstance(inputs[0], Tensor):
            return None
        replaced = observer(name, module, inputs[0])
        return None if replaced is None else (replaced, *inputs[1:])

    with ExitStack() as handles:
        for name, module in modules.items():
            handles.callback(module.register_forward_pre_hook(partial(hook, name)).remove)
        yield


def gradients(
    scalar: Tensor, weights: Mapping[str, Tensor], *, create_graph: bool = False
) -> dict[str, Tensor]:
    """Return the gradient of `scalar` by each weight, zero where it does not depend on it."""
    if not (scalar.requires_grad and weights):
        return {name: torch.zeros_like(weight) for name, weight in weights.items()}
    by_weight = torch.autograd.grad(
        scalar, list(weights.values()), create_graph=create_graph, materialize_grads=True
    )
    return dict(zip(weights, by_weight, strict=True))


# Measurements -------------------------------------------------------------------------------------


class Measurement(Generic[T]):
    """One thing to be measured of a subject; made anew for each pass that it takes part in.

    Attributes, keywords of a class: its cost, the time of it alone in plain passes forward and back
    of a network of NAS-Bench-201, and its family, whose members share passes.
    """

    cost: ClassVar[float]
    family: ClassVar[str | None] = None  # which has passes of its own

    def __init_subclass__(cls, **attributes: Any) -> None:
        super().__init_subclass__()
        for name, value in attributes.items():
            setattr(cls, name, value)

    def __init__(self, subject: Subject) -> None:
        self.subject = subject

    @classmethod
    def together(cls, subject: Subject, kinds: Mapping[str, type[Self]]) -> dict[str, Any]:
        """Measure several of a family in one pass; return the results by name."""
        return {name: kind(subject).measure() for name, kind in kinds.items()}

    def measure(self) -> T:
        """Return the result; of those without family."""
        raise NotImplementedError


class Shared(Measurement[T]):
    """A measurement of the shared pass.

    What its hooks on tensors know, such as `self`, must not hold on to the graph or the pass.
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
    """A pass while it runs."""

    images: Tensor
    logits: Tensor
    gradients: dict[str, Tensor]  # of the loss, by layer

    def __init__(self, subject: Subject, *, copying: bool) -> None:
        self.subject = subject
        self.copying = copying  # what the backward pass looks at, and the network may change
        self.backward = Backward()
        self.observers = ExitStack()

    def measure(self, kinds: Mapping[str, type[Shared[Any]]]) -> dict[str, Any]:
        """Run it; return the results, ``logits`` always among them."""
        subject = self.subject
        parts = {name: kind(subject) for name, kind in kinds.items()}
        of_loss = {name: part for name, part in parts.items() if part.of_loss}
        twice = any(part.twice for part in of_loss.values())
        # The other kernels of attention cannot be differentiated twice.
        attention = sdpa_kernel(SDPBackend.MATH) if twice else nullcontext()
        with subject.mode(training=subject.training, graph=True), attention:
            self.images = subject.images.detach()
            if any(part.by_image for part in parts.values()):
                self.images.requires_grad_()
            with self.observers:
                for part in reversed(parts.values()):  # who is installed last sees first
                    part.install(self)
                self.logits = subject.call(subject.parameters, self.images)
            measured: dict[str, Any] = {"logits": self.logits.detach()}
            # Before the loss's backward pass, which frees the graph.
            measured |= {n: p.result(self) for n, p in parts.items() if not p.of_loss}
            if of_loss:
                check_logits(self.logits, subject.labels)
                self.backward.collecting = True
                loss = F.cross_entropy(self.logits, subject.labels)
                self.gradients = gradients(loss, subject.weights, create_graph=twice)
                self.backward.collecting = False
                measured |= {name: part.result(self) for name, part in of_loss.items()}
        return measured

    def observe(self, modules: Mapping[str, nn.Module], observer: Observer) -> None:
        """Let `observer` see every call of these modules."""
        self.observers.enter_context(watched(modules, observer))
