"""Optuna's dashboard: what a study carries for it, and the server that shows it."""

from zc_search.report.dashboard.dress import dress_study, is_installed

__all__ = ["dress_study", "is_installed"]
