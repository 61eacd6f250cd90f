"""What a network may cost: how far one is beyond it, known from cheap to dear."""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from zc_search._utils.plugins import load_plugin
from zc_search.config import Config, Constraints
from zc_search.config.sections import LATENCY
from zc_search.errors import ConfigError
from zc_search.images.datasets import Task
from zc_search.proxies import resolve_proxies
from zc_search.scoring.scorer import Scorer
from zc_search.spaces import PARAMETERS, AnyArchitecture, AnySpace, Architecture

_AGAIN = 2  # measurements of a latency that is beyond its limit, after the first
_BUSY = 1.5  # times its least that a reference network takes on a busy machine

UNITS = {"max_params": "M parameters", "max_flops": "M multiply-adds", "max_latency_ms": "ms"}


def violations(constraints: Constraints, proxies: Mapping[str, float]) -> dict[str, float]:
    """Return by constraint the share of its limit that is beyond it; 1 where that is not known."""
    beyond = {
        name: proxies.get(proxy, math.nan) / limit - 1
        for proxy, (name, limit) in constraints.limits.items()
    }
    return {name: share if math.isfinite(share) else 1.0 for name, share in beyond.items()}


def broken(
    constraints: Constraints,
    proxies: Mapping[str, float],
    latency: Mapping[str, float] | None = None,
) -> str | None:
    """Say which constraints an architecture breaks, if any; for `latency` see `timed_again`."""
    beyond = violations(constraints, proxies)
    sentences = (
        _sentence(name, proxies.get(proxy, math.nan), limit, latency)
        for proxy, (name, limit) in constraints.limits.items()
        if beyond[name] > 0
    )
    return "; ".join(sentences) or None


def check_constraints(config: Config, scorer: Scorer) -> None:
    """Refuse limits that not even the cheapest cell of NAS-Bench-201 keeps."""
    limits = config.constraints.limits
    if not {"params", "flops"} & limits.keys() or config.space.name != "nasbench201":
        return
    order = ("skip_connect", "avg_pool_3x3", "none", "nor_conv_1x1", "nor_conv_3x3")
    allowed = (getattr(config.space, edge) for edge in PARAMETERS)
    cheapest = Architecture(tuple(min(operations, key=order.index) for operations in allowed))
    costs = scorer.fresh(resolve_proxies(("params", "flops"))).score(cheapest).values
    for proxy, (name, limit) in limits.items():
        if costs.get(proxy, 0.0) > limit:
            key = f"constraints.{name}"
            message = (
                f"{key}: no architecture satisfies it: the limit is {limit:g} {UNITS[name]}, and "
                f"the smallest network of this space has {costs[proxy]:.4g}; allow more, or set a "
                "smaller space.channels or space.cells"
            )
            raise ConfigError(message, key=key, given=limit)


class Check(NamedTuple):
    """What is known of an architecture before it is scored."""

    costs: Mapping[str, float] = {}
    """Those of its proxies that have a limit and are cheap."""
    beyond: Mapping[str, float] = {}
    """By constraint how far it is beyond it, if above 0."""
    refused: str | None = None
    """Why it is not to be scored."""


