"""From a file, a text or a mapping to a `Config`, with every fault reported at once."""

import re
import tomllib
import warnings
from collections.abc import Mapping, Sequence
from copy import deepcopy
from os import PathLike
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from zc_search.config import mase
from zc_search.config.messages import dotted, find, problems
from zc_search.config.settings import Config, Objective
from zc_search.errors import ConfigError, nearest


class ConfigWarning(UserWarning):
    """Keys of a configuration that were understood and have no meaning here."""


def load_config(path: str | PathLike[str], overrides: Sequence[str] = ()) -> Config:
    """Read a configuration file, in this project's layout or in MASE's.

    Args:
        path: The TOML file.
        overrides: Settings that replace those of the file, such as ``study.n_trials=20``.

    Raises:
        ConfigError: The file cannot be read or is no TOML, or settings are wrong; the message
            lists all of them.

    Warns:
        ConfigWarning: Once, naming all keys of a MASE file that have no meaning here.
    """
    return _build(read_text(Path(path)), overrides, str(path))


def parse_config(
    text: str | Mapping[str, Any],
    overrides: Sequence[str] = (),
    *,
    source: str = "configuration",
) -> Config:
    """Validate a configuration given as TOML text or as nested mappings, as `load_config` does.

    Args:
        text: The configuration.
        overrides: Settings that replace those of `text`.
        source: What messages call the configuration.
    """
    return _build(text, overrides, source)


def _build(text: str | Mapping[str, Any], overrides: Sequence[str], source: str) -> Config:
    settings = parse_toml(text, source) if isinstance(text, str) else deepcopy(dict(text))
    read = mase.translate(settings) if mase.recognises(settings) else mase.Translation(settings)
    wrong = [*read.problems]
    for override in overrides:
        try:
            _override(read.settings, override, read.origins)
        except ConfigError as problem:
            wrong.append(problem)
    try:
        config = Config.model_validate(read.settings)
    except ValidationError as error:
        wrong += problems(error, Config, read.settings, read.origins)
    if wrong:
        raise ConfigError.of(source, wrong)
    if read.ignored:
        heading = f"{source}: keys in MASE's layout that mean nothing here:"
        warnings.warn("\n  ".join((heading, *read.ignored)), ConfigWarning, stacklevel=3)
    return config


def read_text(path: Path) -> str:
    """Return the text of a TOML file, or raise a `ConfigError` that says why there is none."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        names = [file.name for file in path.parent.glob("*.toml")]
        close = nearest(path.name, sorted(names))
        hint = f"did you mean {str(path.parent / close)!r}? " if close else ""
        reason = f"no such file; {hint}`zc-search init` writes one to start from"
    except IsADirectoryError:
        names = sorted(file.name for file in path.glob("*.toml"))
        reason = f"a folder, not a TOML file; in it: {', '.join(names) or 'no TOML file'}"
    except UnicodeDecodeError as error:
        reason = f"no UTF-8 text, as TOML has to be, from byte {error.start} on"
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
    raise ConfigError(f"{path}: {reason}", given=str(path))


def parse_toml(text: str, source: str) -> dict[str, Any]:
    """Return what a TOML text says, or raise a `ConfigError` that names its source."""
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{source}: no valid TOML: {error}", given=source) from error


_WITHIN = r"\[[^\]]*\]|\"[^\"]*\"|'[^']*'"
_OVERRIDE = re.compile(rf"((?:[^=\[\]\"']|{_WITHIN})+)=(.*)", re.DOTALL)
_NAME = re.compile(rf"(?:[^.\[\]\"']|{_WITHIN})+")


def _override(settings: dict[str, Any], override: str, origins: dict[str, str]) -> None:
    """Write one ``section.key=value`` into `settings`.

    Not split at every dot and sign, since a user's own proxy, ``package.module:function``, is one
    name, and so is ``proxy[option=0.5]``.
    """
    split = _OVERRIDE.fullmatch(override)
    key, text = (part.strip() for part in split.groups()) if split else (override, "")
    section, _, name = key.partition(".")
    if not (section and name and text):
        raise _not_set(override, "Allowed: section.key=value, such as study.n_trials=20")
    head, dot, last = name.rpartition(".")
    if section == "objectives" and ":" in name:
        names = [head, last] if dot and last in Objective.model_fields else [name]
    else:
        names = _NAME.findall(name)
    location = (section, *(part.strip("\"'") for part in names))
    origins.pop(dotted(location), None)
    table = settings
    for part in location[:-1]:
        inner = table.setdefault(part, {})
        if section == "objectives" and isinstance(inner, str):
            inner = table[part] = {"direction": inner}
        if not isinstance(inner, dict):
            raise _not_set(override, f"{part!r} is {inner!r}, which holds no keys")
        table = inner
    _, field = find(Config, location)
    is_text = field is not None and field.annotation in (str, str | None)
    table[location[-1]] = _value(text, is_text=is_text)


def _not_set(override: str, reason: str) -> ConfigError:
    return ConfigError(f"--set {override!r}: {reason}", key="--set", given=override)


def _value(text: str, *, is_text: bool) -> Any:
    """Read a TOML value, or else a bare text; a study may well be named by a number or a date."""
    try:
        values = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    value = values["value"]
    usable = isinstance(value, str if is_text else str | bool | int | float | list | dict)
    return value if usable and len(values) == 1 else text
