"""A proxy of one's own: parameters count more, the deeper in the network they sit.

Name it in a search file as ``example_proxy:weighted_params``, or announce it in the
``pyproject.toml`` of your package and name it ``weighted_params``::

    [project.entry-points."zc_search.proxies"]
    weighted_params = "example_proxy:weighted_params"
"""

from zc_search.proxies import Probe, proxy


@proxy("weighted_params", maximize=True, paper="an example", counts_dead_edges=True)
def weighted_params(probe: Probe) -> float:
    """Thousands of weights of convolutions and linear layers, each times the layer's depth.

    ``sum_l l/L n_l / 1000``, layer l of L having n_l weights: no measurement is needed.
    """
    sizes = [weight.numel() for weight in probe.weights.values()]
    return sum(depth * n for depth, n in enumerate(sizes, start=1)) / len(sizes) / 1000


def bare(probe: Probe) -> float:
    """Spread of the logits: a function without a decorator is a proxy to be maximised."""
    return float(probe.logits.std())
