"""Several runs side by side: their answers, figures and settings on one page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from markupsafe import Markup

from zc_search._utils.text import without_passwords
from zc_search.config.metrics import METRICS
from zc_search.config.settings import tables
from zc_search.errors import ReportError
from zc_search.report import style
from zc_search.report.answer import accuracy_provenance, duration
from zc_search.report.figures.accuracy import get_kendall_info
from zc_search.report.figures.search import AGAINST, Against, choices, get_progress_info
from zc_search.report.page import Drawing, panel, render
from zc_search.report.run import as_trials
from zc_search.spaces.nasbench201.architecture import drawing_or_none

if TYPE_CHECKING:
    from zc_search.study.record import SearchResult

T = TypeVar("T")

_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x")


def compare_runs(results: Sequence[SearchResult]) -> str:
    """Return a page that shows runs side by side: answers, figures, and how their settings differ.

    A `ReportError` is raised for fewer than two results of `load_result`.
    """
    if len(results) < 2:
        raise ReportError(f"a comparison needs two runs or more, got {len(results)}")
    names = run_names(results)
    datasets = {(r.config.dataset, r.config.benchmark.metric) for r in results}
    return render(
        "compare.html.j2",
        title=" · ".join(names),
        data={"name": "comparison"},
        names=names,
        rows=get_comparison(results),
        differences=get_differences(results),
        cells=[_cell(r.best.architecture) if r.best else "" for r in results],
        provenance=dict.fromkeys(filter(None, map(accuracy_provenance, results))),
        same_data=len(datasets) == 1,
        panels=[panel(drawing) for drawing in comparison_drawings(results)],
    )


def _cell(architecture: str) -> str:
    drawing = drawing_or_none(architecture)
    return architecture if drawing is None else Markup(drawing)  # noqa: S704  our drawing


def run_names(results: Sequence[SearchResult]) -> list[str]:
    """Return what to call the runs: their studies, and their folders where these agree."""
    names = [result.config.study.name for result in results]
    if len(set(names)) < len(names):
        names = [str(result.folder) for result in results]
    return [
        f"{name} ({place})" if names.count(name) > 1 else name
        for place, name in enumerate(names, 1)
    ]


def get_comparison(results: Sequence[SearchResult]) -> pd.DataFrame:
    """Return what is asked first of each run, one column a run; empty where it has no answer."""
    summaries = [_summary(result) for result in results]
    return pd.DataFrame(summaries, index=run_names(results)).T.fillna("")


def _summary(result: SearchResult) -> dict[str, str]:
    trials, config, best = as_trials(result), result.config, result.best
    table = trials.table
    summary = {
        "data set": config.dataset,
        "sampler": f"{config.study.sampler}, seed {config.study.seed}",
        "objectives": ", ".join(o.name for o in config.active_objectives),
        "trials": f"{len(table):,}, {len(trials.feasible):,} feasible",
        "distinct functions": f"{table['function_key'].nunique():,}" if len(table) else "0",
        "on the Pareto front": f"{len(result.pareto):,}",
    }
    if trials.metric:
        summary["accuracies looked at"] = f"{trials.looked_at:,}"
        reached = trials.true(trials.feasible)
        if np.isfinite(reached).any():
            summary["best feasible accuracy looked at"] = f"{np.nanmax(reached):.2f} %"
    if best is not None:
        interval = f" ({best.interval})" if best.interval else ""
        summary["predicted for the best"] = f"{best.predicted:.2f} %{interval}"
        if best.true is not None:
            summary["its true accuracy"] = f"{best.true:.2f} %"
        if best.rank is not None:
            summary["its place"] = f"{best.rank:,} of {best.out_of:,}"
    if "duration" in table:
        summary["time of the trials"] = duration(float(np.nansum(trials.numbers("duration"))))
    return summary


def get_differences(results: Sequence[SearchResult]) -> pd.DataFrame:
    """Return the settings that are not the same in all runs, one column a run."""
    flat: list[dict[str, Any]] = [
        {
            f"{section}.{key}": without_passwords(str(value))
            for section, t in tables(r.config).items()
            for key, value in t.items()
        }
        for r in results
    ]
    frame = pd.DataFrame(flat, index=run_names(results)).T.fillna("absent")
    return frame[frame.nunique(axis=1) > 1].sort_index()


def comparison_drawings(results: Sequence[SearchResult]) -> list[Drawing]:
    """Return the figures of a comparison, in their order."""
    labels = choices(max(result.config.study.workers for result in results)).items()
    progress = {label: partial(plot_compared_progress, results, key) for key, label in labels}
    tau, quality = partial(plot_compared_tau, results), partial(plot_compared_quality, results)
    return [
        Drawing("progress", "Best so far", progress),
        Drawing("tau", "Kendall's tau of the proxies", tau),
        Drawing("quality", "How well they rank", quality),
    ]


def plot_compared_progress(
    results: Sequence[SearchResult], against: Against = "trials"
) -> go.Figure:
    """Plot the best value so far of each run; see `plot_progress`.

    Runs without what the first one has to follow are left out, and named.
    """
    nothing = "no run has an accuracy or an objective to follow"
    infos = _by_run(results, lambda r: get_progress_info(as_trials(r), against), nothing)
    measured = [info.name for info in infos.values() if info.name in METRICS]
    column = next(iter(measured), next(iter(infos.values())).name)
    kept = {name: info for name, info in infos.items() if info.name == column}
    left_out = [name for name in run_names(results) if name not in kept]
    traces = []
    for place, (name, info) in enumerate(kept.items()):
        x, y, look = info.x[info.steps], info.best[info.steps], style.line(place) | {"shape": "hv"}
        traces.append(style.steps(name, x, y, look, "%{y:.2f}"))
    ends = [f"{n} {info.best[-1]:.4g} after {info.x[-1]:.4g}" for n, info in kept.items()]
    axis, label = AGAINST[against][0], style.label(column)
    return style.figure(
        traces,
        title="Best so far",
        alt=f"Best {label} so far against {axis}: {'; '.join(ends)}.",
        caption="The best among what each run had looked at by then."
        + (f" Left out, as they have no {column}: {', '.join(left_out)}." if left_out else ""),
        **style.xy(axis, label),
    )


def plot_compared_tau(results: Sequence[SearchResult]) -> go.Figure:
    """Plot Kendall's tau of each proxy with the true accuracy, in each run."""
    found = _by_run(results, _get_tau, "no run has true accuracies")
    order = pd.concat(found.values()).groupby("name")["kendall_tau"].mean().sort_values()
    return _intervals(
        found,
        list(order.index),
        title="Kendall's tau of the proxies",
        alt="Kendall's tau with the true accuracy",
        caption="Over the distinct functions that each run looked at, which differ; bars hold "
        "90 % of bootstrap resamples.",
        x="Kendall's tau",
    )


