"""The front: any two or three columns against each other, and all of them side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from zc_search.ensemble.tables import flags
from zc_search.errors import ReportError
from zc_search.report import style
from zc_search.report.run import Floats, Source, Trials, as_trials, finite_rows
from zc_search.samplers.portable.memory import Outcome
from zc_search.samplers.portable.standing import Front

_MARKS = {
    "dominated": (7, "circle", 0.4),
    "on the study's front": (9, "circle", 1.0),
    "front of the axes shown": (11, "diamond", 1.0),
}
"""Size, symbol and opacity."""

_ARROWS = {"maximize": "more is better", "minimize": "less is better"}


def plot_pareto(
    source: Source, x: str | None = None, y: str | None = None, z: str | None = None
) -> go.Figure:
    """Plot two or three columns of a result or table, dominated architectures faint.

    By default `x` is the first objective and `y` the next one, or else another column.
    """
    trials = as_trials(source)
    rows, axes = trials.scored, _axes(trials, x, y, z)
    costs = trials.costs(axes, rows)
    finite = finite_rows(costs)
    if not finite.any():
        raise ReportError(f"no feasible trial has finite values in {', '.join(axes)}")
    rows, front = rows[finite], nondominated(costs[finite])
    values = np.column_stack([trials.numbers(name, rows) for name in axes])
    study, solid = study_front(trials, rows), z is not None
    drawn: dict[str, Any] = {}
    for key, name, column in zip("xyz", axes, values.T, strict=False):
        better = "" if solid else f", {_ARROWS[trials.direction(name)]}"
        drawn[f"{key}axis"] = {"title": {"text": style.label(name) + better}, **style.axis(column)}
    camera = {"camera": {"eye": {"x": 1.7, "y": 1.7, "z": 1.0}}}
    labels = [style.label(name) for name in axes]
    title = f"{', '.join(labels[:-1])} and {labels[-1]}"
    known = bool(np.isfinite(trials.true(rows)).any())
    colour = "Colour is the true accuracy." if known else "There are no accuracies to colour by."
    return style.figure(
        [
            _part(trials, rows, axes, values, name, mask)
            for name, mask in zip(_MARKS, (~front & ~study, study & ~front, front), strict=True)
        ],
        title=title,
        alt=f"Scatter plot of {title} for {len(rows):,} distinct functions; {int(front.sum())} of "
        f"them are on the front of these axes, {int(study.sum())} on the front of all objectives "
        "of the study.",
        caption=f"{len(rows):,} distinct functions. Diamonds are not dominated in the axes shown; "
        "full circles are on the study's front over all its objectives; the rest is faint. "
        f"{colour} {style.OUTSIDE}",
        height=480,
        **({"scene": camera | drawn} if solid else {"scene": camera, **drawn}),
    )


def _part(
    trials: Trials, rows: pd.DataFrame, axes: tuple[str, ...], values: Floats, name: str, mask: Any
) -> go.Scatter | go.Scatter3d:
    """Return the trace of some of the rows, whose `values` stand at the axes."""
    order = np.flatnonzero(mask)
    order = order[np.argsort(values[order, 0], kind="stable")]
    colors, solid = trials.true(rows), len(axes) > 2
    hover = [f"{axis} %{{{key}:.5g}}" for key, axis in zip("xyz", axes, strict=False)]
    size, symbol, opacity = _MARKS[name]
    marker = {"size": size, "symbol": symbol, "opacity": opacity, "line": style.OUTLINE}
    if np.isfinite(colors).any():
        span = style.accuracy_range(trials.true(trials.distinct))
        marker |= style.accuracy_scale(colors[order], span)
        marker |= {"colorbar": style.accuracy_bar(span), "showscale": name == "dominated"}
        hover.append("accuracy %{marker.color:.2f} %")
    line = None
    if symbol == "diamond" and not solid:
        shape = "vh" if trials.direction(axes[0]) == "maximize" else "hv"
        line = {"color": style.VERMILION, "width": 1.5, "shape": shape}
    return (go.Scatter3d if solid else go.Scatter)(
        **dict(zip("xyz", values[order].T, strict=False)),
        name=name,
        mode="lines+markers" if line else "markers",
        line=line,
        marker=marker,
        customdata=rows.index.to_numpy()[order],
        hovertext=np.array(trials.names(rows), dtype=object)[order],
        hovertemplate="<br>".join(["%{hovertext}", *hover]) + "<extra></extra>",
    )


def _axes(trials: Trials, x: str | None, y: str | None, z: str | None) -> tuple[str, ...]:
    for name in (x, y, z):
        if name is not None and name not in trials.axes:
            if name in trials.table:
                trials.numbers(name)
                raise ReportError(f"column {name!r} has no finite value", given=name)
            raise ReportError.unknown("column", name, trials.axes)
    return (*default_axes(trials, x, y), *([z] if z is not None else []))


def default_axes(trials: Trials, x: str | None = None, y: str | None = None) -> tuple[str, str]:
    """Return two columns to begin with.

    They are a price and what it buys where the objectives have both, else the first objectives,
    else what costs or was reached; a `ReportError` where there are not two with finite numbers.
    """
    objectives = [name for name in trials.objectives if name in trials.axes]
    costs = [name for name in objectives if trials.direction(name) == "minimize"]
    gains = [name for name in objectives if name not in costs]
    pair = [costs[0], gains[0]] if costs and gains else []
    others = [name for name in (trials.metric, "params", "flops") if name in trials.axes]
    wanted = dict.fromkeys((*pair, *objectives, *others, *trials.axes))
    free = [name for name in wanted if name and name not in (x, y)]
    if (x is None) + (y is None) > len(free):
        raise ReportError("a front needs two columns with finite values; the table has fewer")
    first = x or free.pop(0)
    return first, y or free.pop(0)


def study_front(trials: Trials, rows: pd.DataFrame) -> NDArray[np.bool_]:
    """Return which rows are on the study's front: as recorded, else of the objectives."""
    if "pareto" in rows:
        return flags(rows, "pareto", default=False)
    names = trials.optimised
    return nondominated(trials.costs(names, rows)) if names else np.zeros(len(rows), dtype=bool)


