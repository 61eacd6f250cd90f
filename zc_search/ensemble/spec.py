"""What an ensemble is to be fitted to, and how: names that are checked before any work."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from zc_search._utils.plugins import is_plugin
from zc_search.config.types import (
    FEATURE_EXTRAS,
    FEATURE_SETS,
    MODELS,
    RETIRED_FEATURES,
    RETIRED_MODELS,
)
from zc_search.errors import EnsembleError


@dataclass(frozen=True)
class EnsembleSpec:
    """What an ensemble is to be fitted to, and how.

    Attributes:
        proxies: Columns to predict from.
        target: Column with the accuracy, in percent.
        model: ``linear``, ``ridge``, ``gap``, ``gp``, or ``module:Class`` of a scikit-learn
            regressor that needs no argument.
        feature_set: ``standard`` or ``rank``, each with any of ``+structure`` and
            ``+interactions``, ``rank`` also with ``+aggregate``.
        fit_on: ``pareto``, for the Pareto front if it has three distinct rows for each proxy, or
            ``all`` distinct feasible rows.
        folds: Folds of the cross-validation, 2 or more.
        repeats: Times that it is repeated, each with another split.
        n_bootstrap: Resamples for the intervals, 2 or more.
        seed: Of the splits, the resamples and an imported regressor.
        directions: ``maximize`` or ``minimize``: whether more of a proxy should mean more
            accuracy, which may differ from its direction as an objective of the search.

    Raises:
        EnsembleError: A model, feature set, number or direction that cannot be.
    """

    proxies: tuple[str, ...]
    target: str = "val_accuracy"
    model: str = "linear"
    feature_set: str = "standard"
    fit_on: str = "pareto"
    folds: int = 5
    repeats: int = 4
    n_bootstrap: int = 200
    seed: int = 0
    directions: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "proxies", tuple(self.proxies))
        object.__setattr__(self, "directions", check_directions(self.directions))
        check_model(self.model)
        parse_feature_set(self.feature_set)
        for key, least in (("folds", 2), ("repeats", 1), ("n_bootstrap", 2)):
            check_at_least(least, key, getattr(self, key))


def spec_of(proxies: Sequence[str] | EnsembleSpec, settings: Mapping[str, Any]) -> EnsembleSpec:
    """Return the spec that is given whole, or as proxies and settings."""
    if not isinstance(proxies, EnsembleSpec):
        return EnsembleSpec(tuple(proxies), **settings)
    if settings:
        raise TypeError(f"an EnsembleSpec says {', '.join(settings)} already")
    return proxies


def check_at_least(least: int, key: str, given: int) -> None:
    """Refuse a number below `least`."""
    if given < least:
        raise EnsembleError(
            f"{key}: {given} is given; allowed are {least} and more", key=key, given=given
        )


def check_directions(directions: Mapping[str, str] | None) -> dict[str, str]:
    """Return a copy of `directions`, each ``maximize`` or ``minimize``."""
    for proxy, direction in (directions or {}).items():
        if direction not in ("maximize", "minimize"):
            raise EnsembleError.unknown("direction", direction, ("maximize", "minimize"), key=proxy)
    return dict(directions or {})


def check_model(name: str) -> None:
    """Refuse what names no model, and say what replaces a retired one; nothing is imported."""
    if name in RETIRED_MODELS:
        raise _retired(f"model {name!r}", "model", name, RETIRED_MODELS[name], MODELS)
    if name not in MODELS and not is_plugin(name):
        raise EnsembleError.unknown("model", name, (*MODELS, "module:Class"), key="model")


class FeatureSet(NamedTuple):
    """What the name of a feature set stands for: the proxies' scale, and what is added."""

    scale: str
    structure: bool = False
    interactions: bool = False
    aggregate: bool = False


def parse_feature_set(name: str) -> FeatureSet:
    """Read a name such as ``standard``, ``rank+aggregate`` or ``rank+structure+interactions``."""
    scale, *extras = name.split("+")
    allowed = (*FEATURE_SETS, *(f"rank+{extra}" for extra in FEATURE_EXTRAS))
    for part in (scale, *extras):
        if instead := RETIRED_FEATURES.get(part):
            raise _retired(f"feature set {name!r}: {part!r}", "features", name, instead, allowed)
    if scale not in FEATURE_SETS or not set(extras) <= set(FEATURE_EXTRAS):
        raise EnsembleError.unknown("feature set", name, allowed)
    if "aggregate" in extras and scale != "rank":
        raise EnsembleError(
            f"feature set {name!r}: +aggregate takes ranks; Allowed: rank+aggregate",
            key="features",
            given=name,
            allowed=("rank+aggregate",),
        )
    return FeatureSet(scale, **dict.fromkeys(extras, True))


def _retired(
    what: str, key: str, given: str, instead: str, allowed: Sequence[str]
) -> EnsembleError:
    return EnsembleError(
        f"{what} is retired; use {instead!r}", key=key, given=given, allowed=allowed, hint=instead
    )
