"""What an ensemble is fitted to: its spec, and the rows and columns of a table of scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from zc_search._utils.plugins import is_plugin
from zc_search.config.sections import (
    FEATURE_SET_NAMES,
    FEATURE_SETS,
    MODELS,
    RETIRED_FEATURES,
    RETIRED_MODELS,
)
from zc_search.errors import EnsembleError

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
FitOn = Literal["pareto", "all"]
Bounds = tuple[float, float]


@dataclass(frozen=True)
class EnsembleSpec:
    """What an ensemble is to be fitted to, and how.

    Attributes:
        proxies: Columns to predict from.
        target: Column with the accuracy, in percent.
        model: ``linear``, ``ridge``, ``gap``, ``gp``, or ``module:Class`` of a scikit-learn
            regressor that needs no argument.
        feature_set: ``standard``, ``rank`` or ``structure`` (no proxies), the first two with
            ``+structure``, the last two with ``+aggregate``, all with ``+interactions``.
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
        if repeated := sorted({name for name in self.proxies if self.proxies.count(name) > 1}):
            raise EnsembleError(f"proxies: {', '.join(repeated)} named twice", key="proxies")
        check_model(self.model)
        parse_feature_set(self.feature_set)
        if self.fit_on not in get_args(FitOn):
            raise EnsembleError.unknown("fit_on", self.fit_on, get_args(FitOn))
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
        message = f"{key}: {given} is given; allowed are {least} and more"
        raise EnsembleError(message, key=key, given=given)


def check_directions(directions: Mapping[str, str] | None) -> dict[str, str]:
    """Return a copy of `directions`, each ``maximize`` or ``minimize``."""
    for proxy, direction in (directions or {}).items():
        if direction not in ("maximize", "minimize"):
            raise EnsembleError.unknown("direction", direction, ("maximize", "minimize"), key=proxy)
    return dict(directions or {})


def check_model(name: str) -> None:
    """Refuse what names no model, and say what replaces a retired one; nothing is imported."""
    _check_retired("model", name, RETIRED_MODELS.get(name), MODELS)
    if name not in MODELS and not is_plugin(name):
        raise EnsembleError.unknown("model", name, (*MODELS, "module:Class"), key="model")


class FeatureSet(NamedTuple):
    """What the name of a feature set stands for: the proxies' scale, and what is added.

    The scale ``structure`` leaves the proxies out, but for their part in the aggregate; operations
    come with the structure.
    """

    scale: str
    structure: bool = False
    interactions: bool = False
    aggregate: bool = False
    operations: bool = False


def parse_feature_set(name: str) -> FeatureSet:
    """Read a name such as ``rank``, ``rank+structure+interactions`` or ``structure+aggregate``."""
    scale, *extras = name.split("+")
    for part in (scale, *extras):
        _check_retired("feature set", name, RETIRED_FEATURES.get(part), FEATURE_SET_NAMES, part)
    if scale not in FEATURE_SETS or not set(extras) <= set(FEATURE_SETS[scale]):
        raise EnsembleError.unknown("feature set", name, FEATURE_SET_NAMES, key="features")
    named = FeatureSet(scale, **dict.fromkeys(extras, True))
    structure = named.structure or named.operations or scale == "structure"
    return named._replace(structure=structure)


def _check_retired(
    kind: str, name: str, hint: str | None, allowed: Sequence[str], part: str = ""
) -> None:
    if hint:
        message = f"{kind} {name!r}: {(part or name)!r} is retired; use {hint!r}"
        raise EnsembleError(message, key=kind, given=name, allowed=allowed, hint=hint)


