"""SWAP-NAS: in how many ways the units of a network respond to the images."""

import math

from zc_search.proxies import Probe, Scalar, proxy


@proxy("swap")
def swap(probe: Probe) -> Scalar:
    """Number of different sample-wise activation patterns.

    A unit's pattern is a row of N bits, whether it is positive for each of the N images; counted
    are the different ones among all units of all ReLU layers: at most units and at most 2^N.
    Exact up to 64 images, by a 64-bit hash beyond. Published code averages 32 draws of standard
    normal weights and 16 images, and counts the units of dead edges too, as ``dead=true`` does.
    """
    return probe.distinct_unit_patterns


@proxy("reg_swap")
def reg_swap(probe: Probe, *, mu: float, sigma: float) -> Scalar:
    """Number of sample-wise activation patterns, weighted by size.

    ``swap exp(-(params - mu)^2 / sigma)`` with the parameters in millions. mu is the preferred
    size, by default about the largest of NAS-Bench-201, and sigma says how soon others fall off;
    the authors choose both for every space and count thousands.
    """
    millions = sum(p.numel() for p in probe.network.parameters()) / 1e6
    return probe.distinct_unit_patterns.double() * math.exp(-((millions - mu) ** 2) / sigma)
