"""How the search went: what it had found by when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray

from zc_search.config import ensemble_file
from zc_search.ensemble.tables import flags
from zc_search.errors import ReportError, unknown_name
from zc_search.evaluation import best_so_far
from zc_search.report import style
from zc_search.report.tables import Floats, Trials, as_trials

if TYPE_CHECKING:
    from zc_search.study.result import SearchResult

Against = Literal["trials", "accuracies", "simulated_seconds", "seconds"]

AGAINST: Mapping[Against, str] = {
    "trials": "trials",
    "accuracies": "distinct accuracies looked at",
    "simulated_seconds": "training them would have taken (hours, simulated)",
    "seconds": "seconds, summed over trials",
}


SHORT_AGAINST: Mapping[Against, str] = {
    "trials": "trials",
    "accuracies": "accuracies",
    "simulated_seconds": "simulated training",
    "seconds": "trial seconds",
}
"""What a button says."""


def choices(workers: int) -> dict[Against, str]:
    """Return the axes to choose from; trials of several workers wait while their seconds run."""
    return {key: said for key, said in SHORT_AGAINST.items() if key != "seconds" or workers == 1}


class ProgressInfo(NamedTuple):
    """What was reached by when.

    Attributes:
        rows: The feasible trials that have a value, in order.
        x: Trials, accuracies, hours or seconds, after each of these trials.
        value: The trial's accuracy, or first objective where there is no accuracy.
        best: The best value so far.
        name: The column of the values.
        maximize: Whether more is better.
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
    steps = info.steps
    name = style.label(info.name)
    traces = [
        go.Scatter(
            x=info.x,
            y=info.value,
            mode="markers",
            name="each trial",
            marker={"size": 5, "color": style.GREY, "opacity": 0.5},
            customdata=info.rows.index.to_numpy(),
            hovertext=trials.names(info.rows),
            hovertemplate="%{hovertext}<br>%{y:.2f}<extra></extra>",
        ),
        go.Scatter(
            x=info.x[steps],
            y=info.best[steps],
            mode="lines",
            name="best so far",
            line={"color": style.BLUE, "width": 2.5, "shape": "hv"},
            hoverinfo="skip",
        ),
    ]
    if optimum is not None and info.name == trials.metric:
        traces.append(
            go.Scatter(
                x=[info.x[0], info.x[-1]],
                y=[optimum, optimum],
                mode="lines",
                name=f"best of the benchmark, {optimum:.2f}",
                line={"color": style.VERMILION, "dash": "dot", "width": 1.5},
                hoverinfo="skip",
            )
        )
    # The worst cells are at 10 %, and what matters happens in the last percent.
    low = float(np.quantile(info.value, 0.1 if info.maximize else 0))
    high = float(np.quantile(info.value, 1 if info.maximize else 0.9))
    top = max(high, optimum or high) if info.name == trials.metric else high
    pad = 0.06 * (top - low) or 1.0
    seen = info.name in trials.objectives or any(map(ensemble_file, trials.objectives))
    caption = (
        f"{name} of every feasible trial. "
        + ("" if seen else "The search itself did not see it: it looked at proxies. ")
        + "Values in the worst tenth may lie outside; double-click to see them."
        if info.name == trials.metric
        else f"There are no accuracies: {name} is the first objective."
    )
    return style.figure(
        traces,
        title="Best so far",
        alt=f"Best {name} so far against {AGAINST[against]}: {info.best[-1]:.4g} after "
        f"{info.x[-1]:.4g}.",
        caption=caption,
        xaxis={"title": {"text": AGAINST[against]}},
        yaxis={"title": {"text": name}, "range": [low - pad, top + pad]},
    )


def get_progress_info(trials: Trials, against: str = "trials") -> ProgressInfo:
    """Return the numbers behind `plot_progress`; raises as that does."""
    if against not in get_args(Against):
        raise ReportError(unknown_name("x axis", against, get_args(Against)))
    name = trials.metric or next(iter(trials.objectives), None)
    if name is None or name not in trials.table:
        raise ReportError("progress needs an accuracy or an objective, and the table has neither")
    table = trials.table
    value = trials.numbers(name)
    looked = np.isfinite(value)
    has = looked & flags(table, "feasible", default=True)
    if not has.any():
        raise ReportError(f"no feasible trial has a finite {name}")
    key = "architecture" if "architecture" in table else None
    first = ~table[key].duplicated().to_numpy() if key else np.ones(len(table), dtype=bool)
    if against == "trials":
        x = np.arange(1, len(table) + 1, dtype=float)
    elif against == "accuracies":
        x = np.cumsum(first & looked).astype(float)
    elif against == "simulated_seconds":
        x = np.cumsum(np.where(first, np.nan_to_num(trials.numbers("train_seconds")), 0)) / 3600
    else:
        x = np.cumsum(np.nan_to_num(trials.numbers("duration")))
    maximize = trials.direction(name) == "maximize"
    return ProgressInfo(
        table[has],
        x[has],
        value[has],
        best_so_far(value[has], maximize=maximize),
        name,
        maximize,
    )
