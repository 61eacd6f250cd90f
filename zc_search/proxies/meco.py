"""MeCo: how little the feature maps of a layer repeat each other."""

from zc_search.proxies.base import Probe, Scalar, present, proxy

_NO_MAPS = "no layer of the network returns feature maps, N x C x H x W"


@proxy("meco")
def meco(probe: Probe) -> Scalar:
    """Sum over layers of the smallest eigenvalue of the correlations of feature maps.

    ``sum_l lambda_min(P_l)``, P_l (C x C) the Pearson correlations between the C channels of
    layer l's output for the first image; constant channels have a row of 0. At least 0, up to
    rounding; 0 where C >= H W. Layers are the modules without parts, normalisation excepted, that
    return maps of more than one position; published code feeds noise and counts all modules.
    """
    return present(probe.smallest_eigenvalues, _NO_MAPS).sum()


@proxy("meco_opt")
def meco_opt(probe: Probe) -> Scalar:
    """As meco, from 8 channels a layer.

    ``sum_l C/8 lambda_min(P_l)`` with P_l the 8 x 8 correlations of a sample of the C channels
    (all, where there are fewer). Layers of C channels share the sample, of `Probe.seed`.
    """
    return present(probe.sampled_eigenvalues, _NO_MAPS).sum()
