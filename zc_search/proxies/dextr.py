"""Dextr: how far from collinear channels are, and how the outputs bend."""

import torch

from zc_search.proxies.base import Probe, Scalar, present, proxy

_NO_MAPS = "no layer of the network returns feature maps, N x C x H x W"


@proxy("dextr_svd")
def dextr_svd(probe: Probe) -> Scalar:
    """Logarithm of 1 + the sum over layers of the inverse condition number of their maps.

    ``ln(1 + sum_l s_min(X_l) / s_max(X_l))``, X_l (C x HW) layer l's maps of the first image, which
    passes the network alone: the less channels repeat each other, the better. No label enters.
    Published code counts containers, outputs of one position and the layers of dead edges, which
    ``dead=true`` does too: over 31 cells Kendall's tau with it is .91, with ``dead=true`` .96.
    """
    return torch.log1p(present(probe.inverse_conditions, _NO_MAPS).sum())


@proxy("dextr_curvature")
def dextr_curvature(probe: Probe) -> Scalar:
    """Logarithm of 1 + the extrinsic curvature of the outputs along a circle of images.

    ``ln(1 + k)``, k that of `Probe.output_curvature` at one point of one circle, of `Probe.seed`;
    neither image nor label enters. NaN where the outputs do not depend on the image. Published code
    draws its ten outputs with repetition. It says little: over 31 cells two circles of published
    code agree with a tau of -.10.
    """
    return torch.log1p(probe.output_curvature)


@proxy("dextr")
def dextr(probe: Probe) -> Scalar:
    """Singular values of the maps and curvature of the outputs, in one.

    ``A B / (A + B)``, A that of `dextr_svd` and B of `dextr_curvature`: half their harmonic mean.
    Over 31 cells published code agrees with itself, on another circle, with a tau of .71.
    """
    a, b = dextr_svd.function(probe), dextr_curvature.function(probe)
    return a * b / (a + b)
