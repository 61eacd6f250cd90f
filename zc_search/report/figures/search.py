"""How the search went: what it had found by when, what it covered, and what it spent."""

from __future__ import annotations

from collections.abc import Mapping
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
from zc_search.report.run import Floats, Source, Trials, as_trials, finite_rows
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

# Progress -----------------------------------------------------------------------------------------


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
    first = np.ones(len(table), dtype=bool)
    if "architecture" in table:
        first = ~table["architecture"].duplicated().to_numpy()
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
