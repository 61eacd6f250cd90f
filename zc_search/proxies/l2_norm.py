"""Size of the initial weights: a count of layers in disguise."""

from zc_search.proxies.base import Scalar, proxy, total
from zc_search.proxies.probe import Probe


@proxy(
    "l2_norm",
    maximize=True,
    paper="Abdelfattah et al. 2021, Zero-Cost Proxies for Lightweight NAS (baseline)",
    counts_dead_edges=True,
)
def l2_norm(probe: Probe) -> Scalar:
    """Sum over layers of the Euclidean norm of the weights.

    ``sum_l ||W_l||_2`` over convolutions and linear layers, dead ones included; a weight
    that layers share counts once.
    """
    return total(w.detach().norm() for w in probe.weights.values())
