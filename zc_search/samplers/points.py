"""Architectures as the points of an Optuna search space."""

from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

from optuna.distributions import CategoricalDistribution

from zc_search.spaces import PARAMETERS, AnySpace, Architecture, CellSpace


def distributions(space: AnySpace) -> dict[str, CategoricalDistribution]:
    """Return what a trial suggests: one of its values for each parameter."""
    return {name: CategoricalDistribution(allowed) for name, allowed in space.choices.items()}


def key_of(space: AnySpace) -> Callable[[Mapping[str, Any]], str]:
    """Return what tells points of a space apart: a text for each function, one for no function."""
    return function_key if isinstance(space, CellSpace) else partial(_key, space)


def function_key(params: Mapping[str, Any]) -> str:
    """Return a text that is the same for all NAS-Bench-201 cells that compute the same function.

    Args:
        params: The operation of each edge, as a trial holds them.
    """
    return _function_key(tuple(params[edge] for edge in PARAMETERS))


@cache  # there are 15,625
def _function_key(ops: tuple[str, ...]) -> str:
    return Architecture(ops).function_key


def _key(space: AnySpace, params: Mapping[str, Any]) -> str:
    architecture = space.architecture(params)
    return str(architecture.function_key) if architecture.infeasible is None else ""
