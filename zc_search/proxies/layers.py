"""How deep and wide a network is, in layers."""

import torch

from zc_search.proxies.base import Scalar, proxy
from zc_search.proxies.probe.probe import Probe


@proxy("layers")
def layers(probe: Probe) -> Scalar:
    """Number of trainable layers that reach the output.

    Convolutions and linear layers with a loss gradient other than 0: neither those on dead edges
    nor those whose input is always 0.
    """
    depends = [(gradient != 0).any() for gradient in probe.loss_gradients.values()]
    return torch.stack(depends).sum() if depends else 0.0
