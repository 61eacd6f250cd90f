"""What the values on their way through the network say: signs of units, maps, blocks' Jacobians."""

from typing import Generic, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from zc_search.errors import ProxyError
from zc_search.proxies.probe import passes
from zc_search.proxies.probe.passes import ACTIVATIONS, Shared, SharedPass, require_rows

T = TypeVar("T")

_WORD = 24  # bits that float32 holds exactly
_SAMPLE = 8  # channels, as in MeCo_opt
_CONTAINERS = (nn.Sequential, nn.ModuleList)


class Logits(Shared[Tensor], cost=0.3):
    """Outputs, N x classes, without graph."""

    def result(self, run: SharedPass) -> Tensor:
        return run.logits.detach()


# On which side of zero each unit is ---------------------------------------------------------------


def log_determinant(matrix: Tensor) -> Tensor:
    """Logarithm of the size of a symmetric matrix's determinant, -inf if it is singular."""
    # As far as its type can tell: the smallest of N eigenvalues is at most N eps times the largest.
    eigenvalues = torch.linalg.eigvalsh(matrix).abs()
    rounding = len(eigenvalues) * torch.finfo(eigenvalues.dtype).eps
    singular = eigenvalues.amin() <= rounding * eigenvalues.amax()
    return torch.where(singular, -torch.inf, eigenvalues.log().sum())


class Agreement:
    """Counts, for every two images, the units on which their binary codes agree.

    A unit's bit is whether its value is positive. With codes c_i in {0, 1}^units the matrix is
    ``K_ij = units - Hamming distance(c_i, c_j)`` (Mellor et al. 2021, eq. 2).
    """

    def __init__(self, images: int, device: torch.device) -> None:
        self.units = 0
        self.by_layer: dict[str, Agreement] = {}
        self._both = torch.zeros(images, images, dtype=torch.float64, device=device)
        self._active = torch.zeros(images, dtype=torch.float64, device=device)

    def add(self, values: Tensor) -> None:
        """Count the units of one layer; `values` is N x anything."""
        bits = (passes.rows(values) > 0).float()
        # float32 counts exactly up to 2^24 units a layer.
        self._both += bits @ bits.T
        self._active += bits.sum(1)
        self.units += bits.shape[1]

    def add_layer(self, name: str, layer: "Agreement") -> None:
        """Count the units of a layer that has been counted alone, and keep it by name."""
        self.by_layer[name] = layer
        self._both += layer._both
        self._active += layer._active
        self.units += layer.units

    @property
    def matrix(self) -> Tensor:
        """N x N counts of agreeing units, float64."""
        # both active + both inactive; the latter is units - active_i - active_j + both active
        return 2 * self._both - self._active[:, None] - self._active[None, :] + self.units

    def log_determinant(self) -> Tensor:
        """As of `matrix`; -inf where images share their code, or of fewer units than images - 1."""
        return log_determinant(self.matrix)

    def distinct_patterns(self) -> Tensor:
        """How many different codes the images have."""
        same = (self.matrix == self.units).sum(1)
        return (1.0 / same).sum()