def select_rows(table: pd.DataFrame, spec: EnsembleSpec) -> tuple[pd.DataFrame, FitOn, list[str]]:
    """Pick distinct feasible rows with finite proxies and a target; say if they are a front, why.

    Of the rows that share a function the first is kept, one on the Pareto front before others. The
    front is used if it has three rows for each proxy.
    """
    if not (proxies := spec.proxies):
        raise EnsembleError("an ensemble needs at least one proxy, got none")
    notes = []
    rows = feasible(table)
    rows = rows[finite(rows, [spec.target])]
    usable = finite(rows, proxies)
    if count := np.count_nonzero(~usable):
        lost = f"{count} of {len(rows)} rows with an accuracy were left out"
        notes.append(f"{lost}: {not_finite(rows, proxies)} is not finite there.")
    chosen: FitOn = "all"
    rows = distinct(rows[usable])
    if spec.fit_on == "pareto":
        front = rows[flags(rows, "pareto", default=False)]
        if "pareto" not in table:
            notes.append("The table has no column 'pareto': fitted on all rows.")
        elif len(front) < 3 * len(proxies):
            notes.append(
                f"The Pareto front has {len(front)} distinct rows, fewer than three for each of "
                f"the {len(proxies)} proxies: fitted on all {len(rows)} distinct rows."
            )
        else:
            rows, chosen = front, "pareto"
    if len(rows) < 2:
        raise EnsembleError(
            f"an ensemble needs at least 2 distinct feasible architectures with a finite "
            f"{spec.target} and finite proxies ({', '.join(proxies)}); the table's {len(table)} "
            f"rows hold {len(rows)}"
        )
    accuracies = numbers(rows, spec.target)
    if np.ptp(accuracies) == 0:
        same = f"all {len(rows)} architectures have the same {spec.target}, {accuracies[0]:g}"
        raise EnsembleError(f"{same}: there is nothing to rank")
    return rows, chosen, notes


def usable_rows(table: pd.DataFrame, proxies: Sequence[str], target: str) -> pd.DataFrame:
    """Return the feasible rows with finite proxies and target, on a fresh index."""
    rows, columns = feasible(table), [target, *proxies]
    usable = finite(rows, columns)
    if not usable.any():
        empty = ", ".join(name for name in columns if not finite(rows, [name]).any())
        message = f"none of the {len(rows)} feasible rows has a finite {target} and finite proxies"
        raise EnsembleError(message + (f"; {empty} is finite in none" if empty else ""))
    return rows[usable].reset_index(drop=True)


def numbers(table: pd.DataFrame, column: str) -> Floats:
    """Return a column as floats, missing values as NaN."""
    require(table, [column])
    try:
        return pd.to_numeric(table[column]).to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        message = f"column {column!r} does not hold numbers: {error}"
        raise EnsembleError(message, key=column) from None


def require(table: pd.DataFrame, columns: Sequence[str]) -> None:
    """Check that the table has the columns."""
    for column in columns:
        if column not in table:
            raise EnsembleError.unknown("column", column, map(str, table), key="table")


def finite(table: pd.DataFrame, columns: Sequence[str]) -> Flags:
    """Return which rows hold a finite number in each of the columns."""
    usable = np.ones(len(table), dtype=bool)
    for column in columns:
        usable &= np.isfinite(numbers(table, column))
    return usable


def not_finite(table: pd.DataFrame, columns: Sequence[str]) -> str:
    """Name the columns that are not finite in every row."""
    return ", ".join(column for column in columns if not finite(table, [column]).all())


def flags(table: pd.DataFrame, column: str, *, default: bool) -> Flags:
    """Return a column of flags, a missing value as False, a missing column as `default`."""
    if column not in table:
        return np.full(len(table), default)
    return table[column].eq(True).fillna(False).to_numpy(dtype=bool)


def function_keys(table: pd.DataFrame) -> npt.NDArray[Any]:
    """Return what tells functions apart: ``function_key``, else ``architecture``."""
    column = "function_key" if "function_key" in table else "architecture"
    require(table, [column])
    return table[column].astype(str).to_numpy()


def distinct(table: pd.DataFrame) -> pd.DataFrame:
    """Return the first row of each function, preferring the Pareto front, in the table's order."""
    preferred = np.argsort(~flags(table, "pareto", default=False), kind="stable")
    first = pd.Series(function_keys(table)[preferred]).drop_duplicates().index.to_numpy()
    return table.iloc[np.sort(preferred[first])]


def feasible(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that are not known to be infeasible."""
    return table[flags(table, "feasible", default=True)]


def feasible_architectures(table: pd.DataFrame) -> pd.DataFrame:
    """Return the first feasible row of each architecture; every row where none is named."""
    table = feasible(table)
    return table.drop_duplicates("architecture") if "architecture" in table else table


def clipped(values: Floats, bounds: Bounds | None) -> Floats:
    """Return values within bounds, if there are any; NaN stays NaN."""
    return values if bounds is None else np.clip(values, *bounds)


def bounds_of(accuracies: Floats) -> Bounds | None:
    """Return 0 and 100 where all accuracies may be percentages, else None."""
    return (0.0, 100.0) if np.all((accuracies >= 0) & (accuracies <= 100)) else None
