from .comparison import compare_runs
from .correlations import (
    plot_kendall_tau,
    plot_proxy_against_accuracy,
    plot_rank_correlations,
)
from .effort import plot_distinct, plot_hypervolume, plot_time
from .ensemble_figures import (
    plot_learning_curve,
    plot_predicted_against_true,
    plot_residuals,
    plot_weights,
)
from .loading import load_result
from .page import render_report, write_report
from .parallel import plot_parallel_coordinates
from .pareto import plot_pareto
from .predictions import held_out_predictions
from .progress import plot_progress

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
    "write_report",
]
