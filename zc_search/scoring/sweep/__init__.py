"""The whole space scored: many architectures into one Parquet file, in processes that may die."""

from zc_search.scoring.sweep.errors import ScoresWarning
from zc_search.scoring.sweep.running import Progress, score_space
from zc_search.scoring.sweep.table import load_scores
from zc_search.scoring.sweep.watching import WORKER_DIED

__all__ = [
    "WORKER_DIED",
    "Progress",
    "ScoresWarning",
    "load_scores",
    "score_space",
]
