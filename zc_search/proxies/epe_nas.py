"""EPE-NAS: how differently a network reacts to images of one class."""

import torch
import torch.nn.functional as F

from zc_search.proxies import Probe, Scalar, proxy

_MANY_CLASSES = 100


@proxy("epe_nas")
def epe_nas(probe: Probe, *, constant: float) -> Scalar:
    """Sum over classes of |sum of ln(|correlation| + k)|, k the option constant.

    ``E_c = sum_ij ln(|r_ij| + k)`` over the images i, j of class c, r the correlations of the
    rows of the input Jacobian (N x pixels, as for jacov); the score is ``sum_c |E_c|``. Beyond
    100 classes of the data set E_c is divided by the images of the class, and the score is the
    mean over the classes with two images or more, without which it is refused, of
    ``sum_d |E_c - E_d|``. NaN where an image has no gradient. Of up to 100 classes, those with one
    image add a constant ln(1 + k): without two images of one class all networks have one value.
    """
    correlations = torch.corrcoef(probe.input_jacobian.double())
    # Rounding would rank networks of which nothing is known.
    correlations.diagonal().copy_(1 + 0 * correlations.diagonal())
    member = F.one_hot(probe.labels, max(probe.classes, 1 + int(probe.labels.max()))).double()
    by_class = (member * ((correlations.abs() + constant).log() @ member)).sum(0)
    if probe.classes <= _MANY_CLASSES:
        return by_class.abs().sum()
    images = member.sum(0)
    seen = (images > 1).double()
    if not seen.any():
        message = f"no class has two of the {len(member)} images; Allowed: a larger data.batch_size"
        raise ValueError(f"{message}, or a data set of fewer classes")
    scaled = by_class / images.clamp(min=1)
    between = (scaled[:, None] - scaled[None, :]).abs()
    return seen @ between @ seen / seen.sum()
