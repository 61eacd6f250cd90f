"""T-CET: compressibility of each layer times its expressivity."""

import torch
from torch import Tensor

from zc_search.proxies.base import Scalar, proxy, total
from zc_search.proxies.probe.patterns import Agreement
from zc_search.proxies.probe.probe import Probe


@proxy("t_cet")
def t_cet(probe: Probe) -> Scalar:
    """Sum over layers of ln det(agreement) times sum / standard deviation of the synaptic flow.

    For every convolution and linear layer l, ``ln det K_l`` is naswot's of that layer alone
    (N x N, signs of its outputs), and s_l is synflow's |weight x gradient| of its weights:
    ``sum_l ln det(K_l) sum(s_l) / std(s_l)``. A singular K_l counts 0, as of every layer with
    fewer units than images - 1; a standard deviation of 0 counts 1.

    Published code runs the first factor in evaluation mode, takes the determinant of singular
    matrices at the mercy of rounding, and pairs the factors of layers in order of calls with
    those in order of definition; here it is by layer.
    """
    flow = probe.synaptic_flow
    terms = [
        _log_determinant(agreement) * _signal_to_noise(flow[name])
        for name, agreement in probe.layer_agreement.by_layer.items()
        if name in flow  # of layers that share their weights the first stands for all
    ]
    return total(terms)


def _log_determinant(agreement: Agreement) -> Tensor:
    determinant = agreement.log_determinant()
    return torch.where(determinant.isfinite(), determinant, 0.0)


def _signal_to_noise(flow: Tensor) -> Tensor:
    if flow.numel() < 2:
        return flow.sum()
    deviation = flow.std()
    return flow.sum() / torch.where(deviation > 0, deviation, 1.0)
