"""Size of the initial weights: a count of layers in disguise."""

from zc_search.proxies.base import Scalar, norm, proxy, total
from zc_search.proxies.probe.probe import Probe


@proxy("l2_norm")
def l2_norm(probe: Probe, *, by_layer: bool) -> Scalar:
    """Sum over layers of the Euclidean norm of the weights.

    ``sum_l ||W_l||_2`` over convolutions and linear layers, dead ones included; a weight
    that layers share counts once. With ``by_layer=false`` the norm of all weights as one vector.
    """
    norms = [w.detach().norm() for w in probe.weights.values()]
    return total(norms) if by_layer else norm(norms)
