"""How the search went: what it had found by when, what it covered, and what it spent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from zc_search.config import ensemble_file
from zc_search.ensemble.tables import flags
from zc_search.errors import ReportError
from zc_search.evaluation import best_so_far
from zc_search.report import style
from zc_search.report.hypervolume import SAMPLES, hypervolume
from zc_search.report.tables import Floats, Trials, as_trials

if TYPE_CHECKING:
    from zc_search.study.record import SearchResult

Against = Literal["trials", "accuracies", "simulated_seconds", "seconds"]

AGAINST: Mapping[Against, tuple[str, str]] = {
    "trials": ("trials", "trials"),
    "accuracies": ("distinct accuracies looked at", "accuracies"),
    "simulated_seconds": (
        "training them would have taken (hours, simulated)",
        "simulated training",
    ),
    "seconds": ("seconds, summed over trials", "trial seconds"),
}
"""What progress may be shown against: the axis, and what a button says."""


def choices(workers: int) -> dict[Against, str]:
    """Return the axes to choose from; trials of several workers wait while their seconds run."""
    return {key: brief for key, (_, brief) in AGAINST.items() if key != "seconds" or workers == 1}


class ProgressInfo(NamedTuple):
    """What was reached by when: a value of column `name` for each feasible trial that has one.

    `x` is trials, accuracies, hours or seconds, after each of them.
    """

    rows: pd.DataFrame
    x: Floats
    value: Floats
    best: Floats
    name: str
    maximize: bool

    @property
    def steps(self) -> NDArray[np.bool_]:
        """Which trials a line of steps needs: where the best changes, and the ends."""
        wanted = np.append(True, np.diff(self.best) != 0)
        wanted[-1] = True
        return wanted


def plot_progress(
    source: SearchResult | pd.DataFrame | Trials,
    against: Against = "trials",
    optimum: float | None = None,
) -> go.Figure:
    """Plot the best feasible accuracy so far; without accuracies, the first objective.

    Args:
        source: A result or a table of trials.
        against: ``trials``; ``accuracies``, distinct ones looked at; ``simulated_seconds``, what
            training each distinct architecture once would have taken; ``seconds``, of the trials.
        optimum: The best accuracy that the benchmark holds, drawn as a line.

    Raises:
        ReportError: An unknown `against`, no trial with a value, or no times.
    """
    trials = as_trials(source)
    info = get_progress_info(trials, against)
    steps, name, of_accuracy = info.steps, style.label(info.name), info.name == trials.metric
    lines: dict[str, tuple[Any, Any, str, str, float]]
    lines = {"best so far": (info.x[steps], info.best[steps], style.BLUE, "solid", 2.5)}
    if optimum is not None and of_accuracy:
        ends = (info.x[[0, -1]], [optimum, optimum], style.VERMILION, "dot", 1.5)
        lines[f"best of the benchmark, {optimum:.2f}"] = ends
    points = style.points(
        info.x,
        info.value,
        info.rows.index,
        trials.names(info.rows),
        "%{y:.2f}",
        name="each trial",
        marker={"size": 5, "color": style.GREY, "opacity": 0.5},
    )
    # The worst cells are at 10 %, and what matters happens in the last percent.
    low = float(np.quantile(info.value, 0.1 if info.maximize else 0))
    high = float(np.quantile(info.value, 1 if info.maximize else 0.9))
    high = max(high, optimum or high) if of_accuracy else high
    pad = 0.06 * (high - low) or 1.0
    seen = info.name in trials.objectives or any(map(ensemble_file, trials.objectives))
    caption = (
        f"{name} of every feasible trial. "
        + ("" if seen else "The search itself did not see it: it looked at proxies. ")
        + "Values in the worst tenth may lie outside; double-click to see them."
        if of_accuracy
        else f"There are no accuracies: {name} is the first objective."
    )
    axis = AGAINST[against][0]
    return style.figure(
        [points, *(_line(title, *drawn, shape="hv") for title, drawn in lines.items())],
        title="Best so far",
        alt=f"Best {name} so far against {axis}: {info.best[-1]:.4g} after {info.x[-1]:.4g}.",
        caption=caption,
        **style.xy(axis, name, yaxis={"range": [low - pad, high + pad]}),
    )


def get_progress_info(trials: Trials, against: str = "trials") -> ProgressInfo:
    """Return the numbers behind `plot_progress`; raises as that does."""
    if against not in AGAINST:
        raise ReportError.unknown("x axis", against, AGAINST)
    name = trials.metric or next(iter(trials.objectives), None)
    if name is None or name not in trials.table:
        raise ReportError("progress needs an accuracy or an objective, and the table has neither")
    table, value = trials.table, trials.numbers(name)
    known = np.isfinite(value)
    has = known & flags(table, "feasible", default=True)
    if not has.any():
        raise ReportError(f"no feasible trial has a finite {name}")
    first = np.ones(len(table), dtype=bool)
    if "architecture" in table:
        first = ~table["architecture"].duplicated().to_numpy()
    if against == "trials":
        x = np.arange(1, len(table) + 1, dtype=float)
    elif against == "accuracies":
        x = np.cumsum(first & known).astype(float)
    elif against == "simulated_seconds":
        x = np.cumsum(np.where(first, np.nan_to_num(trials.numbers("train_seconds")), 0)) / 3600
    else:
        x = np.cumsum(np.nan_to_num(trials.numbers("duration")))
    maximize = trials.direction(name) == "maximize"
    best = best_so_far(value[has], maximize=maximize)
    return ProgressInfo(table[has], x[has], value[has], best, name, maximize)


def plot_hypervolume(source: SearchResult | pd.DataFrame | Trials) -> go.Figure:
    """Plot the dominated share of the objectives' box against trials.

    Exact to four objectives, sampled beyond; the caption says which.

    Raises:
        ReportError: No objective, or no trial with all of them.
    """
    info = hypervolume(as_trials(source))
    end, hover = info.share[-1], "trial %{x}: %{y:.4f}"
    how = "Computed exactly"
    if not info.exact:
        how = (
            f"Sampled with {SAMPLES:,} points, as {len(info.objectives)} objectives are too many "
            f"for exact values (standard error at the end {np.sqrt(end * (1 - end) / SAMPLES):.4f})"
        )
    return style.figure(
        [_line("dominated share", info.numbers, info.share, style.BLUE, "solid", 2.5, hover, "hv")],
        title="Hypervolume",
        alt=f"Hypervolume of {', '.join(info.objectives)} against trials: {end:.4f} of "
        f"the box at the end, {'exact' if info.exact else 'sampled'}.",
        caption=f"Share of the box between the worst and the best value of each objective that "
        f"the trials dominate. {how}. The box is this run's own, so two runs do not compare.",
        height=340,
        **style.xy("trial", "dominated share", yaxis={"rangemode": "tozero"}),
    )


def plot_distinct(source: SearchResult | pd.DataFrame | Trials) -> go.Figure:
    """Plot distinct architectures and functions against trials: what a sampler repeats.

    Raises:
        ReportError: The table is empty or names no architectures.
    """
    table = as_trials(source).table
    names = {"architecture": "distinct architectures", "function_key": "distinct functions"}
    counts = {
        name: (~table[column].duplicated()).to_numpy().cumsum()
        for column, name in names.items()
        if column in table
    }
    if not counts or table.empty:
        raise ReportError("no trial names an architecture")
    x = np.arange(1, len(table) + 1)
    hover = "%{y} after %{x} trials"
    traces = [_line("every trial new", x[[0, -1]], x[[0, -1]], style.GREY, "dot", 1.5)]
    for (name, count), color, dash in zip(
        counts.items(), (style.BLUE, style.ORANGE), ("solid", "dash"), strict=False
    ):
        traces.append(_line(name, x, count, color, dash, hover=hover))
    counted = " and ".join(f"{count[-1]:,} {name}" for name, count in counts.items())
    return style.figure(
        traces,
        title="Distinct architectures",
        alt=f"{counted} after {len(x):,} trials.",
        caption=f"{counted} in {len(x):,} trials. Cells that compute the same function are scored "
        "once; a repeated trial costs next to nothing and finds nothing.",
        height=340,
        **style.xy("trials", "distinct", yaxis={"rangemode": "tozero"}),
    )


def plot_time(source: SearchResult | pd.DataFrame | Trials) -> go.Figure:
    """Plot where the time went, in seconds.

    Raises:
        ReportError: There are no times.
    """
    info = _get_time(source)
    trace = go.Bar(
        x=info[::-1],
        y=info.index[::-1],
        orientation="h",
        marker_color=style.BLUE,
        text=[f"{v:,.3g} s" for v in info[::-1]],
        textposition="auto",
        hovertemplate="%{y}: %{x:.3g} s<extra></extra>",
    )
    return style.figure(
        [trace],
        title="Where the time went",
        alt="Seconds spent: " + ", ".join(f"{k} {v:.3g}" for k, v in info.items()) + ".",
        caption=f"{info.sum():,.0f} seconds in all. Trials of several workers run at once and wait "
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


def _line(
    name: str,
    x: Any,
    y: Any,
    color: str,
    dash: str,
    width: float = 2.5,
    hover: str = "",
    shape: str = "linear",
) -> go.Scatter:
    line = {"color": color, "dash": dash, "width": width, "shape": shape}
    shown = {"hovertemplate": f"{hover}<extra></extra>"} if hover else {"hoverinfo": "skip"}
    return go.Scatter(x=x, y=y, mode="lines", name=name, line=line, **shown)
