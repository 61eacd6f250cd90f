"""Figures of several runs, one over the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import pandas as pd
import plotly.graph_objects as go

from zc_search.config.metrics import METRICS
from zc_search.errors import ReportError
from zc_search.report import style
from zc_search.report.correlations import get_kendall_info
from zc_search.report.drawings import Draw, Drawing
from zc_search.report.progress import AGAINST, Against, choices, get_progress_info
from zc_search.report.tables import as_trials

if TYPE_CHECKING:
    from zc_search.study.result import SearchResult

_DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x")


def run_names(results: Sequence[SearchResult]) -> list[str]:
    """Return what to call the runs: their studies, and their folders where these agree."""
    names = [result.config.study.name for result in results]
    if len(set(names)) < len(names):
        names = [str(result.folder) for result in results]
    return [
        f"{name} ({place})" if names.count(name) > 1 else name
        for place, name in enumerate(names, 1)
    ]


def comparison_drawings(results: Sequence[SearchResult]) -> list[Drawing]:
    """Return the figures of a comparison, in their order."""

    def progress(against: Against) -> Draw:
        return lambda: plot_compared_progress(results, against)

    workers = max(result.config.study.workers for result in results)
    return [
        Drawing(
            "progress",
            "Best so far",
            {label: progress(key) for key, label in choices(workers).items()},
        ),
        Drawing("tau", "Kendall's tau of the proxies", {"": lambda: plot_compared_tau(results)}),
        Drawing("quality", "How well they rank", {"": lambda: plot_compared_quality(results)}),
    ]


def plot_compared_progress(
    results: Sequence[SearchResult], against: Against = "trials"
) -> go.Figure:
    """Plot the best value so far of each run; see `plot_progress`.

    Runs without what the first one has to follow are left out, and named.

    Raises:
        ReportError: No run has a value.
    """
    infos = {}
    for name, result in zip(run_names(results), results, strict=True):
        with suppress(ReportError):
            infos[name] = get_progress_info(as_trials(result), against)
    if not infos:
        raise ReportError("no run has an accuracy or an objective to follow")
    measured = [info.name for info in infos.values() if info.name in METRICS]
    column = next(iter(measured), next(iter(infos.values())).name)
    kept = {name: info for name, info in infos.items() if info.name == column}
    left_out = [name for name in run_names(results) if name not in kept]
    traces = [
        go.Scatter(
            x=info.x[info.steps],
            y=info.best[info.steps],
            mode="lines",
            name=name,
            line={**_line(place), "width": 2.5, "shape": "hv"},
            hovertemplate="%{y:.2f}<extra></extra>",
        )
        for place, (name, info) in enumerate(kept.items())
    ]
    said = [f"{n} {info.best[-1]:.4g} after {info.x[-1]:.4g}" for n, info in kept.items()]
    return style.figure(
        traces,
        title="Best so far",
        alt=f"Best {style.label(column)} so far against {AGAINST[against]}: {'; '.join(said)}.",
        caption="The best among what each run had looked at by then."
        + (f" Left out, as they have no {column}: {', '.join(left_out)}." if left_out else ""),
        xaxis={"title": {"text": AGAINST[against]}},
        yaxis={"title": {"text": style.label(column)}},
    )


def plot_compared_tau(results: Sequence[SearchResult]) -> go.Figure:
    """Plot Kendall's tau of each proxy with the true accuracy, in each run.

    Raises:
        ReportError: No run has accuracies.
    """
    found = {}
    for name, result in zip(run_names(results), results, strict=True):
        try:
            found[name] = get_kendall_info(as_trials(result))
        except ReportError:
            continue
    if not found:
        raise ReportError("no run has true accuracies")
    order = pd.concat(found.values()).groupby("proxy")["kendall_tau"].mean().sort_values()
    return _intervals(
        found,
        "proxy",
        list(order.index),
        title="Kendall's tau of the proxies",
        alt="Kendall's tau with the true accuracy",
        caption="Over the distinct functions that each run looked at, which differ; bars hold "
        "90 % of bootstrap resamples.",
        x="Kendall's tau",
    )


def plot_compared_quality(results: Sequence[SearchResult]) -> go.Figure:
    """Plot how well ensembles and baselines rank what they have not seen, in each run.

    Raises:
        ReportError: No run has a held-out figure.
    """
    named = {"kendall_tau_low": "low", "kendall_tau_high": "high"}
    found = {
        name: result.ensemble.quality.dropna(subset=["kendall_tau"]).rename(columns=named)
        for name, result in zip(run_names(results), results, strict=True)
        if result.ensemble is not None and not result.ensemble.quality.empty
    }
    if not found:
        raise ReportError("no run has an ensemble that was judged on held-out architectures")
    order = list(dict.fromkeys(pd.concat(found.values())["predictor"]))
    return _intervals(
        found,
        "predictor",
        order[::-1],
        title="How well they rank, held out",
        alt="Held-out Kendall's tau",
        caption="Kendall's tau on folds that were held out, with 90 % intervals. Runs were "
        "judged on different architectures.",
        x="Kendall's tau, held out",
    )


def _intervals(
    found: Mapping[str, pd.DataFrame],
    key: str,
    order: list[str],
    *,
    title: str,
    alt: str,
    caption: str,
    x: str,
) -> go.Figure:
    """Plot ``kendall_tau, low, high`` of each run: a row a `key`, a symbol a run.

    Args:
        found: A table a run.
        key: The column that names the rows.
        order: The rows, the lowest first.
        title: See `style.figure`.
        alt: What the numbers are; they are appended.
        caption: See `style.figure`.
        x: Label of the axis.
    """
    said = [
        f"{name}: " + ", ".join(f"{k} {v:+.2f}" for k, v in t.set_index(key)["kendall_tau"].items())
        for name, t in found.items()
    ]
    return style.figure(
        [_interval(place, name, t[key], t) for place, (name, t) in enumerate(found.items())],
        title=title,
        alt=f"{alt}: {'; '.join(said)}.",
        caption=caption,
        height=120 + 36 * len(order),
        xaxis={"title": {"text": x}},
        yaxis={"categoryorder": "array", "categoryarray": order, "ticksuffix": " "},
        scattermode="group",
    )


def _line(place: int) -> dict[str, str]:
    return {
        "color": style.PALETTE[place % len(style.PALETTE)],
        "dash": _DASHES[place % len(_DASHES)],
    }


def _interval(place: int, name: str, rows: pd.Series, table: pd.DataFrame) -> go.Scatter:
    return go.Scatter(
        x=table["kendall_tau"],
        y=rows,
        name=name,
        mode="markers",
        orientation="h",
        offsetgroup=str(place),
        marker={
            "size": 9,
            "color": style.PALETTE[place % len(style.PALETTE)],
            "symbol": _SYMBOLS[place % len(_SYMBOLS)],
        },
        error_x={
            "type": "data",
            "symmetric": False,
            "array": table["high"] - table["kendall_tau"],
            "arrayminus": table["kendall_tau"] - table["low"],
            "thickness": 1.5,
            "width": 0,
        },
        hovertemplate="%{y}: %{x:.3f}<extra></extra>",
    )
