"""Fisher information of channels."""

import torch

from zc_search.proxies.base import Scalar, proxy
from zc_search.proxies.probe import Probe


@proxy(
    "fisher",
    maximize=True,
    paper="Theis et al. 2018, Faster gaze prediction with Fisher pruning; Turner et al. 2020, "
    "BlockSwap, eq. 3",
    needs={"channel_saliency"},
)
def fisher(probe: Probe) -> Scalar:
    """Sum over channels of half the mean squared saliency, weighted by the channel's weights.

    ``sum_c n_c 1/(2N) sum_n (sum_p a_ncp dL/da_ncp)^2`` over the output channels of convolutions
    and linear layers, with p the positions and n_c the number of weights that feed the channel.
    BlockSwap has no n_c; published code (Abdelfattah et al. 2021) brings it in by spreading each
    channel's value over its weights before summing.
    """
    terms = [
        saliency.square().mean(0).sum() / 2 * probe.weights[name][0].numel()
        for name, saliency in probe.channel_saliency.items()
    ]
    return torch.stack(terms).sum() if terms else 0.0
