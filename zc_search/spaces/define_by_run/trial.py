"""Trials that answer a builder without a study, and what may be said of what it asks for."""

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import RandomSampler
from optuna.trial import FixedTrial

Choose = Callable[[str, BaseDistribution], Any]
"""Returns a value for a parameter of a name and a distribution."""

_RANDOM, _MOST, _VALUES = 16, 256, 8
"""Of `explored`: points drawn at random, points in all, and values tried of a range."""


class PointTrial(FixedTrial):
    """Answers with the values of a point where they are allowed, and else as `choose` does."""

    def __init__(self, point: Mapping[str, Any], choose: Choose) -> None:
        super().__init__(dict(point))
        self._point, self._choose = dict(point), choose
        self._values: dict[str, Any] = {}
        self._kinds: dict[str, BaseDistribution] = {}

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        return float(self._ask(name, FloatDistribution(low, high, log=log, step=step)))

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        return int(self._ask(name, IntDistribution(low, high, log=log, step=step)))

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        return self._ask(name, CategoricalDistribution(choices))

    def _ask(self, name: str, kind: BaseDistribution) -> Any:
        if name not in self._values:
            allowed = name in self._point and fits(kind, self._point[name])
            self._values[name] = self._point[name] if allowed else self._choose(name, kind)
            self._kinds[name] = kind
        return self._values[name]

    @property
    def params(self) -> dict[str, Any]:
        return dict(self._values)

    @property
    def distributions(self) -> dict[str, BaseDistribution]:
        return dict(self._kinds)


def lowest(name: str, kind: BaseDistribution) -> Any:
    """Return the lowest value, or the first category."""
    return kind.choices[0] if isinstance(kind, CategoricalDistribution) else kind.low  # type: ignore[attr-defined]


def missing(name: str, kind: BaseDistribution) -> Any:
    """Refuse what a point has no value for."""
    raise LookupError(f"{name!r} is asked for, in {kind}, and has no such value")


def drawn(seed: int) -> Choose:
    """Return what draws as Optuna's random sampler does."""
    sampler = RandomSampler(seed=seed)
    return lambda name, kind: sampler.sample_independent(None, None, name, kind)  # type: ignore[arg-type]


def fits(kind: BaseDistribution, value: Any) -> bool:
    """Whether a distribution has a value."""
    if isinstance(kind, CategoricalDistribution):
        return any(type(value) is type(choice) and value == choice for choice in kind.choices)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not kind.low <= value <= kind.high:  # type: ignore[attr-defined]
        return False
    steps = (value - kind.low) / (kind.step or 1)  # type: ignore[attr-defined]
    stepped = kind.step is not None  # type: ignore[attr-defined]
    return not stepped or math.isclose(steps, round(steps), abs_tol=1e-6)


def place(kind: BaseDistribution, value: Any) -> float:
    """Return a value as a number: of a category its place, on a log scale the logarithm."""
    return math.log(value) if getattr(kind, "log", False) else float(kind.to_internal_repr(value))


def next_to(kind: BaseDistribution, value: Any) -> list[Any]:
    """Return the other categories, or the numbers a step, or a tenth of a continuum, away."""
    if isinstance(kind, CategoricalDistribution):
        return [other for other in kind.choices if other != value]
    low, high, step, log = kind.low, kind.high, kind.step, kind.log  # type: ignore[attr-defined]
    if isinstance(kind, FloatDistribution) and log:
        factor = (high / low) ** 0.1
        around = [value / factor, value * factor]
    else:
        by = step or (high - low) / 10
        around = [value - by, value + by]
    clipped = dict.fromkeys(min(max(other, low), high) for other in around)
    return [other for other in clipped if other != value]


def explored(
    ask: Callable[[PointTrial], str | None],
) -> tuple[dict[str, BaseDistribution], str | None]:
    """Return every parameter found, trying some values of each; and a fault of all tries."""
    space: dict[str, BaseDistribution] = {}
    tried: set[tuple[str, Any]] = set()
    points: deque[dict[str, Any]] = deque({} for _ in range(_RANDOM))
    faults: list[str | None] = []
    while points and len(faults) < _MOST:
        trial = PointTrial(points.popleft(), drawn(len(faults)))
        faults.append(ask(trial))
        for name, kind in trial.distributions.items():
            space[name] = _joined(space[name], kind) if name in space else kind
            for value in _some(kind):
                if (name, value) not in tried:
                    tried.add((name, value))
                    points.append({**trial.params, name: value})
    return space, faults[0] if all(faults) else None


def _some(kind: BaseDistribution) -> list[Any]:
    if isinstance(kind, CategoricalDistribution):
        return list(kind.choices)
    low, high = kind.low, kind.high  # type: ignore[attr-defined]
    step = kind.step if isinstance(kind, IntDistribution) else None
    if step is None:
        return [low, high]
    count = (high - low) // step
    return [low + step * (count * k // _VALUES) for k in range(_VALUES + 1)]


def _joined(one: BaseDistribution, other: BaseDistribution) -> BaseDistribution:
    """Return the range that holds both; Optuna allows no category to differ."""
    if one == other or type(one) is not type(other) or isinstance(one, CategoricalDistribution):
        return one
    low, high = min(one.low, other.low), max(one.high, other.high)  # type: ignore[attr-defined]
    whole = isinstance(one, IntDistribution)
    step = one.step if one.step == other.step else (1 if whole else None)  # type: ignore[attr-defined]
    return type(one)(low, high, log=one.log, step=step)  # type: ignore[attr-defined, call-arg]
