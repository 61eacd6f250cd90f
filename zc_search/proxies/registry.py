"""Every proxy by its name: ours, installed ones, and the user's own ``module:function``."""

import inspect
from collections.abc import Iterable
from dataclasses import replace
from importlib.metadata import entry_points

from zc_search._utils.plugins import import_here
from zc_search.errors import ProxyError, unknown_name
from zc_search.proxies.az_nas import (
    az_complexity,
    az_expressivity,
    az_progressivity,
    az_trainability,
)
from zc_search.proxies.base import Proxy, Scalar, proxy
from zc_search.proxies.catalogue import ENTRY_POINT_GROUP, read_options, split_options
from zc_search.proxies.costs import flops, params
from zc_search.proxies.epe_nas import epe_nas
from zc_search.proxies.fisher import fisher
from zc_search.proxies.grad_norm import grad_norm
from zc_search.proxies.gradsign import gradsign
from zc_search.proxies.grasp import grasp
from zc_search.proxies.jacov import jacov
from zc_search.proxies.l2_norm import l2_norm
from zc_search.proxies.latency import latency
from zc_search.proxies.layers import layers
from zc_search.proxies.meco import meco, meco_opt
from zc_search.proxies.naswot import naswot, naswot_relu, nwot
from zc_search.proxies.plain import plain
from zc_search.proxies.probe.measurements import Measurement
from zc_search.proxies.probe.probe import Probe
from zc_search.proxies.snip import snip
from zc_search.proxies.swap import reg_swap, swap
from zc_search.proxies.synflow import synflow
from zc_search.proxies.t_cet import t_cet
from zc_search.proxies.tenas import linear_regions, ntk, tenas
from zc_search.proxies.vkdnw import vkdnw, vkdnw_entropy
from zc_search.proxies.wrcor import wrcor
from zc_search.proxies.zen import zen
from zc_search.proxies.zico import zico

__all__ = [
    "ENTRY_POINT_GROUP",
    "PROXIES",
    "Measurement",
    "Probe",
    "Proxy",
    "Scalar",
    "proxy",
    "resolve_proxies",
    "resolve_proxy",
]

PROXIES: dict[str, Proxy] = {
    p.name: p
    for p in (
        grad_norm,
        snip,
        grasp,
        fisher,
        plain,
        l2_norm,
        naswot,
        naswot_relu,
        nwot,
        tenas,
        ntk,
        linear_regions,
        zico,
        synflow,
        t_cet,
        jacov,
        epe_nas,
        gradsign,
        wrcor,
        zen,
        swap,
        reg_swap,
        meco,
        meco_opt,
        az_expressivity,
        az_progressivity,
        az_trainability,
        az_complexity,
        vkdnw,
        vkdnw_entropy,
        layers,
        params,
        flops,
        latency,
    )
}


def resolve_proxy(name: str) -> Proxy:
    """Return the proxy of this name, be it ours, an entry point or ``module:function``.

    The function may be an attribute of one, as in ``module:Class.method``. Options follow in
    brackets: ``jacov[constant=1e-3,mode=eval]``.

    Raises:
        ProxyError: Nothing has this name or such an option, it cannot be imported, or it takes no
            `Probe`.
    """
    try:
        base, given = split_options(name)
        found = _find(base)
        if not given:
            return found
        options = read_options(base, given, found.defaults, modes=found.both_modes)
    except ValueError as error:
        raise ProxyError(str(error)) from error
    return found.with_options(name, options)


def _find(name: str) -> Proxy:
    if name in PROXIES:
        return PROXIES[name]
    if ":" in name:
        return _as_proxy(name, _import(name, name))
    for entry in entry_points(group=ENTRY_POINT_GROUP, name=name):
        return _as_proxy(name, _import(name, entry.value.partition("[")[0].strip()))
    announced = [entry.name for entry in entry_points(group=ENTRY_POINT_GROUP)]
    raise ProxyError(unknown_name("proxy", name, [*PROXIES, *announced, "module:function"]))


def resolve_proxies(names: Iterable[str]) -> tuple[Proxy, ...]:
    """Return the proxies of these names, each once, in their order; see `resolve_proxy`."""
    return tuple(resolve_proxy(name) for name in dict.fromkeys(names))


def _import(name: str, place: str) -> object:
    module_name, _, path = (part.strip() for part in place.partition(":"))
    if not all(part.isidentifier() for part in (*module_name.split("."), *path.split("."))):
        raise ProxyError(f"proxy {name!r}: {place!r} is not of the form 'module:function'")
    try:
        value: object = import_here(module_name)
    except ImportError as error:
        raise ProxyError(f"proxy {name!r}: cannot import {module_name!r} ({error})") from error
    except Exception as error:  # the module is anybody's code
        raise ProxyError(
            f"proxy {name!r}: importing {module_name!r} raised {type(error).__name__}: {error}"
        ) from error
    for attribute in path.split("."):
        try:
            value = getattr(value, attribute)
        except Exception as error:  # so may be the attribute
            raise ProxyError(f"proxy {name!r}: {module_name!r} has no {path!r}") from error
    return value


def _as_proxy(name: str, value: object) -> Proxy:
    if isinstance(value, Proxy):
        return replace(value, name=name)
    if not callable(value):
        raise ProxyError(f"proxy {name!r} is a {type(value).__name__}, not a function of a Probe")
    try:
        inspect.signature(value).bind(None)
    except (TypeError, ValueError) as error:
        raise ProxyError(
            f"proxy {name!r} must take one argument, a Probe; "
            f"{getattr(value, '__name__', value)}{_signature(value)} does not"
        ) from error
    # Unannounced, so the architecture as written is what it gets to see.
    return Proxy(name, value, "maximize", "user's own", counts_dead_edges=True)


def _signature(value: object) -> str:
    try:
        return str(inspect.signature(value))  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return "(?)"
