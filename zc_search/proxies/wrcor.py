"""WRCor: weighted response correlation."""

from zc_search.proxies import Probe, Scalar, proxy
from zc_search.proxies.probe.features import log_determinant


@proxy("wrcor")
def wrcor(probe: Probe) -> Scalar:
    """Log-determinant of the images' correlations of responses and of their gradients.

    ``ln |det K|, K = sum_l 2^b_l (|C(x_l)| + |C(g_l)|)`` over activations l, as ReLU: C
    (N x N) are the correlations between images of its input x and of the loss gradient g by it,
    and b is the number of primary blocks before it. A matrix with an undefined correlation is left
    out; -inf for a singular K. Published code counts the layers of dead edges too.
    """
    return log_determinant(probe.response_correlations)
