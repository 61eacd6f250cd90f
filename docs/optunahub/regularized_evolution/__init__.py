"""Regularized evolution for categorical spaces, which looks at no point twice."""

from .evolution import RegularizedEvolutionSampler

__all__ = ["RegularizedEvolutionSampler"]
