"""What a proxy is: a named function of a Probe, with the direction in which more is better."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256

import torch
from torch import Tensor

from zc_search.proxies.catalogue import MODE, Direction, OptionValue
from zc_search.proxies.probe.measurements import Measurement, cost_class
from zc_search.proxies.probe.probe import Probe

Scalar = float | Tensor
"""A number, or a tensor of one element so that a GPU is waited for once and not per proxy."""

ProxyFunction = Callable[..., Scalar]
"""Takes a `Probe`, and options by keyword, each with a default."""


@dataclass(frozen=True)
class Proxy:
    """A zero-cost proxy.

    Attributes:
        name: As written in a configuration.
        function: Maps a `Probe` to one number.
        direction: Which way promises accuracy, or less cost.
        paper: Where it was proposed, with the equation.
        needs: The measurements it reads, so that they can share passes. One that is not
            announced is still right, it only costs a pass of its own.
        counts_dead_edges: Whether the value belongs to the architecture as written. All other
            proxies depend on the function alone, which isomorphic architectures share.
        both_modes: Whether the network may be measured in evaluation mode too.
        training: Whether it is measured in training mode.
        options: What the function is called with, where it is not its defaults.
        version: Goes up when the proxy's values change.
    """

    name: str
    function: ProxyFunction
    direction: Direction
    paper: str
    needs: frozenset[Measurement] = frozenset()
    counts_dead_edges: bool = False
    both_modes: bool = False
    training: bool = True
    options: Mapping[str, OptionValue] = field(default_factory=dict, hash=False)
    version: int = 1

    def __call__(self, probe: Probe) -> Scalar:
        """Score the probed network."""
        return self.function(probe if self.training else probe.evaluating, **self.options)

    def __reduce__(self) -> tuple[Callable[[str], "Proxy"], tuple[str]]:
        """Travel to another process by name: the decorated function's own name leads here."""
        from zc_search.proxies import resolve_proxy

        return resolve_proxy, (self.name,)

    @property
    def defaults(self) -> dict[str, OptionValue]:
        """The function's options with their defaults."""
        parameters = inspect.signature(self.function).parameters.values()
        return {
            p.name: p.default
            for p in parameters
            if p.kind is p.KEYWORD_ONLY and isinstance(p.default, bool | int | float)
        }

    def with_options(self, name: str, options: Mapping[str, OptionValue | str]) -> "Proxy":
        """Return this proxy under another name, called with other options than its defaults.

        Args:
            name: The name with the options in it.
            options: The function's own, and `MODE`.
        """
        mode = options.get(MODE, "train")
        own = {k: v for k, v in options.items() if k != MODE and not isinstance(v, str)}
        return replace(self, name=name, training=mode == "train", options=own)

    @property
    def definition(self) -> str:
        """What makes the values of two installations comparable: the same text.

        The name, with its options, and the version; of a user's own proxy a digest of its source.
        """
        if self.function.__module__.partition(".")[0] == __name__.partition(".")[0]:
            return f"{self.name}, version {self.version}"
        try:
            digest = sha256(inspect.getsource(self.function).encode()).hexdigest()[:12]
        except (OSError, TypeError):  # made by exec, or not in Python
            digest = "unknown"
        return f"{self.name}, source {digest}"

    @property
    def summary(self) -> str:
        """The first line of the function's docstring."""
        return self.explanation.partition("\n")[0]

    @property
    def explanation(self) -> str:
        """The function's whole docstring: formula, shapes, sign, what published code does."""
        return inspect.getdoc(self.function) or ""

    @property
    def cost(self) -> str:
        """``free``, ``low``, ``medium`` or ``high``, computed alone; see `cost_class`."""
        return cost_class(self.needs)


def total(terms: Iterable[Tensor]) -> Scalar:
    """Return the sum of a network's terms, one a layer as a rule; 0 without any."""
    terms = list(terms)
    return torch.stack(terms).sum() if terms else 0.0


def norm(parts: Iterable[Tensor]) -> Scalar:
    """Return the Euclidean norm of a vector in parts, given that of each part; 0 without any."""
    parts = list(parts)
    return torch.stack(parts).norm() if parts else 0.0


def proxy(
    name: str,
    *,
    maximize: bool,
    paper: str,
    needs: frozenset[Measurement] | set[Measurement] = frozenset(),
    counts_dead_edges: bool = False,
    both_modes: bool = False,
) -> Callable[[ProxyFunction], Proxy]:
    """Turn a function of a `Probe` into a `Proxy`; see there for the arguments."""

    def wrap(function: ProxyFunction) -> Proxy:
        direction: Direction = "maximize" if maximize else "minimize"
        return Proxy(
            name, function, direction, paper, frozenset(needs), counts_dead_edges, both_modes
        )

    return wrap
