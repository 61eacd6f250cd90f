"""TE-NAS: trainability by the neural tangent kernel, expressivity by linear regions."""

import torch

from zc_search.proxies import Probe, Scalar, proxy


@proxy("ntk")
def ntk(probe: Probe) -> Scalar:
    """Minus the condition number of the neural tangent kernel.

    ``-lambda_max / lambda_min``, lambda the eigenvalues of `Probe.tangent_kernel` (N x N). At
    most -1; the paper's kappa, which is minimised, has the opposite sign. -inf for a singular
    kernel: ``lambda_min <= N eps lambda_max``, eps that of the images' type. Published code
    differentiates image by image, through the normalisation statistics too, and feeds noise.
    """
    eigenvalues = torch.linalg.eigvalsh(probe.tangent_kernel)
    # The kernel is float64, but the gradients it is made of have the images' precision.
    rounding = len(eigenvalues) * torch.finfo(probe.images.dtype).eps
    singular = eigenvalues[0] <= rounding * eigenvalues[-1]
    return -torch.where(singular, torch.inf, eigenvalues[-1] / eigenvalues[0])


@proxy("linear_regions")
def linear_regions(probe: Probe) -> Scalar:
    """Number of linear regions of the input space that the images fall into.

    How many different binary ReLU codes the N images have, 1 to N. Small batches are soon all
    told apart: published code feeds thousands of inputs of few pixels to a narrow network.
    """
    return probe.relu_agreement.distinct_patterns()


@proxy("tenas")
def tenas(probe: Probe) -> Scalar:
    """Number of linear regions minus the condition number of the neural tangent kernel.

    linear_regions plus ntk, so -inf for a singular kernel. The paper adds two ranks instead; later
    tools (Zen-NAS, MASE) compute this.
    """
    return linear_regions(probe) + ntk(probe)
