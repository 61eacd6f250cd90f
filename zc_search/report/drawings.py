"""Which figures a run has: one list for the page, for pictures, and for Optuna's dashboard."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import pandas as pd
import plotly.graph_objects as go

from zc_search.errors import ReportError
from zc_search.report.answer import optimum
from zc_search.report.correlations import (
    MANY,
    plot_kendall_tau,
    plot_proxy_against_accuracy,
    plot_rank_correlations,
)
from zc_search.report.effort import plot_distinct, plot_hypervolume, plot_time
from zc_search.report.ensemble_figures import (
    plot_learning_curve,
    plot_predicted_against_true,
    plot_residuals,
    plot_weights,
)
from zc_search.report.parallel import plot_parallel_coordinates
from zc_search.report.pareto import plot_pareto
from zc_search.report.predictions import held_out_predictions
from zc_search.report.progress import Against, choices, plot_progress
from zc_search.report.tables import Trials, as_trials

if TYPE_CHECKING:
    from zc_search.study.result import SearchResult

Draw = Callable[[], go.Figure]
Layout = Literal["wide", "half", "small"]


@dataclass(frozen=True)
class Drawing:
    """A figure that may be drawn, or several to choose from.

    Attributes:
        id: What it is called on a page and in files.
        title: Its heading where none of them can be drawn.
        draws: How each of them is made, by what a button says.
        layout: Its share of a page's width.
    """

    id: str
    title: str
    draws: Mapping[str, Draw]
    layout: Layout = "wide"

    @property
    def file(self) -> str:
        """What its file is called, without an ending."""
        if self.layout != "small":
            return self.id
        return f"proxy-{re.sub(r'[^A-Za-z0-9_-]+', '-', self.title)}"

    def figures(self) -> dict[str, go.Figure]:
        """Draw what can be drawn.

        Raises:
            ReportError: Nothing can; why the first of them cannot.
        """
        made, first = {}, None
        for name, draw in self.draws.items():
            try:
                made[name] = draw()
            except ReportError as error:
                first = first or error
        if first is not None and not made:
            raise first
        return made


def held_out_or_none(result: SearchResult) -> pd.DataFrame | None:
    """Return `held_out_predictions`, or None where there are none."""
    try:
        return held_out_predictions(result)
    except ReportError:
        return None


def run_drawings(
    result: SearchResult, held_out: pd.DataFrame | None, curve: pd.DataFrame | None = None
) -> dict[str, Drawing]:
    """Return the figures of a run by id, in the order of the report.

    Args:
        result: Of the search.
        held_out: See `held_out_or_none`.
        curve: From `zc_search.ensemble.learning_curve`; without one it is not among them.
    """
    trials = as_trials(result)
    best = optimum(result)
    beside: Layout = "half" if len(trials.proxies) < MANY else "wide"

    def unseen(draw: Callable[[pd.DataFrame], go.Figure]) -> Draw:
        def drawn() -> go.Figure:
            if held_out is None:
                raise ReportError("no architecture was held out, so nothing honest can be shown")
            return draw(held_out)

        return drawn

    def progress(against: Against) -> Draw:
        return lambda: plot_progress(trials, against, best)

    drawings = [
        _one("pareto", "Two or three columns", lambda: plot_pareto(trials)),
        _one("parallel", "All proxies side by side", lambda: plot_parallel_coordinates(trials)),
        _one(
            "tau",
            "Kendall's tau with the true accuracy",
            lambda: plot_kendall_tau(trials),
            beside,
        ),
        _one(
            "correlations",
            "Which proxies say the same",
            lambda: plot_rank_correlations(trials),
            beside,
        ),
        *proxy_drawings(trials),
        _one("weights", "Weights", lambda: plot_weights(result)),
        _one(
            "predicted",
            "Predicted against true, held out",
            unseen(plot_predicted_against_true),
            "half",
        ),
        _one("residuals", "Residuals, held out", unseen(plot_residuals), "half"),
        Drawing(
            "progress",
            "Best so far",
            {label: progress(key) for key, label in choices(result.config.study.workers).items()},
        ),
        _one("hypervolume", "Hypervolume", lambda: plot_hypervolume(trials), "half"),
        _one("distinct", "Distinct architectures", lambda: plot_distinct(trials), "half"),
        _one("time", "Where the time went", lambda: plot_time(result)),
    ]
    if curve is not None:
        title = "What more accuracies would buy"
        drawings.append(_one("learning", title, lambda: plot_learning_curve(curve)))
    return {drawing.id: drawing for drawing in drawings}


def proxy_drawings(trials: Trials) -> list[Drawing]:
    """Return a figure a proxy against the true accuracy; none without accuracies."""
    if trials.metric is None or trials.distinct.empty:
        return []

    def against(proxy: str) -> Draw:
        return lambda: plot_proxy_against_accuracy(trials, proxy)

    return [
        _one(f"proxy-{place}", proxy, against(proxy), "small")
        for place, proxy in enumerate(trials.proxies)
    ]


def _one(identity: str, title: str, draw: Draw, layout: Layout = "wide") -> Drawing:
    return Drawing(identity, title, {"": draw}, layout)
