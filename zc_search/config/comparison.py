"""Two configurations side by side: may the one go on with the study of the other?"""

from typing import Any

from zc_search.config.settings import Config
from zc_search.config.writing import tables

RESUMABLE = (
    "study.n_trials",
    "study.max_accuracies",
    "study.max_simulated_seconds",
    "study.timeout",
    "study.workers",
    "study.patience",
    "proxies.device",
    "proxies.timeout",
    "proxies.cache",
    "ensemble.model",
    "ensemble.features",
    "ensemble.fit_on",
    "ensemble.folds",
    "ensemble.repeats",
    "ensemble.seed",
    "output",
    "training",
)
"""Keys and sections that may change between a run and its resumption."""


def config_differences(old: Config, new: Config) -> list[str]:
    """Return a line for each key that differs, with both values, but for those in `RESUMABLE`."""
    before, after = _flat(old), _flat(new)
    lines = [
        f"{key}: {_shown(before.get(key))} before, {_shown(after.get(key))} now"
        for key in dict.fromkeys((*before, *after))
        if before.get(key) != after.get(key)
    ]
    # Optuna stores an objective's values by position, so the order is part of a study.
    orders = [[objective.name for objective in config.objectives] for config in (old, new)]
    if orders[0] != orders[1] and sorted(orders[0]) == sorted(orders[1]):
        lines.append(f"objectives: order {', '.join(orders[0])} before, {', '.join(orders[1])} now")
    return lines


def _flat(config: Config) -> dict[str, Any]:
    return {
        f"{section}.{key}": value
        for section, table in tables(config).items()
        for key, value in table.items()
        if section not in RESUMABLE and f"{section}.{key}" not in RESUMABLE
    }


def _shown(value: Any) -> str:
    return "absent" if value is None else repr(value)
