"""The baselines that every proxy has to beat: what a network costs, how large and deep it is."""

import torch

from zc_search.proxies.base import Probe, Scalar, norm, proxy, total
from zc_search.proxies.probe.data_free import forward_milliseconds


@proxy("params")
def params(probe: Probe) -> Scalar:
    """Number of parameters, frozen ones too, in millions, dead edges included.

    As an objective it is a cost and minimised by default; as a predictor more is better.
    """
    return sum(p.numel() for p in probe.network.parameters()) / 1e6


@proxy("flops")
def flops(probe: Probe) -> Scalar:
    """Multiply-accumulate operations of convolutions and matrix products, in millions an image.

    The field calls them FLOPs. Dead edges are counted, as in the benchmark's own figures.
    """
    return probe.multiply_adds / 1e6


@proxy("latency")
def latency(probe: Probe, *, images: float) -> Scalar:
    """Time of one forward pass of the whole batch on this machine, in milliseconds.

    The least of five or more in evaluation mode, in turn with passes of a reference network, with
    torch's number of threads: other work only adds time. Values of two machines cannot be
    compared. ``latency[images=1]`` is what one image waits for.
    """
    return forward_milliseconds(probe, max(1, int(images))) if images else probe.latency


@proxy("layers")
def layers(probe: Probe) -> Scalar:
    """Number of trainable layers that reach the output.

    Convolutions and linear layers with a loss gradient other than 0, so none on dead edges.
    """
    depends = [(gradient != 0).any() for gradient in probe.loss_gradients.values()]
    return torch.stack(depends).sum() if depends else 0.0


@proxy("l2_norm")
def l2_norm(probe: Probe, *, by_layer: bool) -> Scalar:
    """Sum over layers of the Euclidean norm of the weights, a count of layers in disguise.

    ``sum_l ||W_l||_2`` over convolutions and linear layers, dead ones included; a shared weight
    counts once. With ``by_layer=false`` the norm of all weights as one vector.
    """
    norms = [w.detach().norm() for w in probe.weights.values()]
    return total(norms) if by_layer else norm(norms)
