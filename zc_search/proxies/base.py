"""What a proxy is, a named function of a Probe, and how one is looked up by its name."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from contextlib import suppress
from dataclasses import dataclass, field, replace
from hashlib import sha256
from importlib import import_module
from importlib.metadata import entry_points

import torch
from torch import Tensor

from zc_search._utils.plugins import load_plugin
from zc_search._utils.torch_defaults import usual_defaults
from zc_search.errors import ProxyError
from zc_search.proxies.catalogue import (
    CATALOGUE,
    DEAD,
    ENTRY_POINT_GROUP,
    MODE,
    PUBLISHED,
    Declaration,
    OptionValue,
    split_options,
)
from zc_search.proxies.probe.probe import Probe as Probe
from zc_search.proxies.probe.probe import cost_class, sandboxed

Scalar = float | Tensor
"""A number, or a tensor of one element so that a GPU is waited for once and not per proxy."""

ProxyFunction = Callable[..., Scalar]


@dataclass(frozen=True, kw_only=True)
class Proxy(Declaration):
    """A zero-cost proxy; `Declaration` has the rest of its attributes."""

    function: ProxyFunction  # maps a `Probe`, and options by keyword, to one number
    training: bool = True  # whether it is measured in training mode
    dead: bool = False  # whether dead edges are run and counted
    options: Mapping[str, OptionValue] = field(default_factory=dict, hash=False)

    def __call__(self, probe: Probe) -> Scalar:
        """Score the probed network; a user's own function gets copies, and leaves no trace."""
        measured = probe if self.training else probe.evaluating
        measured = measured.with_dead_edges if self.dead else measured
        options = {**self.defaults, **self.options}
        with usual_defaults():
            if self.place:
                measured.require_seen()
                return self.function(measured, **options)
            with sandboxed(measured, self.name) as lent:
                return self.function(lent, **options)

    def __reduce__(self) -> tuple[Callable[[str], "Proxy"], tuple[str]]:
        """Travel to another process by name: the decorated function's own name leads here."""
        return resolve_proxy, (self.name,)

    @property
    def definition(self) -> str:
        """As `Declaration.definition`; of a user's own proxy with a digest of its source."""
        if self.place:
            return super().definition
        digest = "unknown"
        with suppress(OSError, TypeError):  # made by exec, or not in Python
            digest = sha256(inspect.getsource(self.function).encode()).hexdigest()[:12]
        return f"{self.name}, source {digest}"

    @property
    def explanation(self) -> str:
        """The function's whole docstring: formula, shapes, sign, what published code does."""
        return inspect.getdoc(self.function) or ""


def proxy(
    name: str,
    *,
    maximize: bool | None = None,
    paper: str = "user's own",
    needs: Set[str] = frozenset(),
    counts_dead_edges: bool = False,
    both_modes: bool = False,
) -> Callable[[ProxyFunction], Proxy]:
    """Turn a function of a `Probe` into a `Proxy`.

    Args:
        name: As it will be called; that of a built-in proxy is looked up in the catalogue.
        maximize: Whether more of it promises accuracy.
        paper: Where it was proposed, with the equation.
        needs: The measurements it reads, so that they can share passes with others'.
        counts_dead_edges: Whether the value is the architecture's as written, not its function's.
        both_modes: Whether it may be measured in evaluation mode too.

    Raises:
        TypeError: `maximize` is left out, and it is no built-in proxy.
        ProxyError: There is no such measurement.
    """
    if maximize is None:
        if name not in CATALOGUE:
            raise TypeError(f"proxy {name!r}: maximize is missing; Allowed: True, False")
        return lambda function: Proxy(function=function, **vars(CATALOGUE[name]))
    cost = cost_class(needs)
    return lambda function: Proxy(
        name=name,
        function=function,
        direction="maximize" if maximize else "minimize",
        paper=paper,
        needs=frozenset(needs),
        cost=cost,
        counts_dead_edges=counts_dead_edges,
        both_modes=both_modes,
        defaults={
            p.name: p.default
            for p in inspect.signature(function).parameters.values()
            if p.kind is p.KEYWORD_ONLY and isinstance(p.default, bool | int | float)
        },
    )


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

    Options follow in brackets: ``jacov[constant=1e-3,mode=eval]``.

    Raises:
        ProxyError: Nothing has this name or such an option, it cannot be imported, or it takes no
            `Probe`.
    """
    try:
        base, given = split_options(name)
        found = PROXIES[base] if base in CATALOGUE else _load(base)
        if not given:
            return found
        options = found.read_options(given)
    except ValueError as error:
        raise ProxyError(str(error), given=name) from error
    training = options.get(MODE, "train") == "train"
    dead = found.dead_too and options.pop(DEAD, False) is True
    own = {key: value for key, value in options.items() if not isinstance(value, str)}
    counts = found.counts_dead_edges or dead or own.get(PUBLISHED) is True
    return replace(
        found, name=name, training=training, dead=dead, counts_dead_edges=counts, options=own
    )


def resolve_proxies(names: Iterable[str]) -> tuple[Proxy, ...]:
    """Return the proxies of these names, or of one, each once, in order; see `resolve_proxy`."""
    names = (names,) if isinstance(names, str) else names
    return tuple(resolve_proxy(name) for name in dict.fromkeys(names))


def _load(name: str) -> Proxy:
    """Load a proxy of somebody else."""
    place = name
    if ":" not in name:
        installed = entry_points(group=ENTRY_POINT_GROUP)
        if name not in installed.names:
            allowed = [*CATALOGUE, *installed.names, "module:function"]
            raise ProxyError.unknown("proxy", name, allowed)
        place = installed[name].value.partition("[")[0].strip()
    value = load_plugin(place, f"proxy {name!r}", ProxyError)
    if isinstance(value, Proxy):
        return replace(value, name=name)
    if not callable(value):
        raise ProxyError(f"proxy {name!r} is a {type(value).__name__}, not a function of a Probe")
    signature = ""
    try:
        signature = str(inspect.signature(value))
        inspect.signature(value).bind(None)
    except (TypeError, ValueError) as error:
        shown = f"{getattr(value, '__name__', value)}{signature or '(?)'}"
        raise ProxyError(
            f"proxy {name!r} must take one argument, a Probe; {shown} does not"
        ) from error
    # Unannounced, so the architecture as written is what it gets to see.
    return proxy(name, maximize=True, counts_dead_edges=True)(value)


def total(terms: Iterable[Tensor]) -> Scalar:
    """Return the sum of a network's terms, one a layer as a rule; 0 without any."""
    terms = list(terms)
    return torch.stack(terms).sum() if terms else 0.0


def present(terms: Tensor, otherwise: str) -> Tensor:
    """Return the terms of a network's layers, of which there must be some."""
    if len(terms) == 0:
        raise ValueError(otherwise)
    return terms


def norm(parts: Iterable[Tensor]) -> Scalar:
    """Return the Euclidean norm of a vector in parts, given that of each part; 0 without any."""
    parts = list(parts)
    return torch.stack(parts).norm() if parts else 0.0