def plot_compared_quality(results: Sequence[SearchResult]) -> go.Figure:
    """Plot how well ensembles and baselines rank what they have not seen, in each run."""
    nothing = "no run has an ensemble that was judged on held-out architectures"
    found = _by_run(results, _get_quality, nothing)
    return _intervals(
        found,
        list(dict.fromkeys(pd.concat(found.values())["name"]))[::-1],
        title="How well they rank, held out",
        alt="Held-out Kendall's tau",
        caption="Kendall's tau on folds that were held out, with 90 % intervals. Runs were "
        "judged on different architectures.",
        x="Kendall's tau, held out",
    )


def _get_tau(result: SearchResult) -> pd.DataFrame:
    return get_kendall_info(as_trials(result)).rename(columns={"proxy": "name"})


def _get_quality(result: SearchResult) -> pd.DataFrame:
    if result.ensemble is None or result.ensemble.quality.empty:
        raise ReportError("there is no ensemble that was judged")
    named = {"predictor": "name", "kendall_tau_low": "low", "kendall_tau_high": "high"}
    return result.ensemble.quality.dropna(subset=["kendall_tau"]).rename(columns=named)


def _by_run(
    results: Sequence[SearchResult], read: Callable[[SearchResult], T], nothing: str
) -> dict[str, T]:
    """Return what is read of each run that has it; where none has, that is the error."""
    found = {}
    for name, result in zip(run_names(results), results, strict=True):
        with suppress(ReportError):
            found[name] = read(result)
    if not found:
        raise ReportError(nothing)
    return found


def _intervals(
    found: Mapping[str, pd.DataFrame], order: list[str], *, alt: str, x: str, **said: Any
) -> go.Figure:
    """Plot ``name, kendall_tau, low, high`` of each run, the first of `order` lowest."""
    values = [
        f"{run}: " + ", ".join(f"{r.name} {r.kendall_tau:+.2f}" for r in rows.itertuples())
        for run, rows in found.items()
    ]
    parts = {
        run: (rows, style.line(place)["color"], _SYMBOLS[place % len(_SYMBOLS)])
        for place, (run, rows) in enumerate(found.items())
    }
    traces = style.interval_marks(parts, "kendall_tau", "name")
    for place, trace in enumerate(traces):
        trace.update(orientation="h", offsetgroup=str(place))
    return style.figure(
        traces,
        alt=f"{alt}: {'; '.join(values)}.",
        **said,
        height=120 + 36 * len(order),
        **style.rows(x, order),
        scattermode="group",
    )
