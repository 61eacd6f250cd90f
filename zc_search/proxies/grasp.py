"""Preservation of the gradient flow."""

from zc_search.proxies import Probe, Scalar, proxy


@proxy("grasp")
def grasp(probe: Probe) -> Scalar:
    """Sum over all weights of minus weight x (Hessian x loss gradient).

    ``-sum_w w (H g)_w`` over convolutions and linear layers: the first-order change of the
    squared gradient norm when the weights shrink. Sign and temperature (1; the pruning paper's is
    200) follow Abdelfattah et al. 2021.
    """
    return 0.0 - probe.gradient_curvature  # -x would be -0.0 where there is nothing
