"""What a proxy is: a named function of a Probe, with the direction in which more is better."""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from zc_search.proxies.measurements import Measurement, cost_class
from zc_search.proxies.probe import Probe
from zc_search.proxy_names import Direction

Scalar = float | Tensor
"""A number, or a tensor of one element so that a GPU is waited for once and not per proxy."""

ProxyFunction = Callable[[Probe], Scalar]


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
    """

    name: str
    function: ProxyFunction
    direction: Direction
    paper: str
    needs: frozenset[Measurement] = frozenset()
    counts_dead_edges: bool = False

    def __call__(self, probe: Probe) -> Scalar:
        """Score the probed network."""
        return self.function(probe)

    def __reduce__(self) -> tuple[Callable[[str], "Proxy"], tuple[str]]:
        """Travel to another process by name: the decorated function's own name leads here."""
        from zc_search.proxies import resolve_proxy

        return resolve_proxy, (self.name,)

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


def proxy(
    name: str,
    *,
    maximize: bool,
    paper: str,
    needs: frozenset[Measurement] | set[Measurement] = frozenset(),
    counts_dead_edges: bool = False,
) -> Callable[[ProxyFunction], Proxy]:
    """Turn a function of a `Probe` into a `Proxy`; see there for the arguments."""

    def wrap(function: ProxyFunction) -> Proxy:
        direction: Direction = "maximize" if maximize else "minimize"
        return Proxy(name, function, direction, paper, frozenset(needs), counts_dead_edges)

    return wrap