class UnitPatterns:
    """Counts in how many different ways the units of a network respond to the batch.

    A unit's pattern is its row of N bits, one an image (Peng et al. 2024). Up to 64 images the
    count is exact; beyond, a pattern is known by a hash of 64 bits.
    """

    def __init__(self, images: int, device: torch.device) -> None:
        words = -(-images // _WORD)
        # One matrix product packs all the bits, a word of them to a number.
        image = torch.arange(images, device=device)
        self._pack = torch.zeros(words, images, device=device)
        self._pack[image // _WORD, image] = 2.0 ** (image % _WORD)
        if images <= 64:
            spread = [1 << (_WORD * word) for word in range(words)]
        else:
            random = np.random.default_rng(0)
            spread = (random.integers(1 << 62, size=words) * 2 + 1).tolist()
        self._spread = torch.tensor(spread, device=device)
        self._patterns = [self._spread[:0]]

    def add(self, values: Tensor) -> None:
        """Take in the units of one layer; `values` is N x anything."""
        words = (self._pack @ (passes.rows(values) > 0).float()).long()
        self._patterns.append((words * self._spread[:, None]).sum(0))

    def count(self) -> Tensor:
        """How many different patterns the units have."""
        patterns = torch.cat(self._patterns)
        if patterns.device.type == "cpu":  # where NumPy sorts several times faster
            patterns = torch.from_numpy(np.sort(patterns.numpy()))
        else:
            patterns = patterns.sort().values
        return (patterns[1:] != patterns[:-1]).sum() + min(1, len(patterns))


C = TypeVar("C", bound=Agreement | UnitPatterns)


class _OfActivations(Shared[T], Generic[T, C], cost=0.4):
    """Counts the inputs of activations."""

    counter: type[C]

    def install(self, run: SharedPass) -> None:
        self._counted = self.counter(len(run.images), run.images.device)
        self._called = False
        run.observe(passes.modules_of(run.subject.network, ACTIVATIONS), self._observe)

    def _observe(self, name: str, _: nn.Module, given: Tensor, __: Tensor) -> None:
        require_rows(name, given, len(self.subject.images))
        self._called = True
        self._counted.add(given.detach())

    def counted(self) -> C:
        """Refuse a network of whose activations nothing was seen, such as one of functions."""
        if not self._called:
            names = [kind.__name__ for kind in ACTIVATIONS]
            message = "no activation of the network is a module that splits at zero; Allowed: "
            raise ProxyError(message + ", ".join(names), allowed=names)
        return self._counted


class ReluAgreement(_OfActivations[Agreement, Agreement], counter=Agreement):
    """In how many activation units each two images are on the same side of zero."""

    def result(self, run: SharedPass) -> Agreement:
        return self.counted()


class DistinctUnitPatterns(_OfActivations[Tensor, UnitPatterns], counter=UnitPatterns):
    """In how many different ways activation units are positive for some of the images."""

    def result(self, run: SharedPass) -> Tensor:
        return self.counted().count()


class LayerAgreements(Shared[Agreement], cost=0.4):
    """As `relu_agreement` for the outputs of convolutions and linear layers, also `by_layer`."""

    def install(self, run: SharedPass) -> None:
        self._shape = len(run.images), run.images.device
        self._layers: dict[str, Agreement] = {}
        run.observe(passes.weighted(run.subject.network), self._observe)

    def _observe(self, name: str, _: nn.Module, __: Tensor, output: Tensor) -> None:
        require_rows(name, output, self._shape[0])
        self._layers.setdefault(name, Agreement(*self._shape)).add(output.detach())

    def result(self, run: SharedPass) -> Agreement:
        total = Agreement(*self._shape)
        for name, layer in self._layers.items():
            total.add_layer(name, layer)
        return total


# Correlations between channels --------------------------------------------------------------------


class SmallestEigenvalues(Shared[Tensor], cost=0.4):
    """Of the correlations between channels for the first image, of each layer with maps.

    A constant channel correlates with nothing, not even with itself.
    """

    def install(self, run: SharedPass) -> None:
        self._matrices: list[Tensor] = []
        self._factors: list[float] = []
        # A normalisation repeats the correlations of its input.
        makers = {
            name: module
            for name, module in run.subject.network.named_modules()
            if not _is_composite(module) and not isinstance(module, passes.NORMS)
        }
        run.observe(makers, self._observe)

    def _observe(self, name: str, _: nn.Module, __: Tensor, output: Tensor) -> None:
        if output.dim() == 4 and output[0, 0].numel() > 1:
            passes.require_maps(name, output, self.subject.images)
            self._add(output[0].detach().flatten(1))

    def _add(self, maps: Tensor) -> None:
        # Centred channels span positions - 1 dimensions; with more channels the eigenvalue is 0,
        # which a single 0 has too.
        regular = len(maps) < maps.shape[1]
        self._matrices.append(_correlations(maps) if regular else maps.new_zeros(1, 1))

    def result(self, run: SharedPass) -> Tensor:
        matrices = self._matrices
        smallest = matrices[0].new_zeros(len(matrices)) if matrices else torch.zeros(0)
        for size in {len(matrix) for matrix in matrices}:  # those of one size together
            indices = [i for i, matrix in enumerate(matrices) if len(matrix) == size]
            stacked = torch.stack([matrices[i] for i in indices])
            smallest[indices] = torch.linalg.eigvalsh(stacked)[:, 0]
        return smallest


class SampledEigenvalues(SmallestEigenvalues, cost=0.3):
    """The same from a sample of 8 channels a layer, alike for layers of one width, x C / 8."""

    def _add(self, maps: Tensor) -> None:
        generator = torch.Generator().manual_seed(self.subject.seed)
        chosen = torch.randperm(len(maps), generator=generator)[:_SAMPLE].to(maps.device)
        self._matrices.append(_correlations(maps[chosen]))
        self._factors.append(len(maps) / len(chosen))

    def result(self, run: SharedPass) -> Tensor:
        smallest = super().result(run)
        return smallest * torch.tensor(self._factors).to(smallest)


def _correlations(maps: Tensor) -> Tensor:
    matrix = torch.corrcoef(maps).reshape(len(maps), len(maps))
    return torch.nan_to_num(matrix, nan=0.0)


class ActivationRanks(Shared[Tensor], cost=0.5):
    """Effective ranks of the outputs of each layer with a weight and each activation, float64.

    Of a square part: as many positions as there are channels, those of the first image first, down
    its first column, then the next; of outputs without maps the first images.
    """

    def install(self, run: SharedPass) -> None:
        self._ranks: list[Tensor] = []
        layers = {
            name: module
            for name, module in run.subject.network.named_modules()
            if not _is_composite(module)
            and (
                isinstance(getattr(module, "weight", None), Tensor)
                or type(module).__module__ == nn.ReLU.__module__
            )
        }
        run.observe(layers, self._observe)

    def _observe(self, name: str, _: nn.Module, __: Tensor, output: Tensor) -> None:
        if output.dim() == 4:
            passes.require_maps(name, output, self.subject.images)
            output = output.permute(0, 3, 2, 1)
        matrix = output.detach().flatten(0, -2)
        singular = torch.linalg.svdvals(matrix[: matrix.shape[1]].double())
        shares = singular / singular.sum()
        entropy = -torch.special.xlogy(shares, shares).sum()
        self._ranks.append(torch.nan_to_num(entropy.exp(), nan=0.0))  # of zeros, 0 as published

    def result(self, run: SharedPass) -> Tensor:
        return torch.stack(self._ranks) if self._ranks else torch.zeros(0)


# Primary blocks -----------------------------------------------------------------------------------

B = TypeVar("B")


class _OfBlocks(Shared[Tensor], Generic[B]):
    """Looks at the maps before each primary block and after it."""

    def install(self, run: SharedPass) -> None:
        self._begun: dict[str, B] = {}
        blocks = primary_blocks(run.subject.network)
        run.observers.enter_context(passes.entered(blocks, self._enter))
        run.observe(blocks, self._leave)

    def _enter(self, name: str, _: nn.Module, given: Tensor) -> None:
        if given.dim() == 4:
            passes.require_maps(name, given, self.subject.images)
            self._begun[name] = self.begin(given)

    def _leave(self, name: str, _: nn.Module, __: Tensor, output: Tensor) -> None:
        begun = self._begun.pop(name, None)
        if begun is not None and output.dim() == 4:
            passes.require_maps(name, output, self.subject.images)
            self.end(begun, output)

    def begin(self, given: Tensor) -> B:
        raise NotImplementedError

    def end(self, begun: B, output: Tensor) -> None:
        raise NotImplementedError


class BlockEntropies(_OfBlocks[list[Tensor]], cost=0.3):
    """Entropy of the spectrum of the features before and after each block, blocks + 1; float64."""

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


class BlockJacobianNorms(_OfBlocks[_End], cost=0.6, by_image=True):
    """Estimated spectral norm of each block's Jacobian; inf if it hands its input on; float64."""

    def install(self, run: SharedPass) -> None:
        super().install(run)
        self._generator = torch.Generator().manual_seed(run.subject.seed)
        self._ends: list[tuple[_End, _End]] = []
        self._signs: dict[torch.Size, Tensor] = {}

    def begin(self, given: Tensor) -> _End:
        return given.shape, get_gradient_edge(given) if given.requires_grad else None

    def end(self, begun: _End, output: Tensor) -> None:
        self._ends.append((begun, self.begin(output)))
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
        back = signs.new_zeros(before)
        if output_edge is not None and given_edge is not None:
            (found,) = torch.autograd.grad(
                output_edge, given_edge, signs, retain_graph=True, allow_unused=True
            )
            back = back if found is None else found
        matrix = _by_position(_folded(back, after)).T @ _by_position(signs)
        norm: Tensor = torch.linalg.matrix_norm(matrix.double() / signs[:, 0].numel(), 2)
        if back.shape == signs.shape:
            norm = norm.masked_fill((back == signs).all(), torch.inf)
        return norm


def _spectral_entropy(maps: Tensor) -> Tensor:
    covariance = torch.cov(_by_position(maps).T, correction=0).reshape(2 * [maps.shape[1]])
    eigenvalues = torch.linalg.eigvalsh(covariance.double()).clamp(min=0)
    shares = eigenvalues / eigenvalues.sum()
    entropy: Tensor = -(shares * (shares + 1e-8).log()).sum()
    return entropy


def _by_position(maps: Tensor) -> Tensor:
    """Return maps as a matrix, images and positions x channels."""
    return maps.permute(0, 2, 3, 1).flatten(0, 2)


def _folded(maps: Tensor, shape: torch.Size) -> Tensor:
    """Turn the positions that one position of maps of that shape stands for into channels."""
    height, width = shape[2:]
    if maps.shape[2] < height or maps.shape[3] < width:
        raise ValueError(
            f"a block makes maps of {height} x {width} of {maps.shape[2]} x {maps.shape[3]}; "
            "Jacobians are of blocks that keep or reduce the resolution"
        )
    down, across = -(-maps.shape[2] // height), -(-maps.shape[3] // width)
    padded = F.pad(maps, (0, across * width - maps.shape[3], 0, down * height - maps.shape[2]))
    split = padded.reshape(len(maps), -1, height, down, width, across)
    return split.permute(0, 1, 3, 5, 2, 4).reshape(len(maps), -1, height, width)


def primary_blocks(network: nn.Module) -> dict[str, nn.Module]:
    """Return the primary blocks by name, in network order, each once.

    They are the outermost modules below containers that are made of modules: cells and residual
    blocks. A network that wraps a single one has that one's blocks; without any, each convolution
    is a block.
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
    """Return how many primary blocks come before each module, by name; not the one it is in."""
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
        elif _is_composite(child):
            found[f"{prefix}{name}"] = child
    return found


def _is_composite(module: nn.Module) -> bool:
    return next(module.children(), None) is not None
