"""More proxies a second time: slowly, in float64, from the papers and from no line of the library.

A function takes a network, images and labels, and copies the network before it touches it. What
a proxy draws is drawn here by the recipe that its documentation gives.
"""

import copy
import zlib
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from naive_proxies import ACTIVATIONS, LAYERS, without_normalisation
from torch import Tensor, nn

Naive = Callable[[nn.Module, Tensor, Tensor], float]


def double(network: nn.Module) -> nn.Module:
    return copy.deepcopy(network).double().train()


def jacobian(network: nn.Module, images: Tensor) -> np.ndarray:
    pixels = images.double().requires_grad_()
    double(network)(pixels).sum().backward()
    assert pixels.grad is not None
    return pixels.grad.flatten(1).numpy()


def outputs(
    network: nn.Module, images: Tensor, kinds: tuple[type[nn.Module], ...] | None = None
) -> list[tuple[str, nn.Module, np.ndarray, np.ndarray]]:
    """Return name, module, input and output of every call in training mode."""
    network, calls = double(network), []
    for name, module in network.named_modules():
        if kinds is None or isinstance(module, kinds):

            def keep(m: nn.Module, x: tuple[Tensor], y: Tensor, name: str = name) -> None:
                calls.append((name, m, x[0].detach().numpy(), y.detach().numpy().copy()))

            module.register_forward_hook(keep)
    network(images.double())
    return calls


def frozen(network: nn.Module, images: Tensor) -> nn.Module:
    """Return the network in evaluation mode, with these images' statistics as the running ones."""
    network = double(network)
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d):

            def keep(norm: nn.Module, x: tuple[Tensor], _: Tensor) -> None:
                norm.kept = x[0].mean((0, 2, 3)), x[0].var((0, 2, 3), correction=0)

            norm.register_forward_hook(keep)
    with torch.no_grad():
        network(images.double())
    for norm in network.modules():
        if isinstance(norm, nn.BatchNorm2d) and hasattr(norm, "kept"):
            norm._forward_hooks.clear()
            norm.running_mean, norm.running_var = norm.kept
    return network.eval()


def image_gradients(
    network: nn.Module, scalar: Tensor, kinds: tuple[type[nn.Module], ...]
) -> list[np.ndarray]:
    weights = [m.weight for m in network.modules() if isinstance(m, kinds)]
    found = torch.autograd.grad(scalar, weights, allow_unused=True, retain_graph=True)
    return [
        (torch.zeros_like(w) if g is None else g).numpy().ravel()
        for w, g in zip(weights, found, strict=True)
    ]


# Jacobian and kernel ----------------------------------------------------------------------------


