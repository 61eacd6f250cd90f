"""Feature maps on their way through the network: correlations, spectra, Jacobians."""

from typing import Generic, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from zc_search.proxies.probe import passes
from zc_search.proxies.probe.shared_pass import Shared, SharedPass

_SAMPLE = 8  # channels, as in MeCo_opt
_CONTAINERS = (nn.Sequential, nn.ModuleList)


class SmallestEigenvalues(Shared[Tensor]):
    """Of the correlations between channels for the first image, of each layer with maps.

    A channel is a vector of H x W values; one that is constant correlates with nothing, not even
    with itself, so that its eigenvalue is 0.
    """

    cost = 0.4

    def install(self, run: SharedPass) -> None:
        self._matrices: list[Tensor] = []
        self._factors: list[float] = []
        # A normalisation repeats the correlations of its input.
        makers = {
            name: module
            for name, module in run.subject.network.named_modules()
            if next(module.children(), None) is None and not isinstance(module, passes.NORMS)
        }
        run.observe(makers, self._observe)

    def _observe(self, _: str, __: nn.Module, ___: Tensor, output: Tensor) -> None:
        if output.dim() == 4 and output[0, 0].numel() > 1:
            self._add(output[0].detach().flatten(1))

    def _add(self, maps: Tensor) -> None:
        # Centred channels span positions - 1 dimensions; with more channels the eigenvalue is 0,
        # which a single 0 has too.
        width, positions = maps.shape
        regular = width < positions
        self._matrices.append(_correlations(maps) if regular else maps.new_zeros(1, 1))

    def result(self, run: SharedPass) -> Tensor:
        return _smallest_eigenvalues(self._matrices)


class SampledEigenvalues(SmallestEigenvalues):
    """The same from a sample of 8 channels a layer, each times channels / 8.

    The sample is the same for layers of one width.
    """

    cost = 0.3

    def _add(self, maps: Tensor) -> None:
        generator = torch.Generator().manual_seed(self.subject.seed)
        chosen = torch.randperm(len(maps), generator=generator)[:_SAMPLE].to(maps.device)
        self._matrices.append(_correlations(maps[chosen]))
        self._factors.append(len(maps) / len(chosen))

    def result(self, run: SharedPass) -> Tensor:
        smallest = super().result(run)
        return smallest * torch.tensor(self._factors).to(smallest)


def _smallest_eigenvalues(matrices: list[Tensor]) -> Tensor:
    smallest = matrices[0].new_zeros(len(matrices)) if matrices else torch.zeros(0)
    for size in {len(matrix) for matrix in matrices}:
        indices = [i for i, matrix in enumerate(matrices) if len(matrix) == size]
        together = torch.stack([matrices[i] for i in indices])
        smallest[indices] = torch.linalg.eigvalsh(together)[:, 0]
    return smallest


def _correlations(maps: Tensor) -> Tensor:
    matrix = torch.corrcoef(maps).reshape(len(maps), len(maps))
    return torch.nan_to_num(matrix, nan=0.0)


B = TypeVar("B")


class _OfBlocks(Shared[Tensor], Generic[B]):
    """Looks at the maps before each primary block, which may change them, and after it."""

    def install(self, run: SharedPass) -> None:
        self._begun: dict[str, B] = {}
        blocks = primary_blocks(run.subject.network)
        run.observers.enter_context(passes.entered(blocks, self._enter))
        run.observe(blocks, self._leave)

    def _enter(self, name: str, _: nn.Module, given: Tensor) -> None:
        if given.dim() == 4:
            self._begun[name] = self.begin(given)

    def _leave(self, name: str, _: nn.Module, __: Tensor, output: Tensor) -> None:
        if name in self._begun:
            begun = self._begun.pop(name)
            if output.dim() == 4:
                self.end(begun, output)

    def begin(self, given: Tensor) -> B:
        raise NotImplementedError

    def end(self, begun: B, output: Tensor) -> None:
        raise NotImplementedError


class BlockEntropies(_OfBlocks[list[Tensor]]):
    """Entropy of the spectrum of the features before and after each block, blocks + 1; float64."""

    cost = 0.3

    def install(self, run: SharedPass) -> None:
        super().install(run)
        self._entropies: list[Tensor] = []

    def begin(self, given: Tensor) -> list[Tensor]:
        return [] if self._entropies else [_spectral_entropy(given.detach())]

    def end(self, begun: list[Tensor], output: Tensor) -> None:
        self._entropies += [*begun, _spectral_entropy(output.detach())]

    def result(self, run: SharedPass) -> Tensor:
        return torch.stack(self._entropies) if self._entropies else torch.zeros(0)


# Where a block begins or ends in the graph, whatever later becomes of the tensor there.
_End = tuple[torch.Size, GradientEdge | None]


def _end(tensor: Tensor) -> _End:
    return tensor.shape, get_gradient_edge(tensor) if tensor.requires_grad else None


