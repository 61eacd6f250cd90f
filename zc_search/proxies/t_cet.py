"""T-CET: compressibility of each layer times its expressivity."""

import torch
from torch import Tensor

from zc_search.proxies.base import Probe, Scalar, proxy, total


@proxy("t_cet")
def t_cet(probe: Probe) -> Scalar:
    """Sum over layers of ln det(agreement) times sum / standard deviation of the synaptic flow.

    ``sum_l ln det(K_l) sum(s_l) / std(s_l)`` over convolutions and linear layers: K_l is naswot's
    of that layer alone (N x N, signs of its outputs), s_l synflow's |weight x gradient| of its
    weights. A singular K_l counts 0, as of every layer with fewer units than images - 1; a
    standard deviation of 0 counts 1. Published code runs the first factor in evaluation mode,
    lets rounding decide on singular matrices, and pairs layers by order, not by name.
    """
    flow = probe.synaptic_flow
    terms = []
    for name, agreement in probe.layer_agreement.by_layer.items():
        if name in flow:  # of layers that share their weights the first stands for all
            determinant = agreement.log_determinant()
            expressivity = torch.where(determinant.isfinite(), determinant, 0.0)
            terms.append(expressivity * _signal_to_noise(flow[name]))
    return total(terms)


def _signal_to_noise(flow: Tensor) -> Tensor:
    if flow.numel() < 2:
        return flow.sum()
    deviation = flow.std()
    return flow.sum() / torch.where(deviation > 0, deviation, 1.0)
