"""Size of the loss gradient."""

from zc_search.proxies.base import Scalar, proxy, total
from zc_search.proxies.probe import Probe


@proxy(
    "grad_norm",
    maximize=True,
    paper="Abdelfattah et al. 2021, Zero-Cost Proxies for Lightweight NAS, section 3.1",
    needs={"loss_gradients"},
)
def grad_norm(probe: Probe) -> Scalar:
    """Sum over layers of the Euclidean norm of the loss gradient by the weights.

    ``sum_l ||dL/dW_l||_2`` over convolutions and linear layers.
    """
    return total(g.norm() for g in probe.loss_gradients.values())
