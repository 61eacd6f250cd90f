"""Neural architecture search without training, as a benchmark problem."""

from zc_search.study.problem import Problem

__all__ = ["Problem"]
