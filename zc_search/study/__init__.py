"""An Optuna study of architectures: its objective, what a trial records, storages, workers."""

from zc_search.study.constraints import broken
from zc_search.study.objective import DATA, DEFINITIONS, Objective, OnTrial, finished_trials
from zc_search.study.record import RECORD, TrialRecord
from zc_search.study.storage import open_storage
from zc_search.study.study import open_study, set_aside
from zc_search.study.table import missing_values, trials_table
from zc_search.study.trials import run_trials

__all__ = [
    "DATA",
    "DEFINITIONS",
    "RECORD",
    "Objective",
    "OnTrial",
    "TrialRecord",
    "broken",
    "finished_trials",
    "missing_values",
    "open_storage",
    "open_study",
    "run_trials",
    "set_aside",
    "trials_table",
]
