"""Every built-in proxy a second time: slowly, in float64, each with passes of its own.

Written from the papers and from no line of the library, so that agreement means something. A
function takes a network, images and labels, and copies the network before it touches it.
"""

import copy
import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

Naive = Callable[[nn.Module, Tensor, Tensor], float]
LAYERS = (nn.Conv2d, nn.Linear)
ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.Hardswish, nn.GELU, nn.SiLU)


def double(network: nn.Module) -> nn.Module:
    return copy.deepcopy(network).double().train()


def layers(network: nn.Module) -> list[nn.Module]:
    return [m for m in network.modules() if isinstance(m, LAYERS)]


def loss(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    logits = network(images.double())
    picked = logits[torch.arange(len(labels)), labels]
    return (logits.exp().sum(1).log() - picked).mean()


def gradients(network: nn.Module, images: Tensor, labels: Tensor) -> list[Tensor]:
    """Return the loss gradient of each layer's weight in training mode, zero where unused."""
    network = double(network)
    loss(network, images, labels).backward()
    weights = [layer.weight for layer in layers(network)]
    return [torch.zeros_like(w) if w.grad is None else w.grad for w in weights]


def weights_and_gradients(
    network: nn.Module, images: Tensor, labels: Tensor
) -> Iterator[tuple[Tensor, Tensor]]:
    weights = (layer.weight.detach().double() for layer in layers(network))
    return zip(weights, gradients(network, images, labels), strict=True)


# From the loss ----------------------------------------------------------------------------------


def grad_norm(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    return sum(float((g**2).sum()) ** 0.5 for g in gradients(network, images, labels))


def snip(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    return sum(
        float((w * g).abs().sum()) for w, g in weights_and_gradients(network, images, labels)
    )


def plain(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    pairs = weights_and_gradients(network, images, labels)
    return sum(float((w * g).sum()) for w, g in pairs)


def half_squared_gradient(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    weights = [layer.weight for layer in layers(network)]
    found = torch.autograd.grad(
        loss(network, images, labels), weights, create_graph=True, allow_unused=True
    )
    return sum((g**2).sum() for g in found if g is not None) / 2


def grasp_terms(network: nn.Module, images: Tensor, labels: Tensor) -> list[Tensor]:
    """Return -w (H g) of each layer: H g is the gradient of half the squared gradient."""
    network = double(network)
    objective = half_squared_gradient(network, images, labels)
    if not objective.requires_grad:
        return [torch.zeros(())]
    objective.backward()
    pairs = ((layer.weight.detach(), layer.weight.grad) for layer in layers(network))
    return [-w * product for w, product in pairs if product is not None]


def grasp(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    return sum(float(term.sum()) for term in grasp_terms(network, images, labels))


def fisher(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    network = double(network)
    outputs: list[tuple[nn.Module, Tensor, list[Tensor]]] = []

    def keep(layer: nn.Module, _: object, output: Tensor) -> None:
        if output.requires_grad:
            outputs.append((layer, output.detach().clone(), []))
            output.register_hook(outputs[-1][2].append)

    for layer in layers(network):
        layer.register_forward_hook(keep)
    loss(network, images, labels).backward()
    total = 0.0
    for layer, a, gradient in outputs:
        if not gradient:
            continue
        product = (a * gradient[0]).movedim(-1 if isinstance(layer, nn.Linear) else 1, 1)
        saliency = product.numpy().reshape(*product.shape[:2], -1).sum(2)
        for channel in range(saliency.shape[1]):
            mean_square = np.mean(saliency[:, channel] ** 2)
            total += layer.weight[channel].numel() * mean_square / 2
    return total


def zico(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    half = len(images) // 2
    batches = [(images[:half], labels[:half]), (images[half : 2 * half], labels[half : 2 * half])]
    of_batches = [gradients(network, *batch) for batch in batches]
    total = 0.0
    for of_layer in zip(*of_batches, strict=True):
        stacked = np.stack([g.numpy().ravel() for g in of_layer])
        mean, deviation = np.abs(stacked).mean(0), stacked.std(0)
        ratio = mean[deviation > 0] / deviation[deviation > 0]
        if ratio.sum() > 0:
            total += math.log(ratio.sum())
    return total


# From patterns and Jacobians --------------------------------------------------------------------


def codes(network: nn.Module, images: Tensor, kinds: tuple[type, ...], side: str) -> np.ndarray:
    """Return images x units: whether each input or output of these modules is positive."""
    network = double(network)
    seen = [np.zeros((len(images), 0), dtype=bool)]

    def keep(_: nn.Module, given: tuple[Tensor], output: Tensor) -> None:
        values = given[0] if side == "input" else output
        seen.append((values.detach().reshape(len(images), -1) > 0).numpy())

    for module in network.modules():
        if isinstance(module, kinds):
            module.register_forward_hook(keep)
    network(images.double())
    return np.concatenate(seen, axis=1)


def agreement(bits: np.ndarray) -> np.ndarray:
    return np.array([[float(np.sum(a == b)) for b in bits] for a in bits])


def relu_agreement(network: nn.Module, images: Tensor) -> np.ndarray:
    return agreement(codes(network, images, ACTIVATIONS, "input"))


def layer_agreement(network: nn.Module, images: Tensor) -> np.ndarray:
    return agreement(codes(network, images, LAYERS, "output"))


def naswot_relu(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    return float(np.linalg.slogdet(relu_agreement(network, images))[1])


def naswot(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    return float(np.linalg.slogdet(layer_agreement(network, images))[1])


def jacov(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    images = images.double().requires_grad_()
    double(network)(images).sum().backward()
    if images.grad is None:
        return math.nan
    jacobian = images.grad.reshape(len(images), -1).numpy()
    if (jacobian.std(1) == 0).any():
        return math.nan
    eigenvalues = np.linalg.eigvalsh(np.corrcoef(jacobian))
    return float(-np.sum(np.log(eigenvalues + 1e-5) + 1 / (eigenvalues + 1e-5)))


def tangent_kernel(network: nn.Module, images: Tensor) -> np.ndarray:
    """Return the Gram matrix of per-image gradients with the batch's statistics as constants."""
    jacobian = image_gradients(network, images, (nn.Conv2d, nn.Linear, nn.BatchNorm2d))
    return jacobian @ jacobian.T


def image_gradients(
    network: nn.Module,
    images: Tensor,
    kinds: tuple[type[nn.Module], ...],
    labels: Tensor | None = None,
) -> np.ndarray:
    """Return a row an image: the gradient of its summed logits, or of its loss, by the weights.

    The statistics of each normalisation become its running ones; in evaluation mode one image
    then passes through alone.
    """
    network = double(network)

    def note(norm: nn.BatchNorm2d, given: tuple[Tensor]) -> None:
        values = given[0].detach().transpose(0, 1).flatten(1)
        statistics.append((norm, values.mean(1), values.var(1, correction=0)))

    statistics: list[tuple[nn.BatchNorm2d, Tensor, Tensor]] = []
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    handles = [norm.register_forward_pre_hook(note) for norm in norms]
    network(images.double())
    for handle in handles:
        handle.remove()
    network.eval()
    for norm, mean, variance in statistics:
        norm.running_mean, norm.running_var = mean, variance
    weights = [w for n, w in network.named_parameters() if n.endswith("weight")]
    of_kinds = {id(m.weight) for m in network.modules() if isinstance(m, kinds)}
    weights = [w for w in weights if id(w) in of_kinds]
    rows = []
    for i in range(len(images)):
        logits = network(images[i : i + 1].double())
        scalar = logits.sum() if labels is None else F.cross_entropy(logits, labels[i : i + 1])
        found = torch.autograd.grad(scalar, weights, allow_unused=True)
        of_image = [
            torch.zeros_like(w) if g is None else g for w, g in zip(weights, found, strict=True)
        ]
        rows.append(np.concatenate([g.numpy().ravel() for g in of_image]))
    return np.stack(rows)


def tenas(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    eigenvalues = np.linalg.eigvalsh(tangent_kernel(network, images))
    if eigenvalues[0] <= len(images) * np.finfo(float).eps * eigenvalues[-1]:
        return -math.inf
    bits = codes(network, images, ACTIVATIONS, "input")
    return float(len({row.tobytes() for row in bits}) - eigenvalues[-1] / eigenvalues[0])


# Without images ---------------------------------------------------------------------------------


def without_normalisation(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            setattr(module, name, nn.Sequential(*child.children()))  # an activation inside stays
        else:
            without_normalisation(child)


def synflow(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    network = double(network)
    without_normalisation(network)
    for parameter in network.parameters():
        parameter.data = parameter.data.abs()
    network(torch.ones(1, *images.shape[1:], dtype=torch.float64)).sum().backward()
    flow = sum(
        float((layer.weight.detach() * layer.weight.grad).abs().sum())
        for layer in layers(network)
        if layer.weight.grad is not None
    )
    return math.log(flow) if flow else -math.inf


def l2_norm(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    return sum(float(np.linalg.norm(w.weight.detach().double().ravel())) for w in layers(network))


def params(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    return sum(math.prod(parameter.shape) for parameter in network.parameters()) / 1e6


def flops(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Count what runs; a network with dead edges also has multiply-adds that do not."""
    network = copy.deepcopy(network).eval()
    total = 0

    def add(layer: nn.Module, _: object, output: Tensor) -> None:
        nonlocal total
        if isinstance(layer, nn.Linear):
            total += output[0].numel() * layer.in_features
        else:
            one_value = math.prod(layer.kernel_size) * layer.in_channels // layer.groups
            total += math.prod(output.shape[1:]) * one_value

    for layer in layers(network):
        layer.register_forward_hook(add)
    network(images[:1])
    return total / 1e6


NAIVE: dict[str, Naive] = {
    "grad_norm": grad_norm,
    "snip": snip,
    "grasp": grasp,
    "fisher": fisher,
    "plain": plain,
    "l2_norm": l2_norm,
    "naswot": naswot,
    "naswot_relu": naswot_relu,
    "tenas": tenas,
    "zico": zico,
    "synflow": synflow,
    "jacov": jacov,
    "params": params,
    "flops": flops,
}
