"""Drawing points of a search space, and stepping from one to those that differ in one parameter."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial

Params = dict[str, Any]  # a point: the value of each parameter
Space = Mapping[str, BaseDistribution]  # the distribution of each parameter

_STEPS = 32  # how many values of a long or continuous range are drawn to step to


def draw(space: Space, rng: np.random.Generator) -> Params:
    """Draw a point, each parameter uniformly (or log-uniformly) and independently."""
    return {name: draw_value(distribution, rng) for name, distribution in space.items()}


def draw_value(distribution: BaseDistribution, rng: np.random.Generator) -> Any:
    """Draw one value of a distribution."""
    if isinstance(distribution, FloatDistribution | IntDistribution) and distribution.log:
        return _draw_log(distribution, rng)
    if (count := _count(distribution)) is not None:
        return _value(distribution, int(rng.integers(count)))
    return float(rng.uniform(distribution.low, distribution.high))  # type: ignore[attr-defined]


def neighbours(
    params: Mapping[str, Any], space: Space, rng: np.random.Generator
) -> Iterator[Params]:
    """Yield points that differ from `params` in one parameter, in random order.

    All parameters are equally likely to change first, however many values they have. Every other
    category and value of a short range is yielded, once; of a long or continuous one a sample.
    """
    here, names = {name: params[name] for name in space}, list(space)
    for name in (names[place] for place in rng.permutation(len(names))):
        for value in _others(space[name], here[name], rng):
            yield {**here, name: value}


def is_neighbour(params: Mapping[str, Any], other: Mapping[str, Any], space: Space) -> bool:
    """Return whether two points differ in no more than one parameter."""
    return len([name for name in space if params[name] != other[name]]) <= 1


def fixed_in(space: Space, trial: FrozenTrial) -> Params:
    """Return which values of a space a trial has from the user who enqueued it."""
    fixed = trial.system_attrs.get("fixed_params", {})
    names = [name for name in space if name in fixed]
    return {n: fixed[n] for n in names if contains({n: space[n]}, {n: fixed[n]})}


def point_of(space: Space, params: Mapping[str, Any]) -> Params | None:
    """Return a trial's point, None of another space; what it was not asked for is the lowest."""
    if not params or not (space.keys() <= params.keys() or params.keys() <= space.keys()):
        return None
    point = {name: params.get(name, _value(kind, 0)) for name, kind in space.items()}
    return point if contains(space, point) else None


def contains(space: Space, params: Mapping[str, Any]) -> bool:
    """Return whether a point has a value of every distribution of a space."""
    return all(name in params and _fits(space[name], params[name]) for name in space)


def _fits(distribution: BaseDistribution, value: Any) -> bool:
    if not isinstance(distribution, IntDistribution | FloatDistribution):
        return value in getattr(distribution, "choices", ())
    return isinstance(value, int | float) and bool(distribution.low <= value <= distribution.high)


def _others(distribution: BaseDistribution, value: Any, rng: np.random.Generator) -> list[Any]:
    """Return values other than `value`, in random order."""
    count = _count(distribution)
    if isinstance(distribution, CategoricalDistribution) or (count is not None and count <= _STEPS):
        values = [_value(distribution, place) for place in range(count or 0)]
    else:
        values = list(dict.fromkeys(draw_value(distribution, rng) for _ in range(_STEPS)))
    values = [other for other in values if other != value]
    return [values[place] for place in rng.permutation(len(values))]


def _count(distribution: BaseDistribution) -> int | None:
    """Return how many values a distribution has; None if they are a continuum."""
    match distribution:
        case CategoricalDistribution():
            return len(distribution.choices)
        case IntDistribution() | FloatDistribution() if distribution.low == distribution.high:
            return 1
        case IntDistribution() | FloatDistribution(step=float()):
            return round((distribution.high - distribution.low) / (distribution.step or 1)) + 1
        case FloatDistribution():
            return None
    raise TypeError(f"no distribution to draw from: {distribution!r}")


def _value(distribution: BaseDistribution, place: int) -> Any:
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[place]
    step = distribution.step or 0  # type: ignore[attr-defined]
    return min(distribution.low + place * step, distribution.high)  # type: ignore[attr-defined]


def _draw_log(
    distribution: IntDistribution | FloatDistribution, rng: np.random.Generator
) -> int | float:
    low, high = distribution.low, distribution.high
    if isinstance(distribution, FloatDistribution):
        return min(max(math.exp(rng.uniform(math.log(low), math.log(high))), low), high)
    # Half a unit more at both ends, or the first and the last integer would come up too rarely.
    value = round(math.exp(rng.uniform(math.log(low - 0.5), math.log(high + 0.5))))
    return min(max(value, low), high)
