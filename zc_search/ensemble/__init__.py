"""From proxies to one predicted accuracy: fit, judge on unseen rows, bound, export, apply again.

Tables in, tables out; no torch and no Optuna.
"""

from zc_search.ensemble.baselines import (
    DEFAULT_AGGREGATE,
    RECOMMENDED_PROXIES,
    aggregate,
    az_nas,
    best_single_proxy,
)
from zc_search.ensemble.features import FeatureMap, Features, parse_feature_set
from zc_search.ensemble.fitted import SCHEMA_VERSION, Ensemble
from zc_search.ensemble.fitting import fit_ensemble, fit_pipeline
from zc_search.ensemble.judging import compare_pareto, judge, learning_curve
from zc_search.ensemble.quality import HeldOut
from zc_search.ensemble.ranking import aggregate_ranking, ranking
from zc_search.ensemble.splits import judge_split, summarise
from zc_search.spaces.nasbench201.structure import (
    CELL_FEATURES,
    FLOW_FEATURES,
    cell_features,
    flow_features,
)

__all__ = [
    "CELL_FEATURES",
    "DEFAULT_AGGREGATE",
    "FLOW_FEATURES",
    "RECOMMENDED_PROXIES",
    "SCHEMA_VERSION",
    "Ensemble",
    "FeatureMap",
    "Features",
    "HeldOut",
    "aggregate",
    "aggregate_ranking",
    "az_nas",
    "best_single_proxy",
    "cell_features",
    "compare_pareto",
    "fit_ensemble",
    "fit_pipeline",
    "flow_features",
    "judge",
    "judge_split",
    "learning_curve",
    "parse_feature_set",
    "ranking",
    "summarise",
]
