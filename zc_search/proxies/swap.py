"""SWAP-NAS: in how many ways the units of a network respond to the images."""

import math

from zc_search.proxies.base import ProxyFunction, Scalar, proxy
from zc_search.proxies.probe import Probe

_PAPER = "Peng et al. 2024, SWAP-NAS: Sample-Wise Activation Patterns for Ultra-fast NAS"


@proxy("swap", maximize=True, paper=_PAPER, needs={"distinct_unit_patterns"})
def swap(probe: Probe) -> Scalar:
    """Number of different sample-wise activation patterns.

    A unit's pattern is a row of N bits, whether it is positive for each of the N images; counted
    are the different ones among all units of all ReLU layers: at most units and at most 2^N.
    Exact up to 64 images, by a 64-bit hash beyond.

    Published code draws standard normal weights 32 times, looks at 16 images and averages; under
    batch normalisation the scale of the weights is immaterial, and one draw of thousands of units
    varies little.
    """
    return probe.distinct_unit_patterns


def regularised_swap(mu: float, sigma: float) -> ProxyFunction:
    """Return the SWAP score times ``exp(-(params - mu)^2 / sigma)``.

    Args:
        mu: Parameters that are preferred, in millions.
        sigma: How soon others fall off, in millions squared; more is more tolerant.

    Raises:
        ValueError: `sigma` is not positive.
    """
    if not sigma > 0:
        raise ValueError(f"sigma={sigma} must be positive")

    def regularised(probe: Probe) -> Scalar:
        millions = sum(p.numel() for p in probe.network.parameters()) / 1e6
        return probe.distinct_unit_patterns.double() * math.exp(-((millions - mu) ** 2) / sigma)

    return regularised


_of_benchmark = regularised_swap(mu=1.5, sigma=1.0)


@proxy(
    "reg_swap",
    maximize=True,
    paper=f"{_PAPER}, regularised SWAP-Score",
    needs={"distinct_unit_patterns"},
)
def reg_swap(probe: Probe) -> Scalar:
    """Number of sample-wise activation patterns, weighted by size.

    ``swap exp(-(params - mu)^2 / sigma)`` with the parameters in millions, mu = 1.5 and
    sigma = 1: about the largest network of NAS-Bench-201 and the range of all. A search scores
    the first isomorph of an architecture, so convolutions on dead edges do not count. The authors
    choose mu and sigma for every space and count thousands of parameters; for others than these
    write a proxy of your own as ``regularised_swap(mu, sigma)``.
    """
    return _of_benchmark(probe)
