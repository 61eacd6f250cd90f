"""What the network costs: the baselines that every proxy has to beat."""

from zc_search.proxies.base import Scalar, proxy
from zc_search.proxies.probe.probe import Probe


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
