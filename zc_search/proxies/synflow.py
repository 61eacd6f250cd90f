"""Synaptic flow."""

import torch

from zc_search.proxies.base import Probe, Scalar, proxy, total


@proxy("synflow")
def synflow(probe: Probe, *, log: bool) -> Scalar:
    """Natural logarithm of the summed synaptic flow; no image and no label enters.

    ``ln sum_w |w dR/dw|`` over convolutions and linear layers, where R sums the outputs of the
    network with absolute weights and without batch normalisation for an input of ones. The sum
    itself, which published code and ``log=false`` report, reaches 1e44.
    """
    flow = torch.as_tensor(total(flow.sum() for flow in probe.synaptic_flow.values()))
    return flow.log() if log else flow
