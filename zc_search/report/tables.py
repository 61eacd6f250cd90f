"""What the figures read: a search's result, or any table of trials."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from zc_search.config.metrics import METRICS
from zc_search.ensemble.tables import distinct, flags
from zc_search.errors import ReportError
from zc_search.proxies.catalogue import DEFAULT_DIRECTIONS, Direction
from zc_search.spaces import compact

if TYPE_CHECKING:  # a result brings the whole search with it, and a table needs none of it
    from zc_search.study.record import SearchResult

Floats = NDArray[np.float64]

BOOKKEEPING = (
    "number",
    "state",
    "architecture",
    "function_key",
    "feasible",
    "reason",
    "repeat_of",
    "pareto",
    "accuracies",
    "simulated_seconds",
    "seconds_proxies",
    "seconds_benchmark",
    "duration",
)
"""Columns of a trials table that are neither proxies nor metrics."""


@dataclass(frozen=True)
class Trials:
    """A table of trials, one row each, and what its columns mean."""

    table: pd.DataFrame
    objectives: Mapping[str, Direction]
    """What the search optimised; empty where it is not known."""
    metric: str | None
    """The column of true accuracies, in percent; None where there are none."""

    @cached_property
    def _named(self) -> list[str]:
        return [name for name in self.objectives if name in self.table]

    @cached_property
    def proxies(self) -> tuple[str, ...]:
        """Columns of proxies, the objectives among them first."""
        others = {*METRICS, *BOOKKEEPING, self.metric}
        return tuple(
            name
            for name in dict.fromkeys((*self._named, *map(str, self.table.columns)))
            if name not in others and pd.api.types.is_numeric_dtype(self.table[name])
        )

    @cached_property
    def axes(self) -> tuple[str, ...]:
        """Columns that make an axis: objectives, proxies, then what the benchmark has."""
        measured = [name for name in (self.metric, *METRICS) if name and name in self.table]
        return tuple(
            name
            for name in dict.fromkeys((*self._named, *self.proxies, *measured))
            if np.isfinite(self.numbers(name, self.distinct)).any()
        )

    @cached_property
    def feasible(self) -> pd.DataFrame:
        """The trials that have objective values."""
        return self.table[flags(self.table, "feasible", default=True)]

    @cached_property
    def distinct(self) -> pd.DataFrame:
        """The feasible trials, of those that compute the same function the first of the front."""
        named = {"function_key", "architecture"} & set(self.table)
        return distinct(self.feasible) if named else self.feasible

    @property
    def scored(self) -> pd.DataFrame:
        """`distinct`; a `ReportError` where it is empty."""
        if self.distinct.empty:
            raise ReportError("no trial was feasible")
        return self.distinct

    @cached_property
    def looked_at(self) -> int:
        """How many architectures have an accuracy, feasible or not."""
        known = self.table[np.isfinite(self.true(self.table))]
        return known["architecture"].nunique() if "architecture" in known else len(known)

    def direction(self, name: str) -> Direction:
        """Return which way of a column is better: as searched for, else as is usual."""
        usual = DEFAULT_DIRECTIONS.get(name, "maximize")
        if name in METRICS:
            usual = METRICS[name].direction
        return self.objectives.get(name) or usual

    def numbers(self, name: str, rows: pd.DataFrame | None = None) -> Floats:
        """Return a column as floats, of all trials or of `rows`; what is missing is NaN."""
        table = self.table if rows is None else rows
        if name not in table:
            raise ReportError.unknown("column", name, map(str, self.table.columns))
        try:
            values: Floats = pd.to_numeric(table[name]).to_numpy(np.float64, na_value=np.nan)
        except (TypeError, ValueError):
            raise ReportError(f"column {name!r} holds no numbers", given=name) from None
        return values

    def costs(self, names: tuple[str, ...], rows: pd.DataFrame) -> Floats:
        """Return columns of rows as a matrix, signed so that less is better."""
        signs = [-1.0 if self.direction(name) == "maximize" else 1.0 for name in names]
        return np.column_stack([self.numbers(name, rows) for name in names]) * signs

    def true(self, rows: pd.DataFrame) -> Floats:
        """Return the true accuracies of rows, in percent; NaN where there are none."""
        return self.numbers(self.metric, rows) if self.metric else np.full(len(rows), np.nan)

    def names(self, rows: pd.DataFrame) -> list[str]:
        """Return a line for each row to point at: its trial and cell."""
        numbers = rows["number"] if "number" in rows else pd.Series(rows.index)
        cells = rows["architecture"] if "architecture" in rows else pd.Series([""] * len(rows))
        return [
            f"trial {n}<br>{compact(str(cell))}" for n, cell in zip(numbers, cells, strict=True)
        ]


def as_trials(
    source: SearchResult | pd.DataFrame | Trials,
    *,
    objectives: Mapping[str, Direction] | None = None,
) -> Trials:
    """Return the trials of a result, or a table as trials, with what was optimised."""
    if isinstance(source, Trials):
        return source
    if isinstance(source, pd.DataFrame):
        table, wanted = source, "val_accuracy"
    elif hasattr(source, "trials") and hasattr(source, "config"):
        table, wanted = source.trials, source.config.benchmark.metric
        objectives = {o.name: o.direction for o in source.config.active_objectives}
    else:
        raise ReportError(
            f"a figure is drawn from a SearchResult or a table of trials, "
            f"got {type(source).__name__}"
        )
    table = table.reset_index(drop=True)
    has_metric = wanted in table and bool(
        np.isfinite(pd.to_numeric(table[wanted], errors="coerce").to_numpy(np.float64)).any()
    )
    return Trials(table, dict(objectives or {}), wanted if has_metric else None)


def finite_rows(values: Floats) -> NDArray[np.bool_]:
    """Return which rows of a matrix are finite throughout."""
    return np.asarray(np.isfinite(values).all(axis=1), dtype=np.bool_)


def plain(value: Any) -> Any:
    """Return what JSON can hold: NaN as null, an infinity as its name in JavaScript."""
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "-Infinity" if value < 0 else "Infinity"
    return value if isinstance(value, bool | int | float) else str(value)
