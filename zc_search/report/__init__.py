"""What people look at: the terminal, figures, and the HTML page.

Every ``plot_...`` takes a `SearchResult` or, where it makes sense, a plain table, and returns a
Plotly figure.

>>> from zc_search.report import load_result, plot_pareto
>>> plot_pareto(load_result("runs/cifar10")).show()  # doctest: +SKIP
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zc_search.report.cell import CellDrawing, describe_cell, draw_cell
    from zc_search.report.comparison import compare_runs
    from zc_search.report.correlations import (
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
    from zc_search.report.loading import load_result
    from zc_search.report.page import render_report, write_report
    from zc_search.report.parallel import plot_parallel_coordinates
    from zc_search.report.pareto import plot_pareto
    from zc_search.report.predictions import held_out_predictions
    from zc_search.report.progress import plot_progress
    from zc_search.report.tables import ReportError

__all__ = [
    "CellDrawing",
    "ReportError",
    "compare_runs",
    "describe_cell",
    "draw_cell",
    "held_out_predictions",
    "load_result",
    "plot_distinct",
    "plot_hypervolume",
    "plot_kendall_tau",
    "plot_learning_curve",
    "plot_parallel_coordinates",
    "plot_pareto",
    "plot_predicted_against_true",
    "plot_progress",
    "plot_proxy_against_accuracy",
    "plot_rank_correlations",
    "plot_residuals",
    "plot_time",
    "plot_weights",
    "render_report",
    "write_report",
]

# Imported on first use: the terminal stands in this package too, and needs no Plotly.
_HOMES = {
    "CellDrawing": "cell",
    "ReportError": "tables",
    "compare_runs": "comparison",
    "describe_cell": "cell",
    "draw_cell": "cell",
    "held_out_predictions": "predictions",
    "load_result": "loading",
    "plot_distinct": "effort",
    "plot_hypervolume": "effort",
    "plot_kendall_tau": "correlations",
    "plot_learning_curve": "ensemble_figures",
    "plot_parallel_coordinates": "parallel",
    "plot_pareto": "pareto",
    "plot_predicted_against_true": "ensemble_figures",
    "plot_progress": "progress",
    "plot_proxy_against_accuracy": "correlations",
    "plot_rank_correlations": "correlations",
    "plot_residuals": "ensemble_figures",
    "plot_time": "effort",
    "plot_weights": "ensemble_figures",
    "render_report": "page",
    "write_report": "page",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
