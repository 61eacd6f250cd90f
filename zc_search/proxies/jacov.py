"""Covariance of the input Jacobians."""

import torch
from torch import Tensor

from zc_search.proxies import Probe, Scalar, proxy


@proxy("jacov")
def jacov(probe: Probe, *, constant: float) -> Scalar:
    """Minus the sum over eigenvalues v of ln(v + k) + 1/(v + k), k the option constant.

    v are the eigenvalues of the correlation matrix of the N rows of the input Jacobian (the
    gradient of the sum of an image's logits by its pixels). Uncorrelated rows have the most, -N;
    NaN where an image has no gradient. Sign and constant as in Abdelfattah et al. 2021.
    """
    correlations = torch.corrcoef(probe.input_jacobian.double())
    undefined = 0 * correlations.sum()  # NaN if any is, without waiting for a device
    shifted: Tensor = torch.linalg.eigvalsh(torch.nan_to_num(correlations)) + constant
    return undefined - (shifted.log() + 1 / shifted).sum()
