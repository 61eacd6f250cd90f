"""Which architecture next: samplers by name, and what guides them. No torch.

`portable` needs NumPy and Optuna alone and can be copied into any project.
"""

from zc_search.samplers.catalogue import (
    advice,
    check_options,
    find_sampler,
    function_key,
    key_of,
    make_sampler,
    population,
    sampler_of,
)
from zc_search.samplers.guided import MODELS, find_model
from zc_search.samplers.knowledge import FLOW_AGGREGATE, Knowledge, gather, zero_cost

__all__ = [
    "FLOW_AGGREGATE",
    "MODELS",
    "Knowledge",
    "advice",
    "check_options",
    "find_model",
    "find_sampler",
    "function_key",
    "gather",
    "key_of",
    "make_sampler",
    "population",
    "sampler_of",
    "zero_cost",
]
