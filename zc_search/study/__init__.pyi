from .conclusion import conclude
from .constraints import broken
from .objective import Objective
from .record import (
    DATA,
    DEFINITIONS,
    RECORD,
    OnTrial,
    TrialRecord,
    finished_trials,
    missing_values,
    trials_table,
)
from .storage import open_storage, open_study, set_aside
from .trials import Stagnation, run_trials

__all__ = [
    "DATA",
    "DEFINITIONS",
    "RECORD",
    "Objective",
    "OnTrial",
    "Stagnation",
    "TrialRecord",
    "broken",
    "conclude",
    "finished_trials",
    "missing_values",
    "open_storage",
    "open_study",
    "run_trials",
    "set_aside",
    "trials_table",
]
