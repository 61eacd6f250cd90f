"""Size of the loss gradient."""

from zc_search.proxies.base import Probe, Scalar, norm, proxy, total


@proxy("grad_norm")
def grad_norm(probe: Probe, *, by_layer: bool) -> Scalar:
    """Sum over layers of the Euclidean norm of the loss gradient by the weights.

    ``sum_l ||dL/dW_l||_2`` over convolutions and linear layers; with ``by_layer=false`` the norm
    of all their gradients as one vector.
    """
    norms = [g.norm() for g in probe.loss_gradients.values()]
    return total(norms) if by_layer else norm(norms)
