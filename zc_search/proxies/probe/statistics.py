"""What the shared pass notes down about feature maps: correlations, spectra, Jacobians."""

from collections import defaultdict
from typing import NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

_SAMPLE = 8  # channels, as in MeCo_opt


class ChannelCorrelations:
    """Pearson correlations between the channels of each layer, for the first image.

    A channel is a vector of H x W values; one that is constant correlates with nothing, not even
    with itself, so that its eigenvalue is 0.

    Args:
        seed: Draws the sample of channels, the same for layers of one width.
        full: Whether to note the correlations of all channels.
        sampled: Whether to note those of a sample of 8.
    """

    def __init__(self, seed: int, *, full: bool, sampled: bool) -> None:
        self._seed = seed
        self._wants_full = full
        self._wants_sampled = sampled
        self._full: list[Tensor] = []
        self._sampled: list[tuple[Tensor, float]] = []

    def add(self, output: Tensor) -> None:
        """Take in a layer's output, N x C x H x W; anything else is passed over."""
        if output.dim() != 4 or output[0, 0].numel() < 2:
            return
        maps = output[0].detach().flatten(1)
        width, positions = maps.shape
        if self._wants_full:
            # Centred channels span positions - 1 dimensions; with more channels the eigenvalue
            # is 0, which a single 0 has too.
            regular = width < positions
            self._full.append(_correlations(maps) if regular else maps.new_zeros(1, 1))
        if self._wants_sampled:
            generator = torch.Generator().manual_seed(self._seed)
            chosen = torch.randperm(width, generator=generator)[:_SAMPLE].to(maps.device)
            self._sampled.append((_correlations(maps[chosen]), width / len(chosen)))

    def smallest(self) -> Tensor:
        """Smallest eigenvalue of each layer's C x C correlations."""
        return _smallest_eigenvalues(self._full)

    def smallest_of_sample(self) -> Tensor:
        """The same of the sample, times channels of the layer over channels of the sample."""
        factors = torch.tensor([factor for _, factor in self._sampled])
        smallest = _smallest_eigenvalues([matrix for matrix, _ in self._sampled])
        return smallest * factors.to(smallest)


def _smallest_eigenvalues(matrices: list[Tensor]) -> Tensor:
    by_size: dict[int, list[int]] = defaultdict(list)
    for index, matrix in enumerate(matrices):
        by_size[len(matrix)].append(index)
    smallest: list[Tensor] = [torch.empty(0)] * len(matrices)
    for indices in by_size.values():
        together = torch.linalg.eigvalsh(torch.stack([matrices[i] for i in indices]))[:, 0]
        for index, value in zip(indices, together.unbind(), strict=True):
            smallest[index] = value
    return torch.stack(smallest) if smallest else torch.zeros(0)


def _correlations(maps: Tensor) -> Tensor:
    matrix = torch.corrcoef(maps).reshape(len(maps), len(maps))
    return torch.nan_to_num(matrix, nan=0.0)


class _End(NamedTuple):
    """Where a block begins or ends in the graph, whatever later becomes of the tensor there."""

    shape: torch.Size
    edge: GradientEdge | None

    @classmethod
    def of(cls, tensor: Tensor) -> Self:
        return cls(tensor.shape, get_gradient_edge(tensor) if tensor.requires_grad else None)


_NOTHING = _End(torch.Size(), None)


class Blocks:
    """What the primary blocks of a network do to the features that pass through.

    Args:
        seed: Draws the signs that are sent back through each block.
        entropies: Whether to note the entropies of features.
        jacobians: Whether to keep what `jacobian_norms` needs, the blocks' graphs among it.
    """

    def __init__(self, seed: int, *, entropies: bool, jacobians: bool) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        self._wants_entropies = entropies
        self._wants_jacobians = jacobians
        self._entropies: list[Tensor] = []
        self._begun: dict[str, tuple[_End, Tensor | None]] = {}
        self._ends: list[tuple[_End, _End]] = []
        self._signs: dict[torch.Size, Tensor] = {}

    def enter(self, name: str, _: nn.Module, given: Tensor) -> None:
        """Take in what a block is called with, which it may change in place."""
        first = self._wants_entropies and not self._entropies and given.dim() == 4
        self._begun[name] = _End.of(given), _spectral_entropy(given.detach()) if first else None

    def observe(self, name: str, _: nn.Module, __: Tensor, output: Tensor) -> None:
        """Take in one call of a block; calls without feature maps are passed over."""
        given, entropy = self._begun.pop(name, (_NOTHING, None))
        if len(given.shape) != 4 or output.dim() != 4:
            return
        if self._wants_entropies:
            self._entropies += [] if entropy is None else [entropy]
            self._entropies.append(_spectral_entropy(output.detach()))
        if self._wants_jacobians:
            self._ends.append((given, _End.of(output)))
            self._like = output.new_empty(0)

    def entropies(self) -> Tensor:
        """Entropy of the features before the first block and after each one, float64."""
        return torch.stack(self._entropies) if self._entropies else torch.zeros(0)

    def jacobian_norms(self) -> Tensor:
        """Spectral norm of each block's Jacobian, averaged over positions, estimated; float64.

        inf for a block that only hands its input on.
        """
        norms = [self._jacobian_norm(*ends) for ends in self._ends]
        return torch.stack(norms) if norms else torch.zeros(0)

    def _jacobian_norm(self, given: _End, output: _End) -> Tensor:
        if output.shape not in self._signs:  # blocks of one shape share them: drawing takes time
            signs = torch.empty(output.shape).bernoulli_(generator=self._generator)
            signs = signs.mul_(2).sub_(1).to(self._like, memory_format=torch.channels_last)
            self._signs[output.shape] = signs
        signs = self._signs[output.shape]
        back = None
        if output.edge is not None and given.edge is not None:
            (back,) = torch.autograd.grad(
                output.edge, given.edge, signs, retain_graph=True, allow_unused=True
            )
        if back is None:
            back = signs.new_zeros(given.shape)
        matrix = _channels_last(_folded(back, output.shape)).T @ _channels_last(signs)
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
