from .comparison import compare_runs
from .figures.accuracy import (
    plot_kendall_tau,
    plot_learning_curve,
    plot_predicted_against_true,
    plot_proxy_against_accuracy,
    plot_rank_correlations,
    plot_residuals,
    plot_weights,
)
from .figures.search import (
    plot_distinct,
    plot_hypervolume,
    plot_parallel_coordinates,
    plot_pareto,
    plot_progress,
    plot_time,
)
from .page import render_report, save_result, write_report
from .run import held_out_predictions, load_result

__all__ = [
    "compare_runs",
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
    "save_result",
    "write_report",
]
