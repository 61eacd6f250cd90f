"""Samplers on cells, and what guides them: what is known before an accuracy is looked at."""

from zc_search.samplers.building import local_search, predictor_guided, regularized_evolution
from zc_search.samplers.cells import distributions, function_key, key_of
from zc_search.samplers.knowledge import Knowledge, gather
from zc_search.samplers.naming import (
    OPTUNA,
    OWN,
    SAMPLERS,
    check_options,
    find_sampler,
    make_own,
)
from zc_search.samplers.picking import zero_cost
from zc_search.samplers.portable import (
    DistinctSampler,
    LocalSearchSampler,
    PredictorGuidedSampler,
    RegularizedEvolutionSampler,
)
from zc_search.samplers.prior import FLOW_AGGREGATE
from zc_search.samplers.regressors import MODELS, Model, find_model

__all__ = [
    "FLOW_AGGREGATE",
    "MODELS",
    "OPTUNA",
    "OWN",
    "SAMPLERS",
    "DistinctSampler",
    "Knowledge",
    "LocalSearchSampler",
    "Model",
    "PredictorGuidedSampler",
    "RegularizedEvolutionSampler",
    "check_options",
    "distributions",
    "find_model",
    "find_sampler",
    "function_key",
    "gather",
    "key_of",
    "local_search",
    "make_own",
    "predictor_guided",
    "regularized_evolution",
    "zero_cost",
]
