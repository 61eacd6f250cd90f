"""Settings back to TOML, a user's comments kept, and two of them side by side."""

from importlib.resources import files
from typing import Any

import tomlkit

from zc_search._utils.passwords import stripped
from zc_search.config.settings import Config, Objective

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


def starter() -> str:
    """Return a configuration to start from, in which every key is explained."""
    return files("zc_search.config").joinpath("search.toml").read_text(encoding="utf-8")


def config_to_toml(config: Config, template: str = "") -> str:
    """Write every setting that is not absent; ``parse_config`` reads an equal `Config` from it.

    Args:
        config: What to write.
        template: A configuration whose comments and order are to be kept, such as the file
            that `config` was loaded from. One in MASE's layout has no keys in common and is
            left aside.
    """
    document = tomlkit.parse(template)
    if "search" in document:
        document = tomlkit.document()
    for name, values in tables(config).items():
        section = document.setdefault(name, tomlkit.table())
        present = section.unwrap()
        reordered = name == "objectives" and [*present] != [*values]
        for key in present:
            if reordered or key not in values:
                del section[key]
        for key, value in values.items():
            # What is equal is left untouched, so that it keeps its notation, such as 1_000.
            if reordered or not _equal(present.get(key), value):
                section[key] = _item(value)
    return tomlkit.dumps(document)


def public(config: Config) -> Config:
    """Return the settings without what is secret in them: the passwords of the storage."""
    address = config.study.storage
    study = config.study.model_copy(update={"storage": address and stripped(address)})
    return config.model_copy(update={"study": study})


def tables(config: Config) -> dict[str, dict[str, Any]]:
    """Return the settings as nested dicts and lists, absent ones left out."""
    result: dict[str, dict[str, Any]] = {}
    for name in type(config).model_fields:
        section = getattr(config, name)
        if name == "objectives":
            result[name] = {objective.name: _objective(objective) for objective in section}
        else:
            result[name] = {
                (type(section).model_fields[key].alias or key): _plain(value)
                for key, value in section
                if value not in (None, {})
            }
    return result


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


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [*map(_plain, value)] if isinstance(value, list | tuple) else value


def _objective(objective: Objective) -> Any:
    if objective.scale == 1:
        return objective.direction
    return {"direction": objective.direction, "scale": objective.scale}


def _item(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    table = tomlkit.inline_table()
    table.update({key: _item(inner) for key, inner in value.items()})
    return table


def _equal(left: Any, right: Any) -> bool:
    """Compare as TOML does, where 1 and true differ."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_equal(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_equal, left, right))
    return bool(left == right) and isinstance(left, bool) == isinstance(right, bool)


def _flat(config: Config) -> dict[str, Any]:
    return {
        f"{section}.{key}": value
        for section, table in tables(config).items()
        for key, value in table.items()
        if section not in RESUMABLE and f"{section}.{key}" not in RESUMABLE
    }


def _shown(value: Any) -> str:
    return "absent" if value is None else repr(value)
