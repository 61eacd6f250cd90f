"""The whole space scored: many architectures into one Parquet file, in processes that may die."""

from zc_search.sweep.errors import ScoresError, ScoresWarning
from zc_search.sweep.running import Progress, score_space
from zc_search.sweep.table import load_scores
from zc_search.sweep.watching import WORKER_DIED

__all__ = [
    "WORKER_DIED",
    "Progress",
    "ScoresError",
    "ScoresWarning",
    "load_scores",
    "score_space",
]
