"""Several runs side by side: their answers, figures and settings on one page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from zc_search._utils.passwords import without_passwords
from zc_search.config.writing import tables
from zc_search.errors import ReportError
from zc_search.report import style
from zc_search.report.answer import accuracy_provenance, duration
from zc_search.report.comparison_figures import comparison_drawings, run_names
from zc_search.report.page import panel, render
from zc_search.report.tables import as_trials
from zc_search.spaces.nasbench201.drawing import drawing_or_none

if TYPE_CHECKING:
    from zc_search.study.result import SearchResult


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
    datasets = {(r.config.dataset, r.config.benchmark.metric) for r in results}
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
        cells=[_drawn(r.best.architecture) if r.best else "" for r in results],
        provenance=dict.fromkeys(filter(None, map(accuracy_provenance, results))),
        same_data=len(datasets) == 1,
        panels=[panel(drawing) for drawing in comparison_drawings(results)],
    )


def _drawn(architecture: str) -> str:
    drawing = drawing_or_none(architecture)
    return architecture if drawing is None else Markup(drawing)  # noqa: S704


def get_comparison(results: Sequence[SearchResult]) -> pd.DataFrame:
    """Return what is asked first of each run, one column a run; empty where it has no answer."""
    return pd.DataFrame(
        [_summary(result) for result in results], index=run_names(results)
    ).T.fillna("")


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
            f"{section}.{key}": without_passwords(str(value))
            for section, t in tables(r.config).items()
            for key, value in t.items()
        }
        for r in results
    ]
    frame = pd.DataFrame(flat, index=run_names(results)).T.fillna("absent")
    return frame[frame.nunique(axis=1) > 1].sort_index()
