"""Signed connection sensitivity."""

from zc_search.proxies.base import Probe, Scalar, proxy, total


@proxy("plain")
def plain(probe: Probe) -> Scalar:
    """Sum over all weights of weight x loss gradient, sign kept.

    ``sum_w w dL/dw`` over convolutions and linear layers. Under batch normalisation only the last
    layer and unnormalised shortcuts contribute: the value is mostly noise.
    """
    gradients = probe.loss_gradients
    return total((w.detach() * gradients[k]).sum() for k, w in probe.weights.items())
