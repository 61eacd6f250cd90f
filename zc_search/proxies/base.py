"""What a proxy is: a named function of a Probe, with the direction in which more is better."""

import inspect
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, field, replace
from hashlib import sha256

import torch
from torch import Tensor

from zc_search.proxies.catalogue import CATALOGUE, MODE, Declaration, OptionValue
from zc_search.proxies.probe.probe import Probe, cost_class

Scalar = float | Tensor
"""A number, or a tensor of one element so that a GPU is waited for once and not per proxy."""

ProxyFunction = Callable[..., Scalar]


@dataclass(frozen=True, kw_only=True)
class Proxy(Declaration):
    """A zero-cost proxy; `Declaration` has the rest of its attributes.

    Attributes:
        function: Maps a `Probe`, and options by keyword, to one number.
        training: Whether it is measured in training mode.
        options: What the function is called with, where it is not its defaults.
    """

    function: ProxyFunction
    training: bool = True
    options: Mapping[str, OptionValue] = field(default_factory=dict, hash=False)

    def __call__(self, probe: Probe) -> Scalar:
        """Score the probed network."""
        measured = probe if self.training else probe.evaluating
        return self.function(measured, **{**self.defaults, **self.options})

    def __reduce__(self) -> tuple[Callable[[str], "Proxy"], tuple[str]]:
        """Travel to another process by name: the decorated function's own name leads here."""
        from zc_search.proxies import resolve_proxy

        return resolve_proxy, (self.name,)

    def with_options(self, name: str, options: Mapping[str, OptionValue | str]) -> "Proxy":
        """Return this proxy under a name with options in it, called with those options."""
        mode = options.get(MODE, "train")
        own = {k: v for k, v in options.items() if not isinstance(v, str)}
        return replace(self, name=name, training=mode == "train", options=own)

    @property
    def definition(self) -> str:
        """As `Declaration.definition`; of a user's own proxy with a digest of its source."""
        if self.place:
            return super().definition
        try:
            digest = sha256(inspect.getsource(self.function).encode()).hexdigest()[:12]
        except (OSError, TypeError):  # made by exec, or not in Python
            digest = "unknown"
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
        counts_dead_edges: Whether the value belongs to the architecture as written, and not to
            its function, which isomorphic architectures share.
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
        defaults=options_of(function),
    )


def options_of(function: ProxyFunction) -> dict[str, OptionValue]:
    """Return a function's options with their defaults."""
    return {
        p.name: p.default
        for p in inspect.signature(function).parameters.values()
        if p.kind is p.KEYWORD_ONLY and isinstance(p.default, bool | int | float)
    }


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
