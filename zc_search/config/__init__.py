"""A search's settings: TOML in, frozen and validated values out.

The file is described in ``zc_search/config/search.toml``, which `starter` returns.
"""

from zc_search.config.loading import ConfigWarning, load_config, parse_config
from zc_search.config.metrics import METRIC_DIRECTIONS
from zc_search.config.sections import (
    SPACE_KEYS,
    Benchmark,
    Constraints,
    Data,
    Ensemble,
    Output,
    Proxies,
    Space,
    Study,
    Training,
)
from zc_search.config.settings import ENSEMBLE, Config, Objective, ensemble_file
from zc_search.config.types import SAMPLERS
from zc_search.config.writing import (
    RESUMABLE,
    config_differences,
    config_to_toml,
    public,
    starter,
)

__all__ = [
    "ENSEMBLE",
    "METRIC_DIRECTIONS",
    "RESUMABLE",
    "SAMPLERS",
    "SPACE_KEYS",
    "Benchmark",
    "Config",
    "ConfigWarning",
    "Constraints",
    "Data",
    "Ensemble",
    "Objective",
    "Output",
    "Proxies",
    "Space",
    "Study",
    "Training",
    "config_differences",
    "config_to_toml",
    "ensemble_file",
    "load_config",
    "parse_config",
    "public",
    "starter",
]
