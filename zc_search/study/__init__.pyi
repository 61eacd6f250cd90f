from .constraints import broken
from .objective import DATA, DEFINITIONS, Objective, OnTrial, finished_trials
from .record import RECORD, TrialRecord
from .storage import open_storage
from .study import open_study, set_aside
from .table import missing_values, trials_table
from .trials import run_trials

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
