"""The search: an Optuna study whose trials are architectures and whose objectives are proxies."""

from zc_search.search.loop import OnTrial, run_trials
from zc_search.search.predictions import load_ensembles
from zc_search.search.record import RECORD, TrialRecord
from zc_search.search.samplers import ResumableSampler, advice, make_sampler
from zc_search.search.study import DATA, DEFINITIONS, finished_trials, open_study
from zc_search.search.table import trials_table

__all__ = [
    "DATA",
    "DEFINITIONS",
    "RECORD",
    "OnTrial",
    "ResumableSampler",
    "TrialRecord",
    "advice",
    "finished_trials",
    "load_ensembles",
    "make_sampler",
    "open_study",
    "run_trials",
    "trials_table",
]
