"""What a network may cost: how far one is beyond it, and whether any can keep it."""

import math
from collections.abc import Mapping

from zc_search.config import Config, Constraints
from zc_search.errors import ConfigError
from zc_search.proxies import resolve_proxies
from zc_search.scoring.scorer import Scorer
from zc_search.spaces import PARAMETERS, Architecture

_UNITS = {"max_params": "M parameters", "max_flops": "M multiply-adds", "max_latency_ms": "ms"}


def violations(constraints: Constraints, proxies: Mapping[str, float]) -> dict[str, float]:
    """Return by constraint how far an architecture is beyond it, as a share of the limit.

    At or below 0 it is kept; where the cost is not known it is 1. Shares, so that those of
    several constraints can be added up, as NSGA-II does.
    """
    beyond = {
        name: proxies.get(proxy, math.nan) / limit - 1
        for proxy, (name, limit) in constraints.limits.items()
    }
    return {name: share if math.isfinite(share) else 1.0 for name, share in beyond.items()}


def broken(constraints: Constraints, proxies: Mapping[str, float]) -> str | None:
    """Say which constraints an architecture breaks; None if it keeps them all."""
    beyond = violations(constraints, proxies)
    sentences = (
        f"{proxies.get(proxy, math.nan):.4g} {_UNITS[name]}, above {name} = {limit:g}"
        for proxy, (name, limit) in constraints.limits.items()
        if beyond[name] > 0
    )
    return "; ".join(sentences) or None


def check_constraints(config: Config, scorer: Scorer) -> None:
    """Raise a ConfigError if not even the cheapest cell keeps a limit of parameters or FLOPs.

    Only in the space of NAS-Bench-201 cells is it known which cell that is: on each edge what has
    no weights, if that is allowed. Elsewhere, and for latency, the search itself will tell.
    """
    limits = config.constraints.limits
    if not {"params", "flops"} & limits.keys() or config.space.name != "nasbench201":
        return
    order = ("skip_connect", "avg_pool_3x3", "none", "nor_conv_1x1", "nor_conv_3x3")
    cheapest = Architecture(
        tuple(min(getattr(config.space, edge), key=order.index) for edge in PARAMETERS)
    )
    costs = scorer.fresh(resolve_proxies(("params", "flops"))).score(cheapest).values
    for proxy, (name, limit) in limits.items():
        if costs.get(proxy, 0.0) > limit:
            key = f"constraints.{name}"
            message = (
                f"{key}: no architecture satisfies it: the limit is {limit:g} {_UNITS[name]}, and "
                f"the smallest network of this space has {costs[proxy]:.4g}; allow more, or set a "
                "smaller space.channels or space.cells"
            )
            raise ConfigError(message, key=key, given=limit)