def nondominated(costs: Floats) -> NDArray[np.bool_]:
    """Return which rows no other row dominates, all columns to be minimised.

    Equal rows stand or fall together; a row with a value that is not finite falls.
    """
    front, kept = Front(), np.zeros(len(costs), dtype=bool)
    places = np.flatnonzero(finite_rows(costs))
    for place in places[np.lexsort(costs[places].T[::-1])]:  # none is dominated by a later one
        outcome = Outcome({}, costs[place], 0.0)
        if not front.dominates(outcome):
            kept[place] = True
            front.add(outcome)
    return kept


def plot_parallel_coordinates(source: Source, columns: Sequence[str] | None = None) -> go.Figure:
    """Plot all proxies side by side, one line an architecture, coloured by accuracy.

    Of a result or a table of trials all objectives, proxies and the accuracy are shown, or these
    `columns`. Drag along an axis to see only the architectures within, a name to move its axis.
    """
    trials = as_trials(source)
    rows = trials.scored
    if columns is None:
        columns = [n for n in trials.axes if n in (*trials.objectives, *trials.proxies)]
        columns = [*columns, trials.metric] if trials.metric else columns
    names = tuple(dict.fromkeys(columns))
    if len(names) < 2:
        raise ReportError("parallel coordinates need two columns with finite values")
    values = np.column_stack([trials.numbers(name, rows) for name in names])
    finite = finite_rows(values)
    if not finite.any():
        raise ReportError(f"no feasible trial has finite values in all of {', '.join(names)}")
    values, without = values[finite], int((~finite).sum())
    colors = trials.true(rows[finite])
    known = bool(np.isfinite(colors).any())
    colors = colors if known else values[:, 0]
    dimensions = [
        {"label": n} | _dimension(column) for n, column in zip(names, values.T, strict=True)
    ]
    line = style.accuracy_scale(colors, style.accuracy_range(colors))
    bar = style.colorbar("accuracy %" if known else names[0])
    trace = go.Parcoords(
        dimensions=dimensions,
        line={**line, "showscale": True, "colorbar": bar},
        labelangle=-20,
        rangefont={"size": 1, "color": "rgba(0,0,0,0)"},  # the ticks say it already
    )
    left_out = f" {without} without a finite value are left out." if without else ""
    return style.figure(
        [trace],
        title="All proxies side by side",
        alt=f"Parallel coordinates of {', '.join(names)} for {len(values):,} distinct "
        f"functions.{left_out}",
        caption="One line a distinct function. Drag along an axis to keep only the architectures "
        "within, drag a name to move its axis. Axes of wide range are logarithmic; values far from "
        f"all others stand at the end of theirs.{left_out}",
        height=460,
        min_width=110 + 64 * len(names),
        margin={"l": 56, "r": 24, "t": style.TITLE + 50, "b": 16},
    )


def _dimension(values: Floats) -> dict[str, Any]:
    """Return values as they are drawn, with ticks that say what they were."""
    axis = style.axis(values)
    log = axis["type"] == "log"
    if not log and "range" not in axis:
        return {"values": values}
    low, high = axis.get("range", (-np.inf, np.inf))
    drawn = np.log10(values) if log else np.clip(values, low, high)
    ticks = np.linspace(drawn.min(), drawn.max(), 5)
    text = [_brief(10**tick if log else tick) for tick in ticks]
    text[0] = f"\N{LESS-THAN OR EQUAL TO} {text[0]}" if values.min() < low else text[0]
    text[-1] = f"\N{GREATER-THAN OR EQUAL TO} {text[-1]}" if values.max() > high else text[-1]
    return {"values": drawn, "tickvals": ticks, "ticktext": text}


def _brief(value: float) -> str:
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e7 else f"{value:.3g}"
