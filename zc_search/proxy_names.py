"""The names a configuration may use for proxies, readable without importing torch."""

from importlib.metadata import entry_points
from typing import Literal

Direction = Literal["maximize", "minimize"]

DEFAULT_DIRECTIONS: dict[str, Direction] = {
    "grad_norm": "maximize",
    "snip": "maximize",
    "grasp": "maximize",
    "fisher": "maximize",
    "plain": "maximize",
    "l2_norm": "maximize",
    "naswot": "maximize",
    "naswot_relu": "maximize",
    "nwot": "maximize",
    "tenas": "maximize",
    "ntk": "maximize",
    "linear_regions": "maximize",
    "zico": "maximize",
    "synflow": "maximize",
    "t_cet": "maximize",
    "jacov": "maximize",
    "epe_nas": "maximize",
    "gradsign": "maximize",
    "zen": "maximize",
    "swap": "maximize",
    "reg_swap": "maximize",
    "meco": "maximize",
    "meco_opt": "maximize",
    "az_expressivity": "maximize",
    "az_progressivity": "maximize",
    "az_trainability": "maximize",
    "az_complexity": "maximize",
    "vkdnw": "maximize",
    "vkdnw_entropy": "maximize",
    "layers": "maximize",
    # As a proxy more is better, but who names a cost as an objective wants less of it.
    "params": "minimize",
    "flops": "minimize",
    "latency": "minimize",
}
"""Every built-in proxy with the direction that ``"default"`` means for it as an objective."""

ENTRY_POINT_GROUP = "zc_search.proxies"
"""Where an installed package announces proxies of its own."""


def installed_proxies() -> tuple[str, ...]:
    """Return the names of proxies that other installed packages offer, importing none of them."""
    return tuple(sorted(entry_points(group=ENTRY_POINT_GROUP).names))
