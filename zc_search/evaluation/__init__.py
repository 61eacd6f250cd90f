"""How well scores order architectures: rank correlations, top-k choices, bootstrap intervals.

Takes tables and arrays. A larger score is meant to promise a larger accuracy; `evaluate` turns the
sign of the proxies that work the other way round. Pairs with a member that is NaN or infinite are
dropped, and `finite_pairs` and `evaluate` say how many.
"""

from zc_search.evaluation.ceiling import Ceiling, noise_ceiling
from zc_search.evaluation.choice import choose_proxies
from zc_search.evaluation.statistics import (
    BASELINES,
    SUBSETS,
    Interval,
    best_of_top_k,
    best_so_far,
    bootstrap_interval,
    evaluate,
    finite_pairs,
    kendall_tau,
    ndcg,
    pearson,
    precision_at_top,
    self_agreement,
    spearman,
    top_k_regret,
)

__all__ = [
    "BASELINES",
    "SUBSETS",
    "Ceiling",
    "Interval",
    "best_of_top_k",
    "best_so_far",
    "bootstrap_interval",
    "choose_proxies",
    "evaluate",
    "finite_pairs",
    "kendall_tau",
    "ndcg",
    "noise_ceiling",
    "pearson",
    "precision_at_top",
    "self_agreement",
    "spearman",
    "top_k_regret",
]
