"""Every proxy by its name: ours, installed ones, and the user's own ``module:function``."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from importlib import import_module
from importlib.metadata import entry_points

from zc_search._utils.plugins import load_plugin
from zc_search.errors import ProxyError
from zc_search.proxies.base import Proxy, options_of
from zc_search.proxies.catalogue import CATALOGUE, ENTRY_POINT_GROUP, split_options


class _BuiltIn(Mapping[str, Proxy]):
    """Imports a proxy's file when somebody asks for it."""

    def __getitem__(self, name: str) -> Proxy:
        module = CATALOGUE[name].place.partition(":")[0]
        found: Proxy = getattr(import_module(f"zc_search.proxies.{module}"), name)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(CATALOGUE)

    def __len__(self) -> int:
        return len(CATALOGUE)


PROXIES: Mapping[str, Proxy] = _BuiltIn()
"""The built-in proxies by name."""


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
        return found.with_options(name, found.read_options(given)) if given else found
    except ValueError as error:
        raise ProxyError(str(error), given=name) from error


def resolve_proxies(names: Iterable[str]) -> tuple[Proxy, ...]:
    """Return the proxies of these names, each once, in their order; see `resolve_proxy`."""
    return tuple(resolve_proxy(name) for name in dict.fromkeys(names))


def _find(name: str) -> Proxy:
    if name in CATALOGUE:
        return PROXIES[name]
    installed = entry_points(group=ENTRY_POINT_GROUP)
    place = name
    if ":" not in name:
        if name not in installed.names:
            allowed = [*CATALOGUE, *installed.names, "module:function"]
            raise ProxyError.unknown("proxy", name, allowed)
        place = installed[name].value.partition("[")[0].strip()
    value = load_plugin(place, f"proxy {name!r}", ProxyError)
    if isinstance(value, Proxy):
        return replace(value, name=name)
    if not callable(value):
        raise ProxyError(f"proxy {name!r} is a {type(value).__name__}, not a function of a Probe")
    try:
        inspect.signature(value).bind(None)
    except (TypeError, ValueError) as error:
        raise ProxyError(
            f"proxy {name!r} must take one argument, a Probe; {_signature(value)} does not"
        ) from error
    # Unannounced, so the architecture as written is what it gets to see.
    return Proxy(
        name=name,
        function=value,
        direction="maximize",
        paper="user's own",
        counts_dead_edges=True,
        defaults=options_of(value),
    )


def _signature(value: Callable[..., object]) -> str:
    name = getattr(value, "__name__", value)
    try:
        return f"{name}{inspect.signature(value)}"
    except (TypeError, ValueError):
        return f"{name}(?)"
