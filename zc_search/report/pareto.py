"""The front: any two or three columns against each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from zc_search.ensemble.tables import flags
from zc_search.errors import ReportError, unknown_name
from zc_search.report import style
from zc_search.report.hypervolume import nondominated
from zc_search.report.tables import Floats, Trials, as_trials, finite_rows

if TYPE_CHECKING:
    from zc_search.study.result import SearchResult

_ARROWS = {"maximize": "more is better", "minimize": "less is better"}


class ParetoInfo(NamedTuple):
    """Distinct architectures in two or three columns.

    Attributes:
        axes: The columns.
        directions: Which way of each is better.
        rows: The architectures that have all of them.
        values: rows x axes.
        front: Which rows no other one dominates in these columns.
        study: Which rows are on the front of all objectives of the study.
    """

    axes: tuple[str, ...]
    directions: tuple[str, ...]
    rows: pd.DataFrame
    values: Floats
    front: NDArray[np.bool_]
    study: NDArray[np.bool_]


def plot_pareto(
    source: SearchResult | pd.DataFrame | Trials,
    x: str | None = None,
    y: str | None = None,
    z: str | None = None,
) -> go.Figure:
    """Plot two or three columns against each other, dominated architectures faint.

    Args:
        source: A result or a table of trials.
        x: Column of the horizontal axis; the first objective unless named.
        y: Column of the vertical axis; the next objective, or else another column.
        z: Column of a third axis, if wanted.

    Raises:
        ReportError: No such column, fewer than two columns to choose from, or no trial with
            finite values in the columns chosen.
    """
    trials = as_trials(source)
    info = _get_pareto_info(trials, x, y, z)
    others = ~info.front & ~info.study
    study_only = info.study & ~info.front
    colors = trials.true(info.rows)
    span = style.accuracy_range(trials.true(trials.distinct))
    names = np.array(trials.names(info.rows), dtype=object)
    known = bool(np.isfinite(colors).any())

    def trace(name: str, mask: NDArray[np.bool_], size: int, symbol: str, opacity: float) -> Any:
        order = np.flatnonzero(mask)
        order = order[np.argsort(info.values[order, 0], kind="stable")]
        marker = {"size": size, "symbol": symbol, "opacity": opacity, "line": style.OUTLINE}
        if known:
            marker = style.accuracy_marker(colors[order], span, size=size, symbol=symbol)
            marker |= {"opacity": opacity, "showscale": name == "dominated"}
        places: dict[str, Any] = dict(zip("xyz", info.values[order].T, strict=False))
        joined = name.startswith("front") and len(info.axes) == 2
        kind = go.Scatter if len(info.axes) == 2 else go.Scatter3d
        line = {"color": style.VERMILION, "width": 1.5}
        if joined:
            line["shape"] = "vh" if info.directions[0] == "maximize" else "hv"
        return kind(
            **places,
            name=name,
            mode="lines+markers" if joined else "markers",
            line=line if joined else None,
            marker=marker,
            customdata=info.rows.index.to_numpy()[order],
            hovertext=names[order],
            hovertemplate="%{hovertext}<br>"
            + "<br>".join(f"{a} %{{{k}:.5g}}" for k, a in zip("xyz", info.axes, strict=False))
            + ("<br>accuracy %{marker.color:.2f} %" if known else "")
            + "<extra></extra>",
        )

    axes = {
        f"{k}axis": {
            "title": {"text": style.label(name) + ("" if z else f", {_ARROWS[direction]}")},
            **style.axis(values),
        }
        for k, name, direction, values in zip(
            "xyz", info.axes, info.directions, info.values.T, strict=False
        )
    }
    labels = [style.label(name) for name in info.axes]
    shown = f"{', '.join(labels[:-1])} and {labels[-1]}"
    camera = {"camera": {"eye": {"x": 1.7, "y": 1.7, "z": 1.0}}}
    layout: dict[str, Any] = {"scene": camera | axes} if z else {"scene": camera, **axes}
    return style.figure(
        [
            trace("dominated", others, 7, "circle", 0.4),
            trace("on the study's front", study_only, 9, "circle", 1.0),
            trace("front of the axes shown", info.front, 11, "diamond", 1.0),
        ],
        title=shown,
        alt=f"Scatter plot of {shown} for {len(info.rows):,} distinct functions; "
        f"{int(info.front.sum())} of them are on the front of these axes, {int(info.study.sum())} "
        "on the front of all objectives of the study.",
        caption=f"{len(info.rows):,} distinct functions. Diamonds are not dominated in the axes "
        "shown; full circles are on the study's front over all its objectives; the rest is faint."
        + (" Colour is the true accuracy." if known else " There are no accuracies to colour by.")
        + f" {style.OUTSIDE}",
        height=480,
        **layout,
    )


def _get_pareto_info(
    trials: Trials, x: str | None = None, y: str | None = None, z: str | None = None
) -> ParetoInfo:
    rows = trials.scored
    for name in (x, y, z):
        if name is not None and name not in trials.axes:
            if name in trials.table:
                trials.numbers(name)
                raise ReportError(f"column {name!r} has no finite value")
            raise ReportError(unknown_name("column", name, trials.axes))
    axes: tuple[str, ...] = default_axes(trials, x, y)
    if z is not None:
        axes = (*axes, z)
    values = np.column_stack([trials.numbers(name, rows) for name in axes])
    finite = finite_rows(values)
    if not finite.any():
        raise ReportError(f"no feasible trial has finite values in {', '.join(axes)}")
    rows, values = rows[finite], values[finite]
    directions = tuple(trials.direction(name) for name in axes)
    signs = [-1.0 if direction == "maximize" else 1.0 for direction in directions]
    return ParetoInfo(
        axes, directions, rows, values, nondominated(values * signs), study_front(trials, rows)
    )


def default_axes(trials: Trials, x: str | None = None, y: str | None = None) -> tuple[str, str]:
    """Return two columns to begin with.

    They are a price and what it buys where the objectives have both, else the first objectives,
    else what costs or was reached.

    Raises:
        ReportError: There are not two columns of finite numbers.
    """
    objectives = [name for name in trials.objectives if name in trials.axes]
    costs = [name for name in objectives if trials.direction(name) == "minimize"]
    gains = [name for name in objectives if name not in costs]
    pair = [costs[0], gains[0]] if costs and gains else []
    liked = [
        *pair,
        *objectives,
        *(n for n in (trials.metric, "params", "flops") if n in trials.axes),
    ]
    free = [n for n in dict.fromkeys((*liked, *trials.axes)) if n and n not in (x, y)]
    if sum(name is None for name in (x, y)) > len(free):
        raise ReportError("a front needs two columns with finite values; the table has fewer")
    first = x or free.pop(0)
    return first, y or free.pop(0)


def study_front(trials: Trials, rows: pd.DataFrame) -> NDArray[np.bool_]:
    """Return which rows are on the study's front: as recorded, else of the objectives."""
    if "pareto" in rows:
        return flags(rows, "pareto", default=False)
    names = [name for name in trials.objectives if name in trials.table]
    if not names:
        return np.zeros(len(rows), dtype=bool)
    signs = [-1.0 if trials.direction(name) == "maximize" else 1.0 for name in names]
    return nondominated(np.column_stack([trials.numbers(name, rows) for name in names]) * signs)
