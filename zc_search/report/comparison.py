"""Several runs side by side: figures that lay one over the other, and the page around them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from markupsafe import Markup

from zc_search.config.writing import tables
from zc_search.report import style
from zc_search.report.answer import accuracy_provenance, duration
from zc_search.report.cell import draw_cell
from zc_search.report.correlations import get_kendall_info
from zc_search.report.page import choice, panel, render
from zc_search.report.progress import AGAINST, SHORT_AGAINST, Against, get_progress_info
from zc_search.report.tables import METRICS, ReportError, as_trials

if TYPE_CHECKING:
    from zc_search.results import SearchResult

_DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x")


def compare_runs(results: Sequence[SearchResult]) -> str:
    """Return a page that shows runs side by side: answers, figures, and how their settings differ.

    Args:
        results: Two or more; see `load_result`.

    Raises:
        ReportError: Fewer than two.
    """
    if len(results) < 2:
        raise ReportError(f"a comparison needs two runs or more, got {len(results)}")
    names = run_names(results)
    figures = [
        choice(
            "progress",
            {label: _progress(results, key) for key, label in SHORT_AGAINST.items()},
            title="Best so far",
        ),
        panel("tau", lambda: plot_compared_tau(results), title="Kendall's tau of the proxies"),
        panel("quality", lambda: plot_compared_quality(results), title="How well they rank"),
    ]
    datasets = {(r.config.space.dataset, r.config.benchmark.metric) for r in results}
    return render(
        "compare.html.j2",
        title=" · ".join(names),
        data={
            "name": "comparison",
            "templates": {"light": style.LIGHT, "dark": style.DARK},
            "brighter": style.BRIGHTER,
        },
        names=names,
        rows=get_comparison(results),
        differences=get_differences(results),
        cells=[Markup(draw_cell(r.best.architecture)) if r.best else "" for r in results],  # noqa: S704
        provenance=dict.fromkeys(filter(None, map(accuracy_provenance, results))),
        same_data=len(datasets) == 1,
        panels=figures,
    )


def _progress(results: Sequence[SearchResult], against: Against) -> Callable[[], go.Figure]:
    return lambda: plot_compared_progress(results, against)


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
    return pd.DataFrame(
        [_summary(result) for result in results], index=run_names(results)
    ).T.fillna("")


def _summary(result: SearchResult) -> dict[str, str]:
    trials, config, best = as_trials(result), result.config, result.best
    table = trials.table
    summary = {
        "data set": config.space.dataset,
        "sampler": f"{config.study.sampler}, seed {config.study.seed}",
        "objectives": ", ".join(o.name for o in config.active_objectives),
        "trials": f"{len(table):,}, {len(trials.feasible):,} feasible",
        "distinct functions": f"{table['function_key'].nunique():,}" if len(table) else "0",
        "on the Pareto front": f"{len(result.pareto):,}",
    }
    if trials.metric:
        known = table[np.isfinite(trials.true(table))]
        summary["accuracies looked at"] = f"{known['architecture'].nunique():,}"
        summary["best accuracy looked at"] = f"{np.nanmax(trials.true(table)):.2f} %"
    if best is not None:
        summary["predicted for the best"] = (
            f"{best.predicted:.2f} % ({best.low:.2f} to {best.high:.2f})"
        )
        if best.true is not None:
            summary["its true accuracy"] = f"{best.true:.2f} %"
        if best.rank is not None and best.out_of is not None:
            summary["its place"] = f"{best.rank:,} of {best.out_of:,}"
    if "duration" in table:
        summary["time of the trials"] = duration(float(np.nansum(trials.numbers("duration"))))
    return summary


def get_differences(results: Sequence[SearchResult]) -> pd.DataFrame:
    """Return the settings that are not the same in all runs, one column a run."""
    flat: list[dict[str, Any]] = [
        {
            f"{section}.{key}": str(value)
            for section, t in tables(r.config).items()
            for key, value in t.items()
        }
        for r in results
    ]
    frame = pd.DataFrame(flat, index=run_names(results)).T.fillna("absent")
    return frame[frame.nunique(axis=1) > 1].sort_index()


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
            x=np.repeat(info.x, 2)[1:],
            y=np.repeat(info.best, 2)[:-1],
            mode="lines",
            name=name,
            line={**_line(place), "width": 2.5},
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
    return style.figure(
        [
            _interval(place, name, t["proxy"], t["kendall_tau"], t["low"], t["high"])
            for place, (name, t) in enumerate(found.items())
        ],
        title="Kendall's tau of the proxies",
        alt="Kendall's tau with the true accuracy: "
        + "; ".join(
            f"{name}: " + ", ".join(f"{r.proxy} {r.kendall_tau:+.2f}" for r in t.itertuples())
            for name, t in found.items()
        )
        + ".",
        caption="Over the distinct functions that each run looked at, which differ; bars hold "
        "90 % of bootstrap resamples.",
        height=120 + 36 * len(order),
        xaxis={"title": {"text": "Kendall's tau"}},
        yaxis={"categoryorder": "array", "categoryarray": list(order.index), "ticksuffix": " "},
        scattermode="group",
    )


def plot_compared_quality(results: Sequence[SearchResult]) -> go.Figure:
    """Plot how well ensembles and baselines rank what they have not seen, in each run.

    Raises:
        ReportError: No run has a held-out figure.
    """
    found = {
        name: result.ensemble.quality.dropna(subset=["kendall_tau"])
        for name, result in zip(run_names(results), results, strict=True)
        if result.ensemble is not None and not result.ensemble.quality.empty
    }
    if not found:
        raise ReportError("no run has an ensemble that was judged on held-out architectures")
    order = list(dict.fromkeys(pd.concat(found.values())["predictor"]))
    return style.figure(
        [
            _interval(
                place,
                name,
                t["predictor"],
                t["kendall_tau"],
                t["kendall_tau_low"],
                t["kendall_tau_high"],
            )
            for place, (name, t) in enumerate(found.items())
        ],
        title="How well they rank, held out",
        alt="Held-out Kendall's tau: "
        + "; ".join(
            f"{name}: " + ", ".join(f"{r.predictor} {r.kendall_tau:+.2f}" for r in t.itertuples())
            for name, t in found.items()
        )
        + ".",
        caption="Kendall's tau on folds that were held out, with 90 % intervals. Runs were "
        "judged on different architectures.",
        height=130 + 36 * len(order),
        xaxis={"title": {"text": "Kendall's tau, held out"}},
        yaxis={"categoryorder": "array", "categoryarray": order[::-1], "ticksuffix": " "},
        scattermode="group",
    )


def _line(place: int) -> dict[str, str]:
    return {
        "color": style.PALETTE[place % len(style.PALETTE)],
        "dash": _DASHES[place % len(_DASHES)],
    }


def _interval(
    place: int, name: str, y: pd.Series, x: pd.Series, low: pd.Series, high: pd.Series
) -> go.Scatter:
    return go.Scatter(
        x=x,
        y=y,
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
            "array": high - x,
            "arrayminus": x - low,
            "thickness": 1.5,
            "width": 0,
        },
        hovertemplate="%{y}: %{x:.3f}<extra></extra>",
    )
