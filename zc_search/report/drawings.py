"""Which figures a run has: one list for the page, for pictures, and for Optuna's dashboard."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pandas as pd
import plotly.graph_objects as go

from zc_search._utils.files import writing
from zc_search.errors import ReportError
from zc_search.report.figures.ensemble import (
    plot_learning_curve,
    plot_predicted_against_true,
    plot_residuals,
    plot_weights,
)
from zc_search.report.figures.front import plot_parallel_coordinates, plot_pareto
from zc_search.report.figures.proxies import (
    MANY,
    plot_kendall_tau,
    plot_proxy_against_accuracy,
    plot_rank_correlations,
)
from zc_search.report.figures.search import (
    choices,
    plot_distinct,
    plot_hypervolume,
    plot_progress,
    plot_time,
)
from zc_search.report.predictions import held_out_predictions
from zc_search.report.tables import as_trials

if TYPE_CHECKING:
    from zc_search.study.record import SearchResult

Draw = Callable[[], go.Figure]
Layout = Literal["wide", "half", "small"]

WIDTHS = {"wide": 1000, "half": 640, "small": 480}
"""Of a picture, in pixels of a page; files have twice as many."""


@dataclass(frozen=True)
class Drawing:
    """A figure that may be drawn, or several to choose from."""

    id: str
    title: str
    """Its heading where none of them can be drawn."""
    draws: Draw | Mapping[str, Draw]
    """How it is made, or each of them by what a button says."""
    layout: Layout = "wide"
    """Its share of a page's width."""

    @property
    def file(self) -> str:
        """What its file is called, without an ending."""
        if self.layout != "small":
            return self.id
        return f"proxy-{re.sub(r'[^A-Za-z0-9_-]+', '-', self.title)}"

    def figures(self) -> dict[str, go.Figure]:
        """Draw what can be drawn; a `ReportError` says why the first cannot where none can."""
        made, first = {}, None
        draws = {"": self.draws} if callable(self.draws) else self.draws
        for name, draw in draws.items():
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
    """Return the figures of a run by id, in the report's order; that of `curve` if there is one."""
    trials, optimum = as_trials(result), result.optimum
    accuracies = trials.metric is not None and not trials.distinct.empty
    proxies = trials.proxies if accuracies else ()
    beside: Layout = "half" if len(trials.proxies) < MANY else "wide"
    labels = choices(result.config.study.workers).items()
    progress = {label: partial(plot_progress, trials, key, optimum) for key, label in labels}
    title = "Kendall's tau with the true accuracy"
    correlations = partial(plot_rank_correlations, trials)
    predicted = partial(plot_predicted_against_true, held_out)
    drawings = [
        Drawing("pareto", "Two or three columns", partial(plot_pareto, trials)),
        Drawing("parallel", "All proxies side by side", partial(plot_parallel_coordinates, trials)),
        Drawing("tau", title, partial(plot_kendall_tau, trials), beside),
        Drawing("correlations", "Which proxies say the same", correlations, beside),
        *(
            Drawing(f"proxy-{n}", p, partial(plot_proxy_against_accuracy, trials, p), "small")
            for n, p in enumerate(proxies)
        ),
        Drawing("weights", "Weights", partial(plot_weights, result)),
        Drawing("predicted", "Predicted against true, held out", predicted, "half"),
        Drawing("residuals", "Residuals, held out", partial(plot_residuals, held_out), "half"),
        Drawing("progress", "Best so far", progress),
        Drawing("hypervolume", "Hypervolume", partial(plot_hypervolume, trials), "half"),
        Drawing("distinct", "Distinct architectures", partial(plot_distinct, trials), "half"),
        Drawing("time", "Where the time went", partial(plot_time, result)),
    ]
    if (front := result.pareto_ensemble) is not None:
        title = "Weights of the ensemble of the front"
        drawings.append(Drawing("front-weights", title, partial(plot_weights, front)))
    if curve is not None:
        title = "What more accuracies would buy"
        drawings.append(Drawing("learning", title, partial(plot_learning_curve, curve)))
    return {drawing.id: drawing for drawing in drawings}


def write_pictures(drawings: Iterable[Drawing], folder: str | Path) -> list[Path]:
    """Write every figure that can be drawn as PNG, by Kaleido and an installed Chromium.

    A figure that there are several of to choose from gives a file each.
    """
    try:
        import kaleido
        from choreographer.errors import BrowserFailedError, ChromeNotFoundError
    except ImportError:
        hint = 'pip install "zc-search[png]"'
        raise ReportError(f"pictures need the package kaleido: {hint}", hint=hint) from None
    folder = Path(folder)
    with writing(str(folder), ReportError):
        folder.mkdir(parents=True, exist_ok=True)
    specs = []
    for drawing in drawings:
        try:
            figures = drawing.figures()
        except ReportError:
            continue
        for name, figure in figures.items():
            path = folder / f"{'-'.join(filter(None, (drawing.file, *name.split())))}.png"
            size = {"width": WIDTHS[drawing.layout], "height": figure.layout.height, "scale": 2}
            specs.append({"fig": figure, "path": path, "opts": {"format": "png", **size}})
    try:
        # MathJax would be fetched from the network.
        kaleido.write_fig_from_object_sync(specs, cancel_on_error=True, kopts={"mathjax": False})
    except (BrowserFailedError, ChromeNotFoundError) as error:
        raise ReportError(
            "pictures need Chrome or Chromium, and none could be started: install one "
            "(apt-get install chromium), or name it in the environment variable BROWSER_PATH"
        ) from error
    return [spec["path"] for spec in specs]
