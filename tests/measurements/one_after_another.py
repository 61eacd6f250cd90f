"""The proxies as the field's code runs them: a deep copy of the network and passes for each.

float32, PyTorch's default memory format, hooks that hand their results to NumPy layer by layer.
The formulas are those of the library, so that both sides can be compared; the passes are not.
"""

import copy
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

Scorer = Callable[[nn.Module, Tensor, Tensor], float]


def _weights(network: nn.Module) -> list[nn.Parameter]:
    return [m.weight for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]


def _backward(network: nn.Module, images: Tensor, labels: Tensor) -> nn.Module:
    network = copy.deepcopy(network).train()
    network.zero_grad()
    F.cross_entropy(network(images), labels).backward()
    return network


def _with_gradients(network: nn.Module) -> list[tuple[Tensor, Tensor]]:
    return [(w.detach(), w.grad) for w in _weights(network) if w.grad is not None]


def plain_pass(network: nn.Module, images: Tensor, labels: Tensor) -> None:
    """One forward and backward without any proxy: the limit to measure against."""
    network.train()
    network.zero_grad()
    F.cross_entropy(network(images), labels).backward()


def grad_norm(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    return sum(float(g.norm()) for _, g in _with_gradients(_backward(network, images, labels)))


def snip(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    pairs = _with_gradients(_backward(network, images, labels))
    return sum(float((w * g).abs().sum()) for w, g in pairs)


def plain(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    pairs = _with_gradients(_backward(network, images, labels))
    return sum(float((w * g).sum()) for w, g in pairs)


def grasp(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    network = copy.deepcopy(network).train()
    weights = _weights(network)
    first = torch.autograd.grad(F.cross_entropy(network(images), labels), weights)
    second = torch.autograd.grad(
        F.cross_entropy(network(images), labels), weights, create_graph=True
    )
    sum((a * b).sum() for a, b in zip(first, second, strict=True)).backward()
    return -sum(float((w.detach() * w.grad).sum()) for w in weights)


def fisher(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    network = copy.deepcopy(network).train()
    total = 0.0

    def forward_hook(layer: nn.Module, _: object, output: Tensor) -> None:
        activation = output.detach()

        def backward_hook(gradient: Tensor) -> None:
            nonlocal total
            product = activation * gradient
            summed = product.sum((2, 3)) if product.dim() == 4 else product
            total += float(summed.square().mean(0).sum()) / 2 * layer.weight[0].numel()

        output.register_hook(backward_hook)

    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(forward_hook)
    F.cross_entropy(network(images), labels).backward()
    return total


def l2_norm(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    return sum(float(w.detach().norm()) for w in _weights(copy.deepcopy(network)))


def _log_determinant(
    network: nn.Module, images: Tensor, kinds: type | tuple[type, ...], of_input: bool
) -> float:
    network = copy.deepcopy(network).train()
    kernel = np.zeros((len(images), len(images)))

    def hook(_: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal kernel
        values = (given[0] if of_input else output).reshape(len(images), -1)
        bits = (values > 0).float()
        kernel = kernel + (bits @ bits.T).numpy() + ((1 - bits) @ (1 - bits.T)).numpy()

    for module in network.modules():
        if isinstance(module, kinds):
            module.register_forward_hook(hook)
    with torch.no_grad():
        network(images)
    return float(np.linalg.slogdet(kernel)[1])


def naswot(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    return _log_determinant(network, images, (nn.Conv2d, nn.Linear), of_input=False)


def naswot_relu(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    return _log_determinant(network, images, nn.ReLU, of_input=True)


def zico(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    half = len(images) // 2
    batches = [
        [g for _, g in _with_gradients(_backward(network, images[part], labels[part]))]
        for part in (slice(half), slice(half, 2 * half))
    ]
    total = 0.0
    for layer in zip(*batches, strict=True):
        stacked = np.stack([g.numpy().reshape(-1) for g in layer])
        deviation = stacked.std(0)
        used = deviation > 0
        ratio = np.abs(stacked).mean(0)[used] / deviation[used]
        total += float(np.log(ratio.sum())) if ratio.sum() > 0 else 0.0
    return total


def tenas(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """One backward pass an image; its value differs, as batch statistics are differentiated too."""
    network = copy.deepcopy(network).train()
    logits = network(images)
    rows = []
    for i in range(len(images)):
        network.zero_grad()
        logits[i].sum().backward(retain_graph=True)
        gradients = (p.grad for name, p in network.named_parameters() if "weight" in name)
        rows.append(torch.cat([g.reshape(-1) for g in gradients if g is not None]))
    eigenvalues = torch.linalg.eigvalsh(torch.stack(rows) @ torch.stack(rows).T)
    return float(len(images) - eigenvalues[-1] / eigenvalues[0])


NINE: dict[str, Scorer] = {
    f.__name__: f
    for f in (grad_norm, snip, grasp, fisher, plain, l2_norm, naswot, naswot_relu, zico)
}