class Limits:
    """What a search allows, asked of an architecture before it is scored.

    That it has a network, its parameters and FLOPs, and the user's own ``constraints.constraint``:
    a function of the architecture that gives a number above 0 for one that is beyond it. One that
    raises, or gives no number, refuses the architecture, too.
    """

    def __init__(self, config: Config, space: AnySpace, task: Task, scorer: Scorer) -> None:
        constraints, key = config.constraints, "constraints.constraint"
        limits = constraints.limits
        self._limits = {p: limits[p] for p in ("params", "flops") if p in limits}
        self._all = [name for name, _ in limits.values()]
        self._own: Callable[[AnyArchitecture], Any] | None = None
        if (name := constraints.constraint) is not None:
            self._all.append("constraint")
            self._own = load_plugin(name, key, ConfigError)
            if not callable(self._own):
                raise ConfigError(f"{key}: {name!r} is no function", key=key, given=name)
        self._constraints, self._space, self._task = constraints, space, task
        self._sizes = config.space.model_dump(include={"channels", "cells"})
        self._scorer = scorer.fresh(resolve_proxies(tuple(self._limits)))
        self._known: dict[str, Check] = {}

    @property
    def is_cheap(self) -> bool:
        """Whether there is a limit that is known before an architecture is scored."""
        return bool(self._limits) or self._own is not None

    def check(self, architecture: AnyArchitecture) -> Check:
        """Return what is known of an architecture; nothing is scored for it."""
        if (reason := architecture.infeasible) is not None:
            return Check({}, dict.fromkeys(self._all, 1.0), reason)
        if not self.is_cheap:
            return Check()
        text = architecture.to_string()
        if text not in self._known:
            self._known[text] = self._check(architecture)
        return self._known[text]

    def timed_again(
        self, architecture: AnyArchitecture, values: Mapping[str, float]
    ) -> tuple[Mapping[str, float], Mapping[str, float]]:
        """Return values whose latency, if beyond its limit, is the least of three, and how.

        How: ``measurements``, the largest, ``most``, in milliseconds, and ``load``, see `Timing`.
        """
        limit, cost = self._constraints.max_latency_ms, values.get(LATENCY, math.nan)
        if limit is None or self._constraints.latency is not None or not cost > limit:
            return values, {}
        timings = [self._scorer.timing(architecture) for _ in range(_AGAIN)]
        known = [cost, *(timing.milliseconds for timing in timings)]
        load = max(timing.load for timing in timings)
        how = {"measurements": float(len(known)), "most": max(known), "load": load}
        return {**values, LATENCY: min(known)}, how

    def _check(self, architecture: AnyArchitecture) -> Check:
        costs: Mapping[str, float] = {}
        if self._limits:
            known = self._space.costs(architecture, self._task, **self._sizes)
            known = known or self._scorer.score(architecture).values
            costs = {proxy: known[proxy] for proxy in self._limits}
        names = {name for name, _ in self._limits.values()}
        beyond = {k: v for k, v in violations(self._constraints, costs).items() if k in names}
        reasons = [
            _sentence(name, costs[proxy], limit)
            for proxy, (name, limit) in self._limits.items()
            if beyond[name] > 0
        ]
        if self._own is not None:
            beyond["constraint"], reason = self._ask(self._own, architecture)
            reasons += [reason] if beyond["constraint"] > 0 else []
        return Check(costs, beyond, "; ".join(reasons) or None)

    def _ask(
        self, own: Callable[[AnyArchitecture], Any], architecture: AnyArchitecture
    ) -> tuple[float, str]:
        name = f"constraint {self._constraints.constraint!r}"
        try:
            said = own(architecture)
        except Exception as error:  # it is anybody's code
            return 1.0, f"{name} raised {type(error).__name__}: {error}"
        if not hasattr(said, "__float__"):
            return 1.0, f"{name} returned {type(said).__name__} {said!r}, not a number"
        value = float(said)
        if not math.isfinite(value):
            return 1.0, f"{name} returned {value}"
        return value, f"beyond {name}: {value:g}, above 0"


def _sentence(
    name: str, cost: float, limit: float, latency: Mapping[str, float] | None = None
) -> str:
    how = ""
    if latency and name == "max_latency_ms":
        how = f" (the least of {latency['measurements']:.0f} measurements, up to "
        how += f"{latency['most']:.4g}"
        if latency["load"] >= _BUSY:
            how += "; the machine was busy, a reference network "
            how += f"{latency['load']:.1f} times slower than at best"
        how += ")"
    return f"{cost:.4g} {UNITS[name]}{how}, above {name} = {limit:g} {UNITS[name]}"