def epe_nas(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    rows, classes = jacobian(network, images), network(images).shape[1]
    scores = []
    for label in np.unique(labels):
        mine = rows[labels.numpy() == label]
        if classes > 100 and len(mine) == 1:  # which published code cannot divide by its length
            continue
        terms = np.log(np.abs(np.atleast_2d(np.corrcoef(mine))) + 1e-5).sum()
        scores.append(terms / len(mine) if classes > 100 else terms)
    if classes <= 100:
        return float(np.abs(scores).sum())
    return sum(abs(a - b) for a in scores for b in scores) / len(scores)


def ntk(network: nn.Module, images: Tensor, _: Tensor) -> float:
    network = frozen(network, images)
    rows = [
        np.concatenate(image_gradients(network, network(x[None]).sum(), (*LAYERS, nn.BatchNorm2d)))
        for x in images.double()
    ]
    eigenvalues = np.linalg.eigvalsh(np.array(rows) @ np.array(rows).T)
    return -float(eigenvalues[-1] / eigenvalues[0])


def gradsign(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    network, signs = frozen(network, images), 0
    for x, label in zip(images.double(), labels, strict=True):
        loss = F.cross_entropy(network(x[None]), label[None])
        signs = signs + np.sign(np.concatenate(image_gradients(network, loss, LAYERS)))
    return float(np.abs(signs).sum())


def vkdnw_entropy(network: nn.Module, images: Tensor, _: Tensor) -> float:
    classes = network(images).shape[1]
    images = images[: max(2, 128 // classes)].double()
    network = frozen(network, images)
    fisher = 0
    for x in images:
        logits = network(x[None])[0]
        rows = [[g[0] for g in image_gradients(network, logit, LAYERS)] for logit in logits]
        p = 0.95 * logits.softmax(0).detach().numpy() + 0.05 / classes
        fisher = fisher + np.array(rows).T @ (np.diag(p) - np.outer(p, p)) @ np.array(rows)
    alive = [i for i, taking_part in enumerate(reachable(network, images)) if taking_part]
    eigenvalues = np.linalg.eigvalsh((fisher / len(images))[np.ix_(alive, alive)]).clip(0)
    deciles = np.quantile(eigenvalues, np.arange(1, 10) / 10)
    shares = deciles / deciles.sum()
    return -float(sum(q * np.log(q) for q in shares if q > 0))


def reachable(network: nn.Module, images: Tensor) -> list[bool]:
    weights = [m.weight for m in network.modules() if isinstance(m, LAYERS)]
    found = torch.autograd.grad(network(images).sum(), weights, allow_unused=True)
    return [g is not None and bool(g.abs().max() > 0) for g in found]


def layers(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    network = double(network)
    F.cross_entropy(network(images.double()), labels).backward()
    weights = [m.weight.grad for m in network.modules() if isinstance(m, LAYERS)]
    return sum(g is not None and bool(g.abs().max() > 0) for g in weights)


# Patterns ---------------------------------------------------------------------------------------


def bits(network: nn.Module, images: Tensor) -> np.ndarray:
    calls = outputs(network, images, ACTIVATIONS)
    return np.concatenate([x.reshape(len(x), -1) > 0 for _, _, x, _ in calls], 1)


def nwot(network: nn.Module, images: Tensor, _: Tensor) -> float:
    codes = bits(network, images).astype(float)
    return float(np.linalg.slogdet(codes @ codes.T + (1 - codes) @ (1 - codes).T)[1])


def linear_regions(network: nn.Module, images: Tensor, _: Tensor) -> float:
    return len(np.unique(bits(network, images), axis=0))


def wrcor(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    network = double(network).train()
    order = list(network.modules())
    blocks = primary_blocks(network)
    kernel = np.zeros((len(images), len(images)))
    seen: list[tuple[Tensor, int]] = []

    def note(module: nn.Module, given: tuple[Tensor]) -> tuple[Tensor]:
        before = sum(order.index(block) < order.index(module) for block in blocks)
        inside = any(module in block.modules() for block in blocks)
        own = given[0].clone()  # so that its gradient is of this use alone
        seen.append((own, before - inside))
        if own.requires_grad:
            own.retain_grad()
        return (own,)

    for module in network.modules():
        if isinstance(module, ACTIVATIONS):
            module.inplace = False
            module.register_forward_pre_hook(note)
    inputs = images.double().requires_grad_()
    nn.functional.cross_entropy(network(inputs), labels).backward()
    for values, depth in seen:
        for rows in (
            values.detach(),
            values.grad if values.requires_grad else torch.zeros_like(values),
        ):
            with np.errstate(invalid="ignore"):
                correlations = np.corrcoef(rows.reshape(len(images), -1).numpy())
            if np.isfinite(correlations).all():
                kernel += 2.0**depth * np.abs(correlations)
    return float(np.linalg.slogdet(kernel)[1])


def swap(network: nn.Module, images: Tensor, _: Tensor) -> float:
    return len(np.unique(bits(network, images).T, axis=0))


def reg_swap(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    millions = sum(p.numel() for p in network.parameters()) / 1e6
    return swap(network, images, labels) * float(np.exp(-((millions - 1.5) ** 2)))


def t_cet(network: nn.Module, images: Tensor, _: Tensor) -> float:
    flow, total = synaptic_flow(network, images), 0.0
    for name, _, _, output in outputs(network, images, LAYERS):
        codes = (output.reshape(len(output), -1) > 0).astype(float)
        agreement = codes @ codes.T + (1 - codes) @ (1 - codes).T
        if np.linalg.matrix_rank(agreement) == len(agreement):
            spread = flow[name].std(ddof=1)
            total += np.linalg.slogdet(agreement)[1] * flow[name].sum() / (spread or 1)
    return total


def synaptic_flow(network: nn.Module, images: Tensor) -> dict[str, np.ndarray]:
    network = double(network)
    without_normalisation(network)
    for parameter in network.parameters():
        parameter.data.abs_()
    network(torch.ones_like(images[:1], dtype=torch.float64)).sum().backward()
    return {
        name: np.zeros(m.weight.numel())
        if m.weight.grad is None
        else (m.weight * m.weight.grad).detach().abs().numpy().ravel()
        for name, m in network.named_modules()
        if isinstance(m, LAYERS)
    }


def near(network: nn.Module, images: Tensor, _: Tensor) -> float:
    total = 0.0
    for _name, module, _given, y in outputs(network, images):
        known = isinstance(getattr(module, "weight", None), Tensor) or isinstance(
            module,
            nn.ReLU | nn.ReLU6 | nn.LeakyReLU | nn.GELU | nn.SiLU | nn.Hardswish | nn.Sigmoid,
        )
        if not known or list(module.children()):
            continue
        if y.ndim == 4:  # image by image, column by column, each position a row
            y = np.array(
                [
                    y[n, :, i, j]
                    for n in range(len(y))
                    for j in range(y.shape[3])
                    for i in range(y.shape[2])
                ]
            )
        y = y.reshape(-1, y.shape[-1])[: y.shape[-1]]
        singular = np.linalg.svd(y, compute_uv=False)
        shares = [s / singular.sum() for s in singular if s > 0]
        total += float(np.exp(-sum(p * np.log(p) for p in shares))) if shares else 0.0
    return total


# One image ---------------------------------------------------------------------------------------


def dextr_svd(network: nn.Module, images: Tensor, _: Tensor) -> float:
    total = 0.0
    for _name, module, _given, y in outputs(network, images[:1]):
        if not list(module.children()) and y.ndim == 4 and y[0, 0].size > 1:
            singular = np.linalg.svd(y[0].reshape(len(y[0]), -1), compute_uv=False)
            total += singular.min() / singular.max() if singular.max() else 0
    return float(np.log1p(total))


def dextr_curvature(network: nn.Module, images: Tensor, _: Tensor) -> float:
    """Differentiate each output twice, backwards, as published code does."""
    random = torch.Generator().manual_seed(0)
    u, w = (torch.randn(images[0].shape, generator=random).double() for _ in range(2))
    u = u / u.norm()
    w = w - (u * w).sum() * u
    w = w / w.norm()
    angle = torch.zeros((), dtype=torch.float64, requires_grad=True)
    v, a = [], []
    outputs = double(network)((u * angle.cos() + w * angle.sin())[None])[0]
    for logit in outputs[torch.randperm(len(outputs), generator=random)[:10]]:
        (first,) = torch.autograd.grad(logit, angle, create_graph=True, retain_graph=True)
        (second,) = torch.autograd.grad(first, angle, retain_graph=True)
        v.append(float(first.detach()))
        a.append(float(second))
    speed, across = np.linalg.norm(v), np.linalg.norm(np.outer(v, a) - np.outer(a, v)) / 2**0.5
    return float(np.log1p(across / speed**3)) if speed else float("nan")


def dextr(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    a, b = dextr_svd(network, images, labels), dextr_curvature(network, images, labels)
    return a * b / (a + b)


# Feature maps -----------------------------------------------------------------------------------


def smallest_eigenvalue(maps: np.ndarray) -> float:
    with np.errstate(invalid="ignore", divide="ignore"):
        correlations = np.nan_to_num(np.atleast_2d(np.corrcoef(maps.reshape(len(maps), -1))))
    return float(np.linalg.eigvalsh(correlations)[0])


def maps_of_layers(network: nn.Module, images: Tensor) -> list[np.ndarray]:
    return [
        y[0]
        for _, module, _, y in outputs(network, images)
        if not list(module.children())
        and not isinstance(module, nn.BatchNorm2d)
        and y.ndim == 4
        and y[0, 0].size > 1
    ]


def meco(network: nn.Module, images: Tensor, _: Tensor) -> float:
    return sum(smallest_eigenvalue(maps) for maps in maps_of_layers(network, images))


def meco_opt(network: nn.Module, images: Tensor, _: Tensor) -> float:
    total = 0.0
    for maps in maps_of_layers(network, images):
        random = torch.Generator().manual_seed(0)
        chosen = torch.randperm(len(maps), generator=random)[:8].numpy()
        total += len(maps) / len(chosen) * smallest_eigenvalue(maps[chosen])
    return total


def zen(network: nn.Module, images: Tensor, _: Tensor) -> float:
    network, scales, last = double(network), [], []
    for name, module in network.named_modules():
        if isinstance(module, LAYERS):
            random = torch.Generator().manual_seed(zlib.crc32(f"0:{name}".encode()))
            module.weight.data = torch.randn(
                module.weight.shape, generator=random, dtype=torch.float32
            ).double()
            if module.bias is not None:
                module.bias.data.zero_()
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
            module.register_forward_hook(
                lambda _, x, __: scales.append(x[0].var((0, 2, 3), correction=0).mean())
            )
        module.register_forward_hook(
            lambda _, __, y: last.append(y) if y.dim() == 4 and y[0, 0].numel() > 1 else None
        )
    random = torch.Generator().manual_seed(0)
    x, e = (torch.randn(images.shape, generator=random).double() for _ in range(2))
    network(x)
    before, log_scale = last[-1], sum(s.log() / 2 for s in scales if s > 0)
    network(x + 0.01 * e)
    difference = (last[-1] - before).abs().sum((1, 2, 3)).mean()
    return (difference.log() + log_scale).item()


# Blocks -----------------------------------------------------------------------------------------


def primary_blocks(network: nn.Module) -> list[nn.Module]:
    """Return cells; else modules made of modules, outside of lists; else convolutions."""
    if hasattr(network, "cells"):
        return list(network.cells)

    def outermost(module: nn.Module) -> list[nn.Module]:
        found = []
        for child in module.children():
            if isinstance(child, nn.Sequential | nn.ModuleList):
                found += outermost(child)
            elif list(child.children()):
                found.append(child)
        return found

    return outermost(network) or [m for m in network.modules() if isinstance(m, nn.Conv2d)]


def block_features(network: nn.Module, images: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Return what goes into each primary block and what comes out, maps both, with the graph."""
    network, features = double(network), []

    def keep(_: nn.Module, given: tuple[Tensor], output: Tensor) -> None:
        if given[0].dim() == output.dim() == 4:
            features.append((given[0], output))

    for block in primary_blocks(network):
        block.register_forward_hook(keep)
    network(images.double().requires_grad_())
    return features


def entropies(network: nn.Module, images: Tensor) -> np.ndarray:
    found = []
    features = block_features(network, images)
    for maps in (features[0][0], *(after for _, after in features)):
        rows = maps.detach().permute(1, 0, 2, 3).flatten(1).numpy()
        eigenvalues = np.linalg.eigvalsh(np.cov(rows, bias=True)).clip(0)
        with np.errstate(invalid="ignore"):
            shares = eigenvalues / eigenvalues.sum()
        found.append(-(shares * np.log(shares + 1e-8)).sum())
    return np.array(found)


def az_expressivity(network: nn.Module, images: Tensor, _: Tensor) -> float:
    return float(entropies(network, images).sum())


def az_progressivity(network: nn.Module, images: Tensor, _: Tensor) -> float:
    return float(np.diff(entropies(network, images)).min())


def az_trainability(network: nn.Module, images: Tensor, _: Tensor) -> float:
    features = block_features(network, images)
    random, drawn, scores = torch.Generator().manual_seed(0), {}, []
    for before, after in features:
        if after.shape not in drawn:
            drawn[after.shape] = torch.empty(after.shape).bernoulli_(generator=random) * 2 - 1
        signs = drawn[after.shape].double()
        back = torch.zeros_like(before)
        if after.requires_grad:
            (back,) = torch.autograd.grad(after, before, signs, retain_graph=True)
        if back.shape == signs.shape and torch.equal(back, signs):
            return -np.inf
        matrix, (height, width) = 0, after.shape[2:]
        step = before.shape[2] // height
        for n in range(len(images)):
            for i in range(height):
                for j in range(width):
                    patch = back[n, :, i * step : (i + 1) * step, j * step : (j + 1) * step]
                    matrix = matrix + np.outer(patch.flatten(), signs[n, :, i, j])
        norm = np.linalg.svd(matrix / (len(images) * height * width), compute_uv=False)[0]
        scores.append(2 - norm - 1 / (norm + 1e-6))
    return float(np.mean(scores))


NAIVE: dict[str, Naive] = {
    f.__name__: f
    for f in (
        nwot,
        ntk,
        linear_regions,
        t_cet,
        epe_nas,
        gradsign,
        zen,
        wrcor,
        swap,
        reg_swap,
        meco,
        meco_opt,
        dextr,
        dextr_svd,
        dextr_curvature,
        near,
        az_expressivity,
        az_progressivity,
        az_trainability,
        vkdnw_entropy,
        layers,
    )
}
