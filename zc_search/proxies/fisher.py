"""Fisher information of channels."""

from typing import cast

from torch import Tensor

from zc_search.proxies.base import Probe, Scalar, proxy, total


@proxy("fisher")
def fisher(probe: Probe, *, weighted: bool) -> Scalar:
    """Sum over channels of half the mean squared saliency, weighted by the channel's weights.

    ``sum_c n_c 1/(2N) sum_n (sum_p a_ncp dL/da_ncp)^2`` over the output channels of convolutions
    and linear layers, with p the positions, of all calls of the layer, and n_c the number of
    weights that feed the channel, as in published code (Abdelfattah et al. 2021). BlockSwap has no
    n_c, nor has ``weighted=false``.
    """
    terms = []
    for name, saliency in probe.channel_saliency.items():
        weight = cast(Tensor, probe.network.get_submodule(name).weight)
        terms.append(saliency.square().mean(0).sum() / 2 * (weight[0].numel() if weighted else 1))
    return total(terms)
