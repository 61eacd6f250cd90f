"""On which side of zero each unit is, for each image, summed up over layers."""

from collections.abc import Mapping
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from zc_search.errors import ProxyError
from zc_search.proxies.probe.layers import require_rows
from zc_search.proxies.probe.passes import ACTIVATIONS, WEIGHTED, rows
from zc_search.proxies.probe.shared_pass import Shared, SharedPass

T = TypeVar("T")

_WORD = 24  # bits that float32 holds exactly


def log_determinant(matrix: Tensor) -> Tensor:
    """Logarithm of the size of a symmetric matrix's determinant, -inf if it is singular.

    Singular, as far as its type can tell: the smallest of N eigenvalues is in size at most N eps
    times the largest.
    """
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
        self._both = torch.zeros(images, images, dtype=torch.float64, device=device)
        self._active = torch.zeros(images, dtype=torch.float64, device=device)

    def add(self, values: Tensor) -> None:
        """Count the units of one layer; `values` is N x anything."""
        bits = (rows(values) > 0).float()
        # float32 counts exactly up to 2^24 units a layer.
        self._both += bits @ bits.T
        self._active += bits.sum(1)
        self.units += bits.shape[1]

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


class LayerAgreement(Agreement):
    """The agreement in all layers together, and by name that in each of them."""

    def __init__(
        self, images: int, device: torch.device, by_layer: Mapping[str, Agreement]
    ) -> None:
        super().__init__(images, device)
        self.by_layer = by_layer
        for part in by_layer.values():
            self._both += part._both
            self._active += part._active
            self.units += part.units


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
        self._patterns: list[Tensor] = []

    def add(self, values: Tensor) -> None:
        """Take in the units of one layer; `values` is N x anything."""
        words = (self._pack @ (rows(values) > 0).float()).long()
        self._patterns.append((words * self._spread[:, None]).sum(0))

    def count(self) -> Tensor:
        """How many different patterns the units have; 0 without any unit."""
        if not self._patterns:
            return self._spread.new_zeros(())
        patterns = torch.cat(self._patterns)
        if patterns.device.type == "cpu":  # where NumPy sorts several times faster
            patterns = torch.from_numpy(np.sort(patterns.numpy()))
        else:
            patterns = patterns.sort().values
        return (patterns[1:] != patterns[:-1]).sum() + 1


C = TypeVar("C", bound=Agreement | UnitPatterns)


class _OfActivations(Shared[T], Generic[T, C]):
    """Counts the inputs of activations."""

    cost = 0.4
    counter: type[C]

    def install(self, run: SharedPass) -> None:
        self._counted = self.counter(len(run.images), run.images.device)
        self._called = False
        run.observe_kinds(ACTIVATIONS, self._observe)

    def _observe(self, name: str, _: nn.Module, given: Tensor, __: Tensor) -> None:
        require_rows(name, given, len(self.subject.images))
        self._called = True
        self._counted.add(given.detach())

    def counted(self) -> C:
        """Refuse a network of whose activations nothing was seen, such as one of functions."""
        if not self._called:
            names = [kind.__name__ for kind in ACTIVATIONS]
            raise ProxyError(
                "no activation of the network is a module that splits at zero; "
                f"Allowed: {', '.join(names)}",
                allowed=names,
            )
        return self._counted


class ReluAgreement(_OfActivations[Agreement, Agreement]):
    """In how many activation units each two images are on the same side of zero."""

    counter = Agreement

    def result(self, run: SharedPass) -> Agreement:
        return self.counted()


class DistinctUnitPatterns(_OfActivations[Tensor, UnitPatterns]):
    """In how many different ways activation units are positive for some of the images."""

    counter = UnitPatterns

    def result(self, run: SharedPass) -> Tensor:
        return self.counted().count()


class LayerAgreements(Shared[LayerAgreement]):
    """As `relu_agreement` for the outputs of convolutions and linear layers."""

    cost = 0.4

    def install(self, run: SharedPass) -> None:
        self._shape = len(run.images), run.images.device
        self._layers: dict[str, Agreement] = {}
        run.observe_kinds(WEIGHTED, self._observe)

    def _observe(self, name: str, _: nn.Module, __: Tensor, output: Tensor) -> None:
        require_rows(name, output, self._shape[0])
        self._layers.setdefault(name, Agreement(*self._shape)).add(output.detach())

    def result(self, run: SharedPass) -> LayerAgreement:
        return LayerAgreement(*self._shape, self._layers)
