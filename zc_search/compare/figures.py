"""Figures of search algorithms side by side: what was found when, and who is better."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from zc_search.compare.outcomes import Outcomes
from zc_search.errors import ReportError
from zc_search.report import style
from zc_search.report.page import Drawing

CLOCKS = {
    "accuracies": "accuracies looked at",
    "simulated_seconds": "simulated seconds of training",
}

_DASHES = ("solid", "dash", "dot")
_POINTS = 50  # beyond, a point a seed would hide the box
_ALPHA = 0.05


def search_drawings(outcomes: Outcomes) -> list[Drawing]:
    """Return the figures of a comparison of algorithms, those of one data set together."""
    drawings = []
    for dataset in dict.fromkeys(outcomes.summary["dataset"]):
        slug = str(dataset).lower()
        progress = {
            said: partial(plot_trajectories, outcomes.trajectories, dataset, clock)
            for clock, said in CLOCKS.items()
        }
        ends = partial(plot_ends, outcomes.looks, dataset)
        ranks = partial(plot_ranks, outcomes.ranks, dataset)
        tests = partial(plot_tests, outcomes.tests, dataset)
        drawings += [
            Drawing(f"progress-{slug}", f"Best so far, {dataset}", progress),
            Drawing(f"ends-{slug}", f"Found at the end, {dataset}", {"": ends}, "half"),
            Drawing(f"ranks-{slug}", f"Mean rank, {dataset}", {"": ranks}, "half"),
            Drawing(f"tests-{slug}", f"Pairs of algorithms, {dataset}", {"": tests}),
        ]
    return drawings


def plot_trajectories(trajectories: pd.DataFrame, dataset: str, clock: str) -> go.Figure:
    """Plot the best so far against a clock: median over the seeds, and their middle half."""
    own = _of(trajectories, dataset)
    lines = {name: _line(place) for place, name in enumerate(dict.fromkeys(own["algorithm"]))}
    own = own[own["clock"] == clock]
    if own.empty:
        raise ReportError("no search looked at an accuracy in time")
    # One whose first accuracy came when the axis had ended has no line.
    by_name = {name: rows for name in lines if len(rows := own[own["algorithm"] == name])}
    ends = [f"{name} {rows['median'].iloc[-1]:.2f}" for name, rows in by_name.items()]
    floor = [float(np.quantile(rows["low"], 0.1)) for rows in by_name.values()]
    top = float(own["high"].max())
    bottom = max(float(np.median(floor)), top - 20.0)
    pad = 0.04 * (top - bottom) or 0.5
    return style.figure(
        [trace for name, rows in by_name.items() for trace in _band(name, rows, lines[name])],
        title=f"Best so far, {dataset}",
        alt=f"Median validation accuracy of the best so far at the end, {dataset}: "
        f"{'; '.join(ends)}.",
        caption="Median over the seeds; the band holds their middle half. A name in the legend "
        "switches its line off, a double click all others.",
        height=520,
        # Ticks at 1, 2 and 5.
        xaxis={"title": {"text": CLOCKS[clock].capitalize()}, "type": "log", "dtick": "D2"},
        yaxis={"title": {"text": style.label("val_accuracy")}, "range": [bottom, top + pad]},
        legend={"orientation": "v", "x": 1.02, "y": 1, "yanchor": "top"},
        hovermode="x unified",
    )


def _band(name: str, rows: pd.DataFrame, line: dict[str, str]) -> list[go.Scatter]:
    red, green, blue = (int(line["color"][at : at + 2], 16) for at in (1, 3, 5))
    common = {"x": rows["at"], "legendgroup": name, "mode": "lines", "line_shape": "hv"}
    edge = {**common, "line_width": 0, "hoverinfo": "skip", "showlegend": False}
    fill = {"fill": "tonexty", "fillcolor": f"rgba({red},{green},{blue},0.07)"}
    hover = "%{y:.2f}<extra>" + name + "</extra>"
    median = {"name": name, "line": line, "line_width": 2.2, "hovertemplate": hover}
    return [
        go.Scatter(y=rows["low"], **edge),
        go.Scatter(y=rows["high"], **fill, **edge),
        go.Scatter(y=rows["median"], **median, **common),
    ]


def plot_ends(looks: pd.DataFrame, dataset: str) -> go.Figure:
    """Plot what each algorithm found at the end: a box over the seeds."""
    own = _of(looks, dataset)
    names = list(dict.fromkeys(own["algorithm"]))
    ends = own.drop_duplicates(["algorithm", "seed"], keep="last")
    found = {name: ends["best"][ends["algorithm"] == name] for name in names}
    all_points = max(map(len, found.values())) <= _POINTS
    points = "One point a seed" if all_points else "Points are seeds far from the rest"
    traces = [
        go.Box(
            x=found[name],
            y=[name] * len(found[name]),
            name=name,
            orientation="h",
            boxpoints="all" if all_points else "outliers",
            jitter=0.6,
            pointpos=0,
            marker={"color": _line(names.index(name))["color"], "size": 4, "opacity": 0.6},
            line_width=1.3,
            showlegend=False,
        )
        for name in reversed(found)
    ]
    said = [f"{name} {values.median():.2f}" for name, values in found.items()]
    low = float(min(values.quantile(0.05) for values in found.values()))
    high = float(ends["best"].max())
    pad = 0.05 * (high - low) or 0.5
    return style.figure(
        traces,
        title=f"Found at the end, {dataset}",
        alt=f"Median over the seeds of the best found, {dataset}: {'; '.join(said)}.",
        caption=f"{points}. {style.OUTSIDE}",
        height=110 + 34 * len(found),
        xaxis={"title": {"text": style.label("val_accuracy")}, "range": [low - pad, high + pad]},
        yaxis={"ticksuffix": " "},
    )


def plot_ranks(ranks: pd.DataFrame, dataset: str) -> go.Figure:
    """Plot the mean rank of each algorithm with its interval, the best at the top."""
    own = _of(ranks, dataset).sort_values("rank")
    error = own["high"] - own["rank"]
    trace = go.Scatter(
        x=own["rank"],
        y=own["algorithm"],
        mode="markers",
        marker={"color": style.BLUE, "size": 9},
        error_x={"array": error, "thickness": 1.4, "width": 4, "color": style.BLUE},
        hovertemplate="%{y}: %{x:.2f}<extra></extra>",
        showlegend=False,
    )
    said = [f"{name} {rank:.1f}" for name, rank in zip(own["algorithm"], own["rank"], strict=True)]
    return style.figure(
        [trace],
        title=f"Mean rank, {dataset}",
        alt=f"Mean rank over the seeds, {dataset}: {'; '.join(said)}.",
        caption="In each seed the best is 1, and equals share a rank; "
        f"{'one seed gives no interval' if error.isna().any() else 'bars are 95 % intervals'}.",
        height=110 + 34 * len(own),
        xaxis={"title": {"text": "Mean rank (1 is best)"}},
        yaxis={"autorange": "reversed", "ticksuffix": " "},
    )


def plot_tests(tests: pd.DataFrame, dataset: str) -> go.Figure:
    """Plot which algorithm is better than which, where that is more than luck."""
    own = _of(tests, dataset)
    names = list(dict.fromkeys((*own["first"], *own["second"])))
    winner = np.where(own["p_holm"] < _ALPHA, np.sign(own["wins"] - own["losses"]), 0)
    pairs = own.assign(sign=winner)
    mirrored = own.assign(sign=-winner).rename(columns={"first": "second", "second": "first"})
    both = pd.concat([pairs, mirrored])
    sign, p = (
        both.pivot(index="first", columns="second", values=key).loc[names, names]
        for key in ("sign", "p_holm")
    )
    trace = go.Heatmap(
        x=names,
        y=names,
        z=sign,
        text=p.map(_p_value),
        texttemplate="%{text}",
        zmin=-1,
        zmax=1,
        colorscale=[[0, style.ORANGE], [0.5, "rgba(138,146,156,0.15)"], [1, style.SKY]],
        showscale=False,
        xgap=2,
        ygap=2,
        hovertemplate="%{y} against %{x}: p %{text}<extra></extra>",
    )
    said = [f"{name} better than {count}" for name, count in (sign > 0).sum(axis=1).items()]
    return style.figure(
        [trace],
        title=f"Pairs of algorithms, {dataset}",
        alt=f"Significantly better than how many others, {dataset}: {'; '.join(said)}.",
        caption="p of Wilcoxon's signed-rank test of what was found at the end, seed by seed, "
        "after Holm's correction. Blue: the algorithm of the row is better than that of the "
        f"column (p < {_ALPHA}); orange: worse.",
        height=190 + 30 * len(names),
        min_width=90 + 70 * len(names),
        xaxis={"tickangle": -40, "showgrid": False},
        yaxis={"autorange": "reversed", "ticksuffix": " ", "showgrid": False},
    )


def _of(table: pd.DataFrame, dataset: str) -> pd.DataFrame:
    own = table[table["dataset"] == dataset] if len(table) else table
    if own.empty:
        raise ReportError(f"there is nothing to compare on {dataset}")
    return own


def _line(place: int) -> dict[str, str]:
    turn, colour = divmod(place, len(style.PALETTE))
    return {"color": style.PALETTE[colour], "dash": _DASHES[turn % len(_DASHES)]}


def _p_value(p: float) -> str:
    if np.isnan(p):
        return ""
    return "<.001" if p < 0.001 else f"{p:.3f}".lstrip("0") if p < 0.9995 else "1"
