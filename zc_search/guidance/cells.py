"""NAS-Bench-201 cells as the points of an Optuna search space."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from optuna.distributions import CategoricalDistribution

from zc_search.spaces import Architecture, CellSpace
from zc_search.vocabulary import PARAMETERS


def distributions(space: CellSpace) -> dict[str, CategoricalDistribution]:
    """Return what a trial suggests: the operation of each edge."""
    return {edge: CategoricalDistribution(allowed) for edge, allowed in space.choices.items()}


def function_key(params: Mapping[str, Any]) -> str:
    """Return a text that is the same for all cells that compute the same function.

    Args:
        params: The operation of each edge, as a trial holds them.
    """
    return _function_key(tuple(params[edge] for edge in PARAMETERS))


@cache  # there are 15,625
def _function_key(ops: tuple[str, ...]) -> str:
    return Architecture(ops).function_key
