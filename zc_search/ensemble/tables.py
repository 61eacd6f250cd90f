"""Columns of a table of scores, and the rows of it that an ensemble is fitted to."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from zc_search.errors import EnsembleError, nearest

Floats = npt.NDArray[np.float64]
FitOn = Literal["pareto", "all"]
Bounds = tuple[float, float]

PERCENT: Bounds = (0.0, 100.0)
"""Least and largest accuracy, where accuracies are percentages."""


class Selection(NamedTuple):
    """The rows to fit, one a function, whether they are a front, and what was decided."""

    rows: pd.DataFrame
    fit_on: FitOn
    notes: list[str]


def select_rows(
    table: pd.DataFrame, proxies: Sequence[str], target: str, fit_on: str = "pareto"
) -> Selection:
    """Pick distinct feasible rows with finite proxies and a target.

    Of the rows that share a function the first is kept, one on the Pareto front before others. The
    front is used if it has three rows for each proxy.
    """
    if fit_on not in get_args(FitOn):
        raise EnsembleError.unknown("fit_on", fit_on, get_args(FitOn))
    if not proxies:
        raise EnsembleError("an ensemble needs at least one proxy, got none")
    if repeated := sorted({proxy for proxy in proxies if list(proxies).count(proxy) > 1}):
        raise EnsembleError(f"proxies: {', '.join(repeated)} named twice", key="proxies")
    notes = []
    rows = table[flags(table, "feasible", default=True) & finite(table, [target])]
    usable = finite(rows, proxies)
    if not usable.all():
        broken = [proxy for proxy in proxies if not finite(rows, [proxy]).all()]
        notes.append(
            f"{np.count_nonzero(~usable)} of {len(rows)} rows with an accuracy were left out: "
            f"{', '.join(broken)} is not finite there."
        )
    chosen: FitOn = "all"
    rows = distinct(rows[usable])
    if fit_on == "pareto":
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
            f"an ensemble needs at least 2 distinct feasible architectures with a finite {target} "
            f"and finite proxies ({', '.join(proxies)}); the table's {len(table)} rows hold "
            f"{len(rows)}"
        )
    accuracies = numbers(rows, target)
    if np.ptp(accuracies) == 0:
        raise EnsembleError(
            f"all {len(rows)} architectures have the same {target}, {accuracies[0]:g}: there is "
            "nothing to rank"
        )
    return Selection(rows, chosen, notes)


def usable_rows(table: pd.DataFrame, proxies: Sequence[str], target: str) -> pd.DataFrame:
    """Return the feasible rows with finite proxies and target, on a fresh index."""
    feasible = flags(table, "feasible", default=True)
    usable = feasible & finite(table, [target, *proxies])
    if not usable.any():
        rows = table[feasible]
        broken = [name for name in (target, *proxies) if not finite(rows, [name]).any()]
        reason = f"; {', '.join(broken)} is finite in none" if broken else ""
        raise EnsembleError(
            f"none of the {len(rows)} feasible rows has a finite {target} and finite proxies"
            f"{reason}"
        )
    return table[usable].reset_index(drop=True)


def bounds_of(accuracies: Floats) -> Bounds | None:
    """Return `PERCENT` where all accuracies may be percentages, else None."""
    low, high = PERCENT
    return PERCENT if np.all((accuracies >= low) & (accuracies <= high)) else None


def clipped(values: Floats, bounds: Bounds | None) -> Floats:
    """Return values within bounds, if there are any; NaN stays NaN."""
    return values if bounds is None else np.clip(values, *bounds)


def numbers(table: pd.DataFrame, column: str) -> Floats:
    """Return a column as floats, missing values as NaN."""
    require(table, [column])
    try:
        values: Floats = pd.to_numeric(table[column]).to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise EnsembleError(
            f"column {column!r} does not hold numbers: {error}", key=column
        ) from None
    return values


def require(table: pd.DataFrame, columns: Sequence[str]) -> None:
    """Check that the table has the columns."""
    present = [str(column) for column in table.columns]
    for column in columns:
        if column not in present:
            close = nearest(column, present)
            hint = f"did you mean {close!r}? " if close else ""
            raise EnsembleError(
                f"the table has no column {column!r}; {hint}It has: {', '.join(present)}",
                given=column,
                allowed=present,
                hint=close,
            )


def finite(table: pd.DataFrame, columns: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Return which rows hold a finite number in each of the columns."""
    usable = np.ones(len(table), dtype=bool)
    for column in columns:
        usable &= np.isfinite(numbers(table, column))
    return usable


def flags(table: pd.DataFrame, column: str, *, default: bool) -> npt.NDArray[np.bool_]:
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


def feasible_architectures(table: pd.DataFrame) -> pd.DataFrame:
    """Return the first feasible row of each architecture; every row where none is named."""
    table = table[flags(table, "feasible", default=True)]
    return table.drop_duplicates("architecture") if "architecture" in table else table
