"""What running the network costs on this machine."""

from zc_search.proxies.base import Scalar, proxy
from zc_search.proxies.probe.costs import forward_milliseconds
from zc_search.proxies.probe.probe import Probe


@proxy("latency")
def latency(probe: Probe, *, images: float) -> Scalar:
    """Time of one forward pass of the whole batch on this machine, in milliseconds.

    Median of five in evaluation mode, after one to warm up, with torch's own number of threads;
    the values of two machines cannot be compared. With the option ``images`` the pass is of so
    many of the batch's images: ``latency[images=1]`` is what one image waits for.
    """
    if not images:
        return probe.latency
    return forward_milliseconds(probe, max(1, int(images)))
