"""What the search spent, and what it covered: hypervolume, distinct architectures, seconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from zc_search.errors import ReportError
from zc_search.report import style
from zc_search.report.hypervolume import hypervolume
from zc_search.report.tables import Trials, as_trials

if TYPE_CHECKING:
    from zc_search.study.result import SearchResult


def plot_hypervolume(source: SearchResult | pd.DataFrame | Trials) -> go.Figure:
    """Plot the dominated share of the objectives' box against trials.

    Exact to four objectives, sampled beyond; the caption says which.

    Raises:
        ReportError: No objective, or no trial with all of them.
    """
    info = hypervolume(as_trials(source))
    steps = {"line_shape": "hv", "mode": "lines"}
    traces = [
        go.Scatter(
            x=info.numbers,
            y=info.share,
            name="dominated share",
            line_color=style.BLUE,
            line_width=2.5,
            hovertemplate="trial %{x}: %{y:.4f}<extra></extra>",
            showlegend=not info.exact,
            **steps,
        )
    ]
    if not info.exact:
        reach = 1.645 * info.error
        bounds = [info.share + reach, np.maximum(info.share - reach, 0)]
        for bound, fill in zip(bounds, (None, "tonexty"), strict=True):
            traces.append(
                go.Scatter(
                    x=info.numbers,
                    y=bound,
                    name="90 % of the sampling",
                    line_width=0,
                    fill=fill,
                    fillcolor="rgba(0,114,178,0.2)",
                    hoverinfo="skip",
                    showlegend=fill is not None,
                    **steps,
                )
            )
    how = (
        "Computed exactly"
        if info.exact
        else f"Sampled with {info.samples:,} points, as {len(info.objectives)} objectives are too "
        f"many for exact values (standard error at the end {info.error[-1]:.4f})"
    )
    return style.figure(
        traces,
        title="Hypervolume",
        alt=f"Hypervolume of {', '.join(info.objectives)} against trials: {info.share[-1]:.4f} of "
        f"the box at the end, {'exact' if info.exact else 'sampled'}.",
        caption=f"Share of the box between the worst and the best value of each objective that "
        f"the trials dominate. {how}. The box is this run's own, so two runs do not compare.",
        height=340,
        xaxis={"title": {"text": "trial"}},
        yaxis={"title": {"text": "dominated share"}, "rangemode": "tozero"},
    )


def plot_distinct(source: SearchResult | pd.DataFrame | Trials) -> go.Figure:
    """Plot distinct architectures and functions against trials: what a sampler repeats.

    Raises:
        ReportError: The table is empty or names no architectures.
    """
    trials = as_trials(source)
    counts = _get_distinct(trials)
    x = np.arange(1, len(trials.table) + 1)
    traces = [
        go.Scatter(
            x=x[[0, -1]],
            y=x[[0, -1]],
            mode="lines",
            name="every trial new",
            line={"color": style.GREY, "dash": "dot", "width": 1.5},
            hoverinfo="skip",
        )
    ]
    looks = ((style.BLUE, "solid"), (style.ORANGE, "dash"))
    for (name, count), (color, dash) in zip(counts.items(), looks, strict=False):
        traces.append(
            go.Scatter(
                x=x,
                y=count,
                mode="lines",
                name=name,
                line={"color": color, "dash": dash, "width": 2.5},
                hovertemplate="%{y} after %{x} trials<extra></extra>",
            )
        )
    said = " and ".join(f"{count[-1]:,} {name}" for name, count in counts.items())
    return style.figure(
        traces,
        title="Distinct architectures",
        alt=f"{said} after {len(x):,} trials.",
        caption=f"{said} in {len(x):,} trials. Cells that compute the same function are scored "
        "once; a repeated trial costs next to nothing and finds nothing.",
        height=340,
        xaxis={"title": {"text": "trials"}},
        yaxis={"title": {"text": "distinct"}, "rangemode": "tozero"},
    )


def _get_distinct(trials: Trials) -> dict[str, NDArray[np.int64]]:
    names = {"architecture": "distinct architectures", "function_key": "distinct functions"}
    counts = {
        name: (~trials.table[column].duplicated()).to_numpy().cumsum()
        for column, name in names.items()
        if column in trials.table
    }
    if not counts or trials.table.empty:
        raise ReportError("no trial names an architecture")
    return counts


def plot_time(source: SearchResult | pd.DataFrame | Trials) -> go.Figure:
    """Plot where the time went, in seconds.

    Raises:
        ReportError: There are no times.
    """
    info = _get_time(source)
    total = float(info.sum())
    shown = info[::-1]
    trace = go.Bar(
        x=shown,
        y=shown.index,
        orientation="h",
        marker_color=style.BLUE,
        text=[f"{v:,.3g} s" for v in shown],
        textposition="auto",
        hovertemplate="%{y}: %{x:.3g} s<extra></extra>",
    )
    return style.figure(
        [trace],
        title="Where the time went",
        alt="Seconds spent: " + ", ".join(f"{k} {v:.3g}" for k, v in info.items()) + ".",
        caption=f"{total:,.0f} seconds in all. Trials of several workers run at once and wait "
        "for one another, and their seconds are added up; set-up and ensemble are of the last "
        "start of this run.",
        height=110 + 38 * len(info),
        xaxis={"title": {"text": "seconds"}},
        yaxis={"ticksuffix": " "},
        bargap=0.35,
    )


def _get_time(source: SearchResult | pd.DataFrame | Trials) -> pd.Series[float]:
    trials = as_trials(source)
    spent: dict[str, float] = {}
    for column, name in (("seconds_proxies", "proxies"), ("seconds_benchmark", "benchmark")):
        if column in trials.table:
            spent[name] = float(np.nansum(trials.numbers(column)))
    if "duration" in trials.table:
        rest = float(np.nansum(trials.numbers("duration"))) - sum(spent.values())
        spent["waiting, sampler and storage"] = max(rest, 0.0)
    stages: Mapping[str, float] = getattr(source, "seconds", {})
    spent |= {name: seconds for name, seconds in stages.items() if name != "search"}
    if not spent or trials.table.empty:
        raise ReportError("no trial has its times")
    return pd.Series(spent).sort_values(ascending=False)
