"""On which side of zero each unit is, for each image, summed up over layers."""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor, nn

from zc_search.errors import ProxyError
from zc_search.proxies.probe.layers import require_rows
from zc_search.proxies.probe.passes import ACTIVATIONS, WEIGHTED, rows
from zc_search.proxies.probe.shared_pass import Shared, SharedPass

_WORD = 24  # bits that float32 holds exactly


def codes(values: Tensor) -> Tensor:
    """Return 1.0 where a value is positive, else 0.0; N x units."""
    return (rows(values) > 0).float()


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
        self.add_codes(codes(values))

    def add_codes(self, bits: Tensor) -> None:
        """Count the units of one layer, given what `codes` returns."""
        # float32 counts exactly up to 2^24 units a layer.
        self._both += bits @ bits.T
        self._active += bits.sum(1)
        self.units += bits.shape[1]

    def add_all(self, parts: Iterable["Agreement"]) -> "Agreement":
        """Count what others have counted, and return this one."""
        for part in parts:
            self._both += part._both
            self._active += part._active
            self.units += part.units
        return self

    @property
    def matrix(self) -> Tensor:
        """N x N counts of agreeing units, float64."""
        # both active + both inactive; the latter is units - active_i - active_j + both active
        return 2 * self._both - self._active[:, None] - self._active[None, :] + self.units

    def log_determinant(self) -> Tensor:
        """As the function of this name, of `matrix`.

        -inf where two images share their code, or with fewer units than images - 1.
        """
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
        self._patterns: list[Tensor] = []

    def add_codes(self, bits: Tensor) -> None:
        """Take in the units of one layer, given what `codes` returns."""
        words = (self._pack @ bits).long()
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


class ActivationBits:
    """Hands on which inputs of activations are positive, N x units a call."""

    def __init__(self, run: SharedPass) -> None:
        self.readers: list[Callable[[Tensor], None]] = []
        self._images = len(run.images)
        self._called = False
        run.observe_kinds(ACTIVATIONS, self._observe)

    def _observe(self, name: str, _: nn.Module, given: Tensor, __: Tensor) -> None:
        require_rows(name, given, self._images)
        self._called = True
        bits = codes(given.detach())
        for read in self.readers:
            read(bits)

    def require_any(self) -> None:
        """Refuse a network of whose activations nothing was seen, such as one of functions."""
        if not self._called:
            names = [kind.__name__ for kind in ACTIVATIONS]
            raise ProxyError(
                "no activation of the network is a module that splits at zero; "
                f"Allowed: {', '.join(names)}",
                allowed=names,
            )


class LayerOutputs:
    """Hands on the outputs of convolutions and linear layers, and what stays of their values."""

    def __init__(self, run: SharedPass) -> None:
        self.readers: list[Callable[[str, nn.Module, Tensor, Tensor], None]] = []
        self._copying = run.copying
        run.observe_kinds(WEIGHTED, self._observe)

    def _observe(self, name: str, layer: nn.Module, _: Tensor, output: Tensor) -> None:
        activation = output.detach().clone() if self._copying else output.detach()
        for read in self.readers:
            read(name, layer, output, activation)


class ReluAgreement(Shared[Agreement]):
    """In how many activation units each two images are on the same side of zero."""

    cost = 0.4

    def install(self, run: SharedPass) -> None:
        self._units = Agreement(len(run.images), run.images.device)
        run.helper(ActivationBits).readers.append(self._units.add_codes)

    def result(self, run: SharedPass) -> Agreement:
        run.helper(ActivationBits).require_any()
        return self._units


class DistinctUnitPatterns(Shared[Tensor]):
    """In how many different ways activation units are positive for some of the images."""

    cost = 0.4

    def install(self, run: SharedPass) -> None:
        self._patterns = UnitPatterns(len(run.images), run.images.device)
        run.helper(ActivationBits).readers.append(self._patterns.add_codes)

    def result(self, run: SharedPass) -> Tensor:
        run.helper(ActivationBits).require_any()
        return self._patterns.count()


class LayerAgreement(Agreement):
    """The agreement in all layers together, and in each of them.

    Attributes:
        by_layer: That of each convolution and linear layer, by name.
    """

    def __init__(self, images: int, device: torch.device, by_layer: dict[str, Agreement]) -> None:
        super().__init__(images, device)
        self.by_layer = by_layer
        self.add_all(by_layer.values())


class LayerAgreements(Shared[LayerAgreement]):
    """As `relu_agreement` for the outputs of convolutions and linear layers."""

    cost = 0.4

    def install(self, run: SharedPass) -> None:
        self._layers: dict[str, Agreement] = {}
        run.helper(LayerOutputs).readers.append(self._observe)

    def _observe(self, name: str, _: nn.Module, __: Tensor, activation: Tensor) -> None:
        images = len(self.subject.images)
        require_rows(name, activation, images)
        if name not in self._layers:
            self._layers[name] = Agreement(images, activation.device)
        self._layers[name].add(activation)

    def result(self, run: SharedPass) -> LayerAgreement:
        images = self.subject.images
        return LayerAgreement(len(images), images.device, self._layers)
