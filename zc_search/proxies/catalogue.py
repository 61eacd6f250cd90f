"""The names a configuration may use for proxies, readable without importing torch.

A name may carry options in brackets, where more than one definition is in use:
``fisher[weighted=false]``, ``jacov[constant=1e-3,mode=eval]``.
"""

import re
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Literal

from zc_search.errors import unknown_name

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
    "wrcor": "maximize",
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

OptionValue = bool | float

OPTIONS: dict[str, dict[str, OptionValue]] = {
    "grad_norm": {"by_layer": True},
    "fisher": {"weighted": True},
    "l2_norm": {"by_layer": True},
    "synflow": {"log": True},
    "jacov": {"constant": 1e-5},
    "epe_nas": {"constant": 1e-5},
    "reg_swap": {"mu": 1.5, "sigma": 1.0},
    "latency": {"images": 0.0},
}
"""The options of built-in proxies, with what holds where nothing is said."""

MODE = "mode"
"""The option of the proxies in `BOTH_MODES`: ``train`` (the default) or ``eval``."""

BOTH_MODES = frozenset(
    {
        "grad_norm",
        "snip",
        "grasp",
        "fisher",
        "plain",
        "naswot",
        "naswot_relu",
        "nwot",
        "linear_regions",
        "zico",
        "jacov",
        "epe_nas",
        "swap",
        "reg_swap",
        "layers",
        "wrcor",
    }
)
"""Proxies that may be measured with the network in evaluation mode instead of in training mode."""

_WITH_OPTIONS = re.compile(r"([^\[\]]+)\[([^\[\]]+)\]")
_TRUTH: dict[str, OptionValue] = {"true": True, "false": False}

ENTRY_POINT_GROUP = "zc_search.proxies"
"""Where an installed package announces proxies of its own."""


def installed_proxies() -> tuple[str, ...]:
    """Return the names of proxies that other installed packages offer, importing none of them."""
    return tuple(sorted(entry_points(group=ENTRY_POINT_GROUP).names))


def split_names(text: str) -> list[str]:
    """Split a list at its commas, but not at those between options.

    >>> split_names("snip, jacov[constant=1e-3,mode=eval]")
    ['snip', 'jacov[constant=1e-3,mode=eval]']
    """
    return [part.strip() for part in re.split(r",(?![^\[\]]*\])", text) if part.strip()]


def split_options(name: str) -> tuple[str, dict[str, str]]:
    """Take ``proxy[option=value,...]`` apart; any other name has no options.

    >>> split_options("fisher[weighted=false]")
    ('fisher', {'weighted': 'false'})

    Raises:
        ValueError: Something between the brackets is not of this form, or is said twice.
    """
    match = _WITH_OPTIONS.fullmatch(name)
    if match is None:
        return name, {}
    options: dict[str, str] = {}
    for part in match[2].split(","):
        key, equals, value = (text.strip() for text in part.partition("="))
        if not (key and equals and value) or key in options:
            raise ValueError(
                f"{name!r}: {part.strip()!r} is no option; "
                "Allowed: each option once, as in jacov[constant=1e-3,mode=eval]"
            )
        options[key] = value
    return match[1].strip(), options


def read_options(
    name: str, given: Mapping[str, str], defaults: Mapping[str, OptionValue], *, modes: bool
) -> dict[str, OptionValue | str]:
    """Turn options as written into values of the types of their defaults.

    Args:
        name: The proxy's, for messages.
        given: As `split_options` returns them.
        defaults: The options that the proxy has.
        modes: Whether it has the option `MODE` too.

    Raises:
        ValueError: An option that the proxy has not, or a value of another type.
    """
    allowed = [*defaults, MODE] if modes else list(defaults)
    values: dict[str, OptionValue | str] = {}
    for key, text in given.items():
        if key not in allowed:
            if not allowed:
                raise ValueError(f"{name} has no options, but {key!r} is given")
            raise ValueError(unknown_name(f"option of {name}", key, allowed))
        if key == MODE:
            if text not in ("train", "eval"):
                raise ValueError(unknown_name(f"mode of {name}", text, ("train", "eval")))
            values[key] = text
        elif isinstance(defaults[key], bool):
            if text not in _TRUTH:
                raise ValueError(unknown_name(f"{key} of {name}", text, _TRUTH))
            values[key] = _TRUTH[text]
        else:
            values[key] = _number(f"{key} of {name}", text, defaults[key])
    return values


def _number(what: str, text: str, default: float) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if number != default and not 0 < number < float("inf"):
        raise ValueError(f"{what}: {text!r} is given; Allowed: a number above 0")
    return number


def check_options(name: str) -> str:
    """Return the name without its options, which are checked where the proxy is a built-in one.

    Raises:
        ValueError: As `split_options` and `read_options`.
    """
    base, given = split_options(name)
    if given and base in DEFAULT_DIRECTIONS:
        read_options(base, given, OPTIONS.get(base, {}), modes=base in BOTH_MODES)
    return base


def default_direction(name: str) -> Direction | None:
    """Return the direction of a built-in proxy, whatever its options; None of any other."""
    return DEFAULT_DIRECTIONS.get(name.partition("[")[0])
