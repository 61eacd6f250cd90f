"""NAS without training: how differently a network sees two images."""

from dataclasses import replace

from zc_search.proxies.base import Scalar, proxy
from zc_search.proxies.probe.probe import Probe

_PAPER = "Mellor et al. 2021, Neural Architecture Search without Training, eq. 3"


@proxy("naswot_relu", maximize=True, paper=_PAPER, needs={"relu_agreement"}, both_modes=True)
def naswot_relu(probe: Probe) -> Scalar:
    """Log-determinant of the images' agreement on active ReLU units.

    ``ln |det K|``, ``K_ij = units - Hamming distance`` of the binary activation codes of images i
    and j, over all ReLU layers. -inf for a singular K, as where two images share their
    code. Most papers call it nwot, which is another name for it here.
    """
    return probe.relu_agreement.log_determinant()


nwot = replace(naswot_relu, name="nwot")


@proxy(
    "naswot",
    maximize=True,
    paper=_PAPER + "; as in MASE",
    needs={"layer_agreement"},
    both_modes=True,
)
def naswot(probe: Probe) -> Scalar:
    """Log-determinant of the images' agreement on the sign of layer outputs.

    As `naswot_relu`, but the codes are the signs of the outputs of convolutions and linear
    layers, so that networks without ReLU have a value too. MASE calls this one naswot; its
    code runs in evaluation mode, which ``mode=eval`` gives.
    """
    return probe.layer_agreement.log_determinant()
