"""A search's settings: TOML in, frozen and validated values out.

The file is described in ``zc_search/resources/search.toml``, which `starter` returns.
"""

from zc_search.config.comparison import RESUMABLE, config_differences
from zc_search.config.loading import ConfigWarning, load_config, parse_config
from zc_search.config.sections import (
    Benchmark,
    Data,
    Ensemble,
    Output,
    Proxies,
    Space,
    Study,
)
from zc_search.config.settings import ENSEMBLE, Config, Objective, ensemble_file
from zc_search.config.types import METRIC_DIRECTIONS, SAMPLERS, FrozenTable
from zc_search.config.writing import config_to_toml, starter

__all__ = [
    "ENSEMBLE",
    "METRIC_DIRECTIONS",
    "RESUMABLE",
    "SAMPLERS",
    "Benchmark",
    "Config",
    "ConfigWarning",
    "Data",
    "Ensemble",
    "FrozenTable",
    "Objective",
    "Output",
    "Proxies",
    "Space",
    "Study",
    "config_differences",
    "config_to_toml",
    "ensemble_file",
    "load_config",
    "parse_config",
    "starter",
]
