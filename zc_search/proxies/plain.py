"""Signed connection sensitivity."""

from zc_search.proxies.base import Scalar, proxy, total
from zc_search.proxies.probe.probe import Probe


@proxy("plain")
def plain(probe: Probe) -> Scalar:
    """Sum over all weights of weight x loss gradient, sign kept.

    ``sum_w w dL/dw`` over convolutions and linear layers. Under batch normalisation the loss
    does not react to the scale of a layer, so all but the last layer and the unnormalised
    shortcuts contribute nothing: the value mostly repeats the noise of weights and batch, and
    another seed ranks architectures differently.
    """
    gradients = probe.loss_gradients
    return total((w.detach() * gradients[k]).sum() for k, w in probe.weights.items())
