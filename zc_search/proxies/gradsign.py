"""GradSign: whether the images pull the weights in the same direction."""

from zc_search.proxies.base import Probe, Scalar, proxy, total


@proxy("gradsign")
def gradsign(probe: Probe, *, mean: bool) -> Scalar:
    """Sum over all weights of |sum over images of the sign of the image's own gradient|.

    ``sum_w |sum_n sign(dL_n / dw)|`` over convolutions and linear layers, L_n the cross-entropy
    of image n: 0 to N x weights. Normalisation statistics are the batch's, and constants;
    published code runs image by image. One of the authors' two scripts, and ``mean=true``, take
    the mean over the weights, which turns the ranking round.
    """
    signs = probe.gradient_signs.values()
    summed = total(s.abs().sum() for s in signs)
    return summed / sum(s.numel() for s in signs) if mean and signs else summed
