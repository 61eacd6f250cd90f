"""What the shared pass notes down about feature maps: correlations, spectra, Jacobians."""

from collections import defaultdict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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
        self._ends: list[tuple[Tensor, Tensor]] = []
        self._signs: dict[torch.Size, Tensor] = {}

    def observe(self, _: str, __: nn.Module, given: Tensor, output: Tensor) -> None:
        """Take in one call of a block; calls without feature maps are passed over."""
        if given.dim() != 4 or output.dim() != 4:
            return
        if self._wants_entropies:
            maps = (output,) if self._entropies else (given, output)
            self._entropies += [_spectral_entropy(m.detach()) for m in maps]
        if self._wants_jacobians:
            self._ends.append((given, output))

    def entropies(self) -> Tensor:
        """Entropy of the features before the first block and after each one, float64."""
        return torch.stack(self._entropies) if self._entropies else torch.zeros(0)

    def jacobian_norms(self) -> Tensor:
        """Spectral norm of each block's Jacobian, averaged over positions, estimated; float64.

        inf for a block that only hands its input on.
        """
        norms = [self._jacobian_norm(*ends) for ends in self._ends]
        return torch.stack(norms) if norms else torch.zeros(0)

    def _jacobian_norm(self, given: Tensor, output: Tensor) -> Tensor:
        if output.shape not in self._signs:  # blocks of one shape share them: drawing takes time
            signs = torch.empty(output.shape).bernoulli_(generator=self._generator)
            signs = signs.mul_(2).sub_(1).to(output, memory_format=torch.channels_last)
            self._signs[output.shape] = signs
        signs = self._signs[output.shape]
        if output.requires_grad and given.requires_grad:
            (back,) = torch.autograd.grad(
                output, given, signs, retain_graph=True, allow_unused=True, materialize_grads=True
            )
        else:
            back = torch.zeros_like(given)
        matrix = _channels_last(_folded(back, output)).T @ _channels_last(signs)
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


def _folded(maps: Tensor, like: Tensor) -> Tensor:
    """Turn the positions that one position of `like` stands for into channels."""
    stride = -(-maps.shape[2] // like.shape[2])
    below, right = (stride * like.shape[i] - maps.shape[i] for i in (2, 3))
    return F.pixel_unshuffle(F.pad(maps, (0, right, 0, below)), stride)
