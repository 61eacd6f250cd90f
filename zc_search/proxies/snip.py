"""Connection sensitivity."""

from zc_search.proxies.base import Probe, Scalar, proxy, total


@proxy("snip")
def snip(probe: Probe) -> Scalar:
    """Sum over all weights of |weight x loss gradient|.

    ``sum_w |w dL/dw|`` over convolutions and linear layers: how much the loss reacts to removing
    connections. Not normalised as in the paper's pruning criterion.
    """
    gradients = probe.loss_gradients
    return total((w.detach() * gradients[k]).abs().sum() for k, w in probe.weights.items())
