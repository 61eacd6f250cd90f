"""The search: an Optuna study whose trials are architectures and whose objectives are proxies."""

from zc_search.study.constraints import broken, check_constraints
from zc_search.study.loop import OnTrial, run_trials
from zc_search.study.predictions import load_ensembles
from zc_search.study.record import RECORD, TrialRecord
from zc_search.study.storage import open_storage
from zc_search.study.study import (
    CONFIG,
    DATA,
    DEFINITIONS,
    VERSIONS,
    finished_trials,
    installed_versions,
    open_study,
    set_aside,
)
from zc_search.study.table import missing_values, trials_table

__all__ = [
    "CONFIG",
    "DATA",
    "DEFINITIONS",
    "RECORD",
    "VERSIONS",
    "OnTrial",
    "TrialRecord",
    "broken",
    "check_constraints",
    "finished_trials",
    "installed_versions",
    "load_ensembles",
    "missing_values",
    "open_storage",
    "open_study",
    "run_trials",
    "set_aside",
    "trials_table",
]
