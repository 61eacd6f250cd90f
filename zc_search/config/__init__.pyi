from .loading import ConfigWarning, load_config, parse_config
from .metrics import METRIC_DIRECTIONS
from .sections import (
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
from .settings import ENSEMBLE, Config, Objective, ensemble_file
from .types import SAMPLERS
from .writing import (
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
