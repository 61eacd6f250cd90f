"""AZ-NAS: four views of one network; `zc_search.ensemble.aggregate` combines their ranks."""

from zc_search.proxies.base import Probe, Scalar, present, proxy

_NO_BLOCK = "no block of the network maps feature maps to feature maps"


@proxy("az_expressivity")
def az_expressivity(probe: Probe) -> Scalar:
    """Sum over primary blocks of the entropy of the features' principal components.

    ``sum_l E_l, E_l = -sum_c p_c ln(p_c + 1e-8)``, p the eigenvalues of the covariance (C x C,
    over images and positions) of the features before the first block and after each one, divided
    by their sum; NaN where all are 0. Primary blocks are cells and residual blocks. Published code
    feeds noise to weights of He's normal distribution, here it is the batch.
    """
    return present(probe.block_entropies, _NO_BLOCK).sum()


@proxy("az_progressivity")
def az_progressivity(probe: Probe) -> Scalar:
    """Smallest growth of the features' entropy from one primary block to the next.

    ``min_l E_l - E_(l-1)`` with E as for az_expressivity: feature space should not shrink.
    """
    return present(probe.block_entropies, _NO_BLOCK).diff().min()


@proxy("az_trainability")
def az_trainability(probe: Probe) -> Scalar:
    """How close the blocks' Jacobians are to keeping the length of gradients.

    ``mean_l (2 - s_l - 1 / (s_l + 1e-6))``, s_l the spectral norm of block l's Jacobian averaged
    over images and positions, estimated from random signs g sent back through the block:
    ``mean (J^T g) g^T`` (C_in x C_out). Where a block halves the resolution, the positions it
    merges count as channels. At most about 0, at s = 1; -inf if a block hands its input on.
    Blocks of one shape share their signs, of `Probe.seed`; published code draws for each.
    """
    norms = present(probe.block_jacobian_norms, _NO_BLOCK)
    return (2 - norms - 1 / (norms + 1e-6)).mean()


@proxy("az_complexity")
def az_complexity(probe: Probe) -> Scalar:
    """Multiply-accumulate operations for one image, in millions, as a promise of accuracy.

    The same number as flops, which as an objective is a cost; AZ-NAS wants more of it.
    """
    return probe.multiply_adds / 1e6
