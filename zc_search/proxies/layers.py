"""How deep and wide a network is, in layers."""

import torch
from torch import Tensor

from zc_search.proxies.base import Scalar, proxy
from zc_search.proxies.probe.probe import Probe


def count_layers(probe: Probe) -> Tensor:
    """Return the number of convolutions and linear layers that the loss depends on."""
    depends = [(gradient != 0).any() for gradient in probe.loss_gradients.values()]
    return torch.stack(depends).sum() if depends else probe.images.new_zeros(())


@proxy("layers")
def layers(probe: Probe) -> Scalar:
    """Number of trainable layers that reach the output.

    Convolutions and linear layers with a loss gradient other than 0: neither those on dead edges
    nor those whose input is always 0.
    """
    return count_layers(probe)