class BlockJacobianNorms(_OfBlocks[_End]):
    """Estimated spectral norm of each block's Jacobian; inf if it hands its input on; float64."""

    cost = 0.6
    by_image = True

    def install(self, run: SharedPass) -> None:
        super().install(run)
        self._generator = torch.Generator().manual_seed(run.subject.seed)
        self._ends: list[tuple[_End, _End]] = []
        self._signs: dict[torch.Size, Tensor] = {}

    def begin(self, given: Tensor) -> _End:
        return _end(given)

    def end(self, begun: _End, output: Tensor) -> None:
        self._ends.append((begun, _end(output)))
        self._like = output.new_empty(0)

    def result(self, run: SharedPass) -> Tensor:
        norms = [self._jacobian_norm(*ends) for ends in self._ends]
        self._ends.clear()
        return torch.stack(norms) if norms else torch.zeros(0)

    def _jacobian_norm(self, given: _End, output: _End) -> Tensor:
        (before, given_edge), (after, output_edge) = given, output
        if after not in self._signs:  # blocks of one shape share them: drawing takes time
            signs = torch.empty(after).bernoulli_(generator=self._generator).mul_(2).sub_(1)
            self._signs[after] = signs.to(self._like, memory_format=torch.channels_last)
        signs = self._signs[after]
        back = None
        if output_edge is not None and given_edge is not None:
            (back,) = torch.autograd.grad(
                output_edge, given_edge, signs, retain_graph=True, allow_unused=True
            )
        if back is None:
            back = signs.new_zeros(before)
        matrix = _channels_last(_folded(back, after)).T @ _channels_last(signs)
        norm: Tensor = torch.linalg.matrix_norm(matrix.double() / signs[:, 0].numel(), 2)
        if back.shape == signs.shape:
            norm = norm.masked_fill((back == signs).all(), torch.inf)
        return norm


def _spectral_entropy(maps: Tensor) -> Tensor:
    covariance = torch.cov(_channels_last(maps).T, correction=0).reshape(2 * [maps.shape[1]])
    eigenvalues = torch.linalg.eigvalsh(covariance.double()).clamp(min=0)
    shares = eigenvalues / eigenvalues.sum()
    entropy: Tensor = -(shares * (shares + 1e-8).log()).sum()
    return entropy


def _channels_last(maps: Tensor) -> Tensor:
    return maps.permute(0, 2, 3, 1).flatten(0, 2)


def _folded(maps: Tensor, shape: torch.Size) -> Tensor:
    """Turn the positions that one position of maps of that shape stands for into channels."""
    height, width = shape[2:]
    down, across = -(-maps.shape[2] // height), -(-maps.shape[3] // width)
    below, right = down * height - maps.shape[2], across * width - maps.shape[3]
    if maps.shape[2] < height or maps.shape[3] < width:
        raise ValueError(
            f"a block makes maps of {height} x {width} of {maps.shape[2]} x {maps.shape[3]}; "
            "Jacobians are of blocks that keep or reduce the resolution"
        )
    padded = F.pad(maps, (0, right, 0, below))
    split = padded.reshape(len(maps), -1, height, down, width, across)
    return split.permute(0, 1, 3, 5, 2, 4).reshape(len(maps), -1, height, width)


def primary_blocks(network: nn.Module) -> dict[str, nn.Module]:
    """Return the primary blocks by name, in network order.

    They are the outermost modules below containers that are made of modules themselves: the cells
    and residual blocks of NAS-Bench-201, the residual blocks of a ResNet. A network that wraps a
    single such module has that one's blocks; in one without any, a chain of plain layers, each
    convolution is a block. A block that is used twice is there once, as it is among the modules.
    """
    found = _composites(network, "")
    while len(found) == 1:
        ((name, only),) = found.items()
        inner = _composites(only, f"{name}.")
        if not inner:
            break
        found = inner
    if not found:
        return {name: m for name, m in network.named_modules() if isinstance(m, nn.Conv2d)}
    first = {id(block): name for name, block in reversed(found.items())}
    return {name: block for name, block in found.items() if first[id(block)] == name}


def blocks_before(network: nn.Module) -> dict[str, int]:
    """Return how many primary blocks come before each module in network order, by its name.

    A block does not come before the modules inside it.
    """
    blocks = [f"{name}." for name in primary_blocks(network)]
    before: dict[str, int] = {}
    begun = 0
    for name, _ in network.named_modules():
        inside = begun > 0 and f"{name}.".startswith(blocks[begun - 1])
        if not inside and begun < len(blocks) and f"{name}." == blocks[begun]:
            begun, inside = begun + 1, True
        before[name] = begun - inside
    return before


def _composites(module: nn.Module, prefix: str) -> dict[str, nn.Module]:
    found: dict[str, nn.Module] = {}
    for name, child in module.named_children():
        if isinstance(child, _CONTAINERS):
            found |= _composites(child, f"{prefix}{name}.")
        elif next(child.children(), None) is not None:
            found[f"{prefix}{name}"] = child
    return found
