"""NAS without training: how differently a network sees two images."""

from zc_search.proxies import Probe, Scalar, proxy


@proxy("naswot_relu")
def naswot_relu(probe: Probe) -> Scalar:
    """Log-determinant of the images' agreement on active ReLU units.

    ``ln |det K|``, ``K_ij = units - Hamming distance`` of the binary activation codes of images i
    and j, over all ReLU layers. -inf for a singular K, as where two images share their code. Most
    papers call it nwot, another name for it here. Published code counts the units of dead edges
    too, as ``dead=true`` does: over ten such cells that is within 1e-7 of published values.
    """
    return probe.relu_agreement.log_determinant()


nwot = proxy("nwot")(naswot_relu.function)


@proxy("naswot")
def naswot(probe: Probe) -> Scalar:
    """Log-determinant of the images' agreement on the sign of layer outputs.

    As `naswot_relu`, but of the outputs of convolutions and linear layers, so that networks without
    ReLU have a value too. MASE calls this one naswot; its code runs in evaluation mode
    (``mode=eval``) and with dead edges (``dead=true``).
    """
    return probe.layer_agreement.log_determinant()
