"""Predictor-guided and local search for categorical spaces, and any sampler without repeats."""

from .distinct import DistinctSampler
from .local_search import LocalSearchSampler
from .predictor_guided import PredictorGuidedSampler

__all__ = ["DistinctSampler", "LocalSearchSampler", "PredictorGuidedSampler"]
