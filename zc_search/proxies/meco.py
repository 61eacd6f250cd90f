"""MeCo: how little the feature maps of a layer repeat each other."""

from torch import Tensor

from zc_search.proxies.base import Scalar, proxy
from zc_search.proxies.probe.probe import Probe


def _of_layers(eigenvalues: Tensor) -> Tensor:
    if len(eigenvalues) == 0:
        raise ValueError("no layer of the network returns feature maps, N x C x H x W")
    return eigenvalues


@proxy("meco")
def meco(probe: Probe) -> Scalar:
    """Sum over layers of the smallest eigenvalue of the correlations of feature maps.

    ``sum_l lambda_min(P_l)``, P_l (C x C) the Pearson correlations between the C channels of
    layer l's output for one image, the first of the batch; constant channels have a row of 0.
    At least 0, up to rounding. Layers are the modules without parts that return feature maps of
    more than one position, normalisation excepted, whose output has the correlations of its
    input. Where C >= H W the smallest eigenvalue is 0.

    Published code feeds noise of 64 x 64 pixels, and counts containers and normalisations as
    layers too, so that most outputs count several times.
    """
    return _of_layers(probe.smallest_eigenvalues).sum()


@proxy("meco_opt")
def meco_opt(probe: Probe) -> Scalar:
    """As meco, from 8 channels a layer.

    ``sum_l C/8 lambda_min(P_l)`` with P_l the 8 x 8 correlations of a random sample of the C
    channels (all, where there are fewer), so that layers with more channels than positions count
    too. The sample follows `Probe.seed` and is the same for all layers of C channels; published
    code draws a new one for each.
    """
    return _of_layers(probe.sampled_eigenvalues).sum()
