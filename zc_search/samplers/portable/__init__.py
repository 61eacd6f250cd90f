"""Samplers for architectures and other categorical spaces, for any Optuna study.

They need NumPy and Optuna and nothing else of zc-search, and import each other by relative paths,
so that this folder works wherever it is copied to.
"""

from .distinct import DistinctSampler, RedrawingSampler
from .evolution import RegularizedEvolutionSampler
from .local_search import LocalSearchSampler
from .memory import Memory, RememberingSampler
from .predictor_guided import PredictorGuidedSampler, normal_scores

__all__ = [
    "DistinctSampler",
    "LocalSearchSampler",
    "Memory",
    "PredictorGuidedSampler",
    "RedrawingSampler",
    "RegularizedEvolutionSampler",
    "RememberingSampler",
    "normal_scores",
]
