"""Zen-NAS: how strongly features react to a change of the input."""

from zc_search.proxies import Probe, Scalar, proxy


@proxy("zen")
def zen(probe: Probe) -> Scalar:
    """Logarithm of the change of the features, plus that of all normalisation scales.

    ``ln mean_n sum |f(x_n + 0.01 e_n) - f(x_n)| + sum_l ln sqrt(mean_c variance_lc)`` with
    weights, x and e standard normal, of `Probe.seed`, f the last feature maps (N x C x H x W, more
    than one position) of any module, and the variances those that batch normalisation l divides
    by: the scales undo the normalisation. No image and no label enters. Published code reads
    running variances, averages 32 draws and runs dead edges, as ``dead=true`` does: over ten such
    cells Kendall's tau with it is .91 (the default's .70).
    """
    difference, log_scale = probe.gaussian_perturbation
    return difference.log() + log_scale
