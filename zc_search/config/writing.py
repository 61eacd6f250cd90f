"""Settings back to TOML, a user's comments kept."""

from importlib.resources import files
from typing import Any

import tomlkit

from zc_search._utils.passwords import stripped
from zc_search.config.settings import Config, Objective
from zc_search.config.types import FrozenTable, thawed


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
                (type(section).model_fields[key].alias or key): thawed(value)
                for key, value in section
                if value not in (None, FrozenTable())
            }
    return result


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
