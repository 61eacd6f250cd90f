"""All proxies side by side, one line an architecture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from zc_search.errors import ReportError
from zc_search.report import style
from zc_search.report.tables import Floats, Trials, as_trials, finite_rows

if TYPE_CHECKING:
    from zc_search.study.result import SearchResult


class ParallelInfo(NamedTuple):
    """Distinct architectures in many columns.

    Attributes:
        columns: Objectives, proxies, and the accuracy last.
        rows: The architectures with a finite value in all of them.
        values: rows x columns.
        left_out: Architectures without.
    """

    columns: tuple[str, ...]
    rows: pd.DataFrame
    values: Floats
    left_out: int


def plot_parallel_coordinates(
    source: SearchResult | pd.DataFrame | Trials, columns: Sequence[str] | None = None
) -> go.Figure:
    """Plot all proxies side by side, one line an architecture, coloured by accuracy.

    Drag along an axis to see only the architectures within; drag a name to move its axis.

    Args:
        source: A result or a table of trials.
        columns: What to show; all objectives and proxies and the accuracy unless named.

    Raises:
        ReportError: No such column, or no architecture with finite values in all of them.
    """
    trials = as_trials(source)
    info = _get_parallel_info(trials, columns)
    colors = trials.true(info.rows)
    known = bool(np.isfinite(colors).any())
    if not known:
        colors = info.values[:, 0]
    low, high = style.accuracy_range(colors)
    dimensions = []
    for name, values in zip(info.columns, info.values.T, strict=True):
        dimensions.append({"label": name} | _get_dimension(values))
    trace = go.Parcoords(
        dimensions=dimensions,
        line={
            "color": colors,
            "colorscale": style.ACCURACY_SCALE,
            "cmin": low,
            "cmax": high,
            "showscale": True,
            "colorbar": {
                "title": {
                    "text": "accuracy %" if known else info.columns[0],
                    "font": {"size": 12},
                    "side": "right",
                },
                "thickness": 10,
                "outlinewidth": 0,
            },
        },
        labelangle=-20,
        rangefont={"size": 1, "color": "rgba(0,0,0,0)"},  # the ticks say it already
    )
    left_out = f" {info.left_out} without a finite value are left out." if info.left_out else ""
    return style.figure(
        [trace],
        title="All proxies side by side",
        alt=f"Parallel coordinates of {', '.join(info.columns)} for {len(info.rows):,} distinct "
        f"functions.{left_out}",
        caption="One line a distinct function. Drag along an axis to keep only the architectures "
        "within, drag a name to move its axis. Axes of wide range are logarithmic; values far from "
        f"all others stand at the end of theirs.{left_out}",
        height=460,
        min_width=110 + 64 * len(info.columns),
        margin={"l": 56, "r": 24, "t": style.TITLE + 50, "b": 16},
    )


def _get_dimension(values: Floats) -> dict[str, Any]:
    """Return values as they are drawn, with ticks that say what they were."""
    axis = style.axis(values)
    if axis["type"] == "log":
        drawn = np.log10(values)
        ticks = np.linspace(drawn.min(), drawn.max(), 5)
        return {"values": drawn, "tickvals": ticks, "ticktext": [_brief(10**t) for t in ticks]}
    if "range" not in axis:
        return {"values": values}
    low, high = axis["range"]
    drawn = np.clip(values, low, high)
    ticks = np.linspace(drawn.min(), drawn.max(), 5)
    text = [_brief(tick) for tick in ticks]
    text[0] = f"\N{LESS-THAN OR EQUAL TO} {text[0]}" if values.min() < low else text[0]
    text[-1] = f"\N{GREATER-THAN OR EQUAL TO} {text[-1]}" if values.max() > high else text[-1]
    return {"values": drawn, "tickvals": ticks, "ticktext": text}


def _brief(value: float) -> str:
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e7 else f"{value:.3g}"


def _get_parallel_info(trials: Trials, columns: Sequence[str] | None = None) -> ParallelInfo:
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
    return ParallelInfo(names, rows[finite], values[finite], int((~finite).sum()))
