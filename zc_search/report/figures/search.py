"""What a search looked at, and its front; what it had found by when, covered, and spent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from zc_search.config import ensemble_file
from zc_search.ensemble.tables import flags
from zc_search.errors import ReportError
from zc_search.evaluation import best_so_far
from zc_search.report import style
from zc_search.report.run import Floats, Source, Trials, as_trials, finite_rows, nondominated
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

EXACT_UP_TO = 4
"""Objectives up to which a hypervolume is exact; of 1,000 points in six it would take minutes."""

SAMPLES = 2**15
"""Points beyond, so that the standard error is less than 0.003 of the box."""

_BLUE = style.line(0)

# The front, and all columns side by side ----------------------------------------------------------

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
    study, solid = trials.on_front(rows), z is not None
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
    pairs = zip(names, values.T, strict=True)
    dimensions = [{"label": name} | _dimension(column) for name, column in pairs]
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


# Progress -----------------------------------------------------------------------------------------


def choices(workers: int) -> dict[Against, str]:
    """Return the axes to choose from; trials of several workers wait while their seconds run."""
    return {key: brief for key, (_, brief) in AGAINST.items() if key != "seconds" or workers == 1}


class ProgressInfo(NamedTuple):
    """What was reached by when, of column `name`: a value of each feasible trial that has one."""

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
    source: Source, against: Against = "trials", optimum: float | None = None
) -> go.Figure:
    """Plot the best feasible accuracy so far; without accuracies, the first objective.

    `against` is ``trials``; ``accuracies``, distinct ones looked at; ``simulated_seconds``, what
    training each distinct architecture once would have taken; or ``seconds``, of the trials.
    `optimum` is the best accuracy that the benchmark holds, drawn as a line.
    """
    trials = as_trials(source)
    info = get_progress_info(trials, against)
    steps, name, of_accuracy = info.steps, style.label(info.name), info.name == trials.metric
    points = style.points(
        info.x,
        info.value,
        info.rows.index,
        trials.names(info.rows),
        "%{y:.2f}",
        name="each trial",
        marker={"size": 5, "color": style.GREY, "opacity": 0.5},
    )
    best = style.steps("best so far", info.x[steps], info.best[steps], _BLUE | {"shape": "hv"})
    traces = [points, best]
    # The worst cells are at 10 %, and what matters happens in the last percent.
    low, high = np.quantile(info.value, [0.1, 1] if info.maximize else [0, 0.9]).tolist()
    if optimum is not None and of_accuracy:
        high = max(high, optimum)
        title, ends = f"best of the benchmark, {optimum:.2f}", [optimum, optimum]
        look = {"color": style.VERMILION, "dash": "dot", "width": 1.5, "shape": "hv"}
        traces.append(style.steps(title, info.x[[0, -1]], ends, look))
    pad = 0.06 * (high - low) or 1.0
    caption = f"There are no accuracies: {name} is the first objective."
    if of_accuracy:
        seen = info.name in trials.objectives or any(map(ensemble_file, trials.objectives))
        caption = (
            f"{name} of every feasible trial. "
            + ("" if seen else "The search itself did not see it: it looked at proxies. ")
            + "Values in the worst tenth may lie outside; double-click to see them."
        )
    axis = AGAINST[against][0]
    return style.figure(
        traces,
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
    named = table["architecture"] if "architecture" in table else table.index.to_series()
    first = ~named.duplicated().to_numpy()
    if against == "trials":
        spent: Any = np.ones(len(table))
    elif against == "accuracies":
        spent = first & known
    elif against == "simulated_seconds":
        spent = np.where(first, np.nan_to_num(trials.numbers("train_seconds")), 0)
    else:
        spent = np.nan_to_num(trials.numbers("duration"))
    x = np.cumsum(spent).astype(float) / (3600 if against == "simulated_seconds" else 1)
    maximize = trials.direction(name) == "maximize"
    best = best_so_far(value[has], maximize=maximize)
    return ProgressInfo(table[has], x[has], value[has], best, name, maximize)


# Hypervolume --------------------------------------------------------------------------------------


class Hypervolume(NamedTuple):
    """The dominated share of the box between the worst and the best value of each objective.

    `share`, within [0, 1], is after each of the trials `numbers` that have all `objectives`.
    """

    numbers: NDArray[np.int64]
    share: Floats
    objectives: tuple[str, ...]
    exact: bool


def plot_hypervolume(source: Source) -> go.Figure:
    """Plot the dominated share of the objectives' box against trials (Zitzler and Thiele 1998).

    Exact to four objectives, sampled beyond; the caption says which.
    """
    info = hypervolume(as_trials(source))
    end, how, hover = info.share[-1], "Computed exactly", "trial %{x}: %{y:.4f}"
    if not info.exact:
        how = (
            f"Sampled with {SAMPLES:,} points, as {len(info.objectives)} objectives are too many "
            f"for exact values (standard error at the end {np.sqrt(end * (1 - end) / SAMPLES):.4f})"
        )
    return style.figure(
        [style.steps("dominated share", info.numbers, info.share, _BLUE | {"shape": "hv"}, hover)],
        title="Hypervolume",
        alt=f"Hypervolume of {', '.join(info.objectives)} against trials: {end:.4f} of "
        f"the box at the end, {'exact' if info.exact else 'sampled'}.",
        caption=f"Share of the box between the worst and the best value of each objective that "
        f"the trials dominate. {how}. The box is this run's own, so two runs do not compare.",
        height=340,
        **style.xy("trial", "dominated share", yaxis={"rangemode": "tozero"}),
    )


def hypervolume(trials: Trials) -> Hypervolume:
    """Follow the hypervolume of the objectives over the trials.

    The reference point is the worst value of each objective among all trials, and each axis is
    scaled by its best one: the share of two runs with different trials is not comparable.
    """
    names, rows = trials.optimised, trials.feasible
    if not names:
        raise ReportError("the hypervolume needs objectives, and the table names none")
    costs = trials.costs(names, rows)
    finite = finite_rows(costs)
    if not finite.any():
        raise ReportError(f"no trial has all objectives: {', '.join(names)}")
    costs = costs[finite]
    low, span = costs.min(axis=0), np.ptp(costs, axis=0)
    # An objective that never varies would flatten the box, so it is left out of it.
    points = ((costs - low) / np.where(span > 0, span, 1))[:, span > 0]
    numbers = rows["number"] if "number" in rows else rows.index.to_series()
    exact = len(names) <= EXACT_UP_TO
    share = exact_shares(points) if exact else sampled_shares(points)
    return Hypervolume(numbers.to_numpy(np.int64)[finite], share, names, exact)


def exact_shares(points: Floats) -> Floats:
    """Return the volume dominated in the unit box after each point, all to be minimised.

    The part not dominated yet is kept as disjoint boxes. A point takes away its corner of each box
    that it reaches into, and what is left of such a box is cut into at most one box a dimension.
    `points` are trials x objectives, within [0, 1]; 1 is the reference point.
    """
    count, dimensions = points.shape
    shares = np.empty(count)
    if not dimensions:
        return np.ones(count)
    low, high = np.zeros((1, dimensions)), np.ones((1, dimensions))
    dominated = 0.0
    for number, point in enumerate(points):
        reached = (high > point).all(axis=1)
        if reached.any():
            bottom, top = low[reached], high[reached]
            corner = np.maximum(bottom, point)
            dominated += float(np.prod(top - corner, axis=1).sum())
            lows, highs = [low[~reached]], [high[~reached]]
            for axis in range(dimensions):
                part = corner[:, axis] > bottom[:, axis]
                new_low, new_high = bottom[part].copy(), top[part].copy()
                new_low[:, :axis] = corner[part, :axis]
                new_high[:, axis] = corner[part, axis]
                lows.append(new_low)
                highs.append(new_high)
            low, high = np.concatenate(lows), np.concatenate(highs)
        shares[number] = dominated
    return shares


def sampled_shares(points: Floats, samples: int = SAMPLES, seed: int = 0) -> Floats:
    """Estimate `exact_shares` with points drawn uniformly in the box."""
    waiting = np.random.default_rng(seed).random((points.shape[1], samples))
    shares = np.ones(len(points))
    for number, point in enumerate(points):
        hit = np.arange(waiting.shape[1])
        for column, value in zip(waiting, point, strict=True):  # few survive the first columns
            hit = hit[column[hit] >= value]
        waiting = np.delete(waiting, hit, axis=1)
        shares[number] = 1 - waiting.shape[1] / samples
    return shares


# What was covered and spent -----------------------------------------------------------------------


def plot_distinct(source: Source) -> go.Figure:
    """Plot distinct architectures and functions against trials: what a sampler repeats."""
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
    grey = {"color": style.GREY, "dash": "dot", "width": 1.5}
    traces = [style.steps("every trial new", x[[0, -1]], x[[0, -1]], grey)]
    for place, (name, count) in enumerate(counts.items()):
        traces.append(style.steps(name, x, count, style.line(place), "%{y} after %{x} trials"))
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


def plot_time(source: Source) -> go.Figure:
    """Plot where the time went, in seconds."""
    trials, spent = as_trials(source), {}
    for column, name in (("seconds_proxies", "proxies"), ("seconds_benchmark", "benchmark")):
        if column in trials.table:
            spent[name] = float(np.nansum(trials.numbers(column)))
    if "duration" in trials.table:
        rest = float(np.nansum(trials.numbers("duration"))) - sum(spent.values())
        spent["waiting, sampler and storage"] = max(rest, 0.0)
    stages = source.seconds if isinstance(source, SearchResult) else {}
    spent |= {name: seconds for name, seconds in stages.items() if name != "search"}
    if not spent or trials.table.empty:
        raise ReportError("no trial has its times")
    info = pd.Series(spent).sort_values(ascending=False)
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
