"""EPE-NAS: how differently a network reacts to images of one class."""

import torch
import torch.nn.functional as F

from zc_search.proxies import Probe, Scalar, proxy
from zc_search.proxies.probe.passes import check_logits

_MANY_CLASSES = 100


@proxy("epe_nas")
def epe_nas(probe: Probe, *, constant: float) -> Scalar:
    """Sum over classes of |sum of ln(|correlation| + k)|, k the option constant.

    ``E_c = sum_ij ln(|r_ij| + k)`` over the images i, j of class c, r the correlations of the
    rows of the input Jacobian (N x pixels, as for jacov); the score is ``sum_c |E_c|``. For more
    than 100 classes E_c is divided by the images of the class, and the score is the mean over the
    classes seen of ``sum_d |E_c - E_d|``. NaN where an image has no gradient. Published code asks
    for the number of classes; here it is that of the logits. Where hardly any class has two
    images in the batch, the value says nothing.
    """
    correlations = torch.corrcoef(probe.input_jacobian.double())
    check_logits(probe.logits, probe.labels)
    member = F.one_hot(probe.labels, probe.logits.shape[1]).double()  # N x classes
    by_class = (member * ((correlations.abs() + constant).log() @ member)).sum(0)
    if len(by_class) <= _MANY_CLASSES:
        return by_class.abs().sum()
    images = member.sum(0)
    seen = (images > 0).double()
    scaled = by_class / images.clamp(min=1)
    between = (scaled[:, None] - scaled[None, :]).abs()
    return seen @ between @ seen / seen.sum()
