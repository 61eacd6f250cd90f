"""From a file, a text or a mapping to a `Config`, with every fault reported at once."""

import re
import tomllib
import warnings
from collections.abc import Mapping, Sequence
from copy import deepcopy
from os import PathLike
from pathlib import Path
from typing import Any

import tomlkit
from pydantic import ValidationError
from tomlkit.exceptions import TOMLKitError

from zc_search.config import mase
from zc_search.config.messages import Location, describe, report
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
    return _build(_read(Path(path)), overrides, str(path))


def parse_config(
    text: str | Mapping[str, Any],
    overrides: Sequence[str] = (),
    *,
    source: str = "configuration",
) -> Config:
    """Validate a configuration given as TOML text or as nested mappings.

    Args:
        text: The configuration, in this project's layout or in MASE's.
        overrides: Settings that replace those of `text`, such as ``study.n_trials=20``.
        source: What messages call the configuration.

    Raises:
        ConfigError: See `load_config`.

    Warns:
        ConfigWarning: See `load_config`.
    """
    return _build(text, overrides, source)


def _build(text: str | Mapping[str, Any], overrides: Sequence[str], source: str) -> Config:
    settings = _parse(text, source) if isinstance(text, str) else deepcopy(dict(text))
    lines: list[str] = []
    origins: dict[Location, str] = {}
    ignored: list[str] = []
    if mase.recognises(settings):
        translation = mase.translate(settings)
        settings, origins = translation.settings, translation.origins
        lines, ignored = translation.errors, translation.ignored
    for override in overrides:
        lines += _override(settings, override, origins)
    try:
        config = Config.model_validate(settings)
    except ValidationError as error:
        lines += describe(error, settings, origins)
    if lines:
        raise ConfigError(report(source, [*dict.fromkeys(lines)]))
    if ignored:
        heading = f"{source}: keys in MASE's layout that mean nothing here:"
        warnings.warn("\n  ".join((heading, *ignored)), ConfigWarning, stacklevel=3)
    return config


def _read(path: Path) -> str:
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
    raise ConfigError(f"{path}: {reason}")


def _parse(text: str, source: str) -> dict[str, Any]:
    try:
        return tomlkit.parse(text).unwrap()
    except (TOMLKitError, ValueError, RecursionError) as error:
        fault: Exception = error
    try:
        # The standard library says more clearly what is wrong and where.
        tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        fault = error
    raise ConfigError(f"{source}: no valid TOML: {fault}")


_WITHIN = r"\[[^\]]*\]|\"[^\"]*\"|'[^']*'"
_OVERRIDE = re.compile(rf"((?:[^=\[\]\"']|{_WITHIN})+)=(.*)", re.DOTALL)
_NAME = re.compile(rf"(?:[^.\[\]\"']|{_WITHIN})+")


def _override(settings: dict[str, Any], override: str, origins: dict[Location, str]) -> list[str]:
    """Write one ``section.key=value`` into `settings`; return what is wrong with it, if anything.

    Not split at every dot and sign, since a user's own proxy, ``package.module:function``, is one
    name, and so is ``proxy[option=0.5]``.
    """
    split = _OVERRIDE.fullmatch(override)
    key, text = (part.strip() for part in split.groups()) if split else (override, "")
    section, _, name = key.partition(".")
    if not (section and name and text):
        return [f"--set {override!r}: Allowed: section.key=value, such as study.n_trials=20"]
    head, dot, last = name.rpartition(".")
    if section == "objectives" and ":" in name:
        names = [head, last] if dot and last in Objective.model_fields else [name]
    else:
        names = _NAME.findall(name)
    location = [section, *(part.strip("\"'") for part in names)]
    origins.pop(tuple(location), None)
    table = settings
    for part in location[:-1]:
        inner_table = table.setdefault(part, {})
        if section == "objectives" and isinstance(inner_table, str):
            inner_table = table[part] = {"direction": inner_table}
        if not isinstance(inner_table, dict):
            return [f"--set {override!r}: {part!r} is {inner_table!r}, which holds no keys"]
        table = inner_table
    table[location[-1]] = _value(text)
    return []


def _value(text: str) -> Any:
    try:
        value = tomlkit.value(text).unwrap()
    except (TOMLKitError, ValueError):
        return text
    # No setting is a date, but a study may well be named by one.
    return value if isinstance(value, str | bool | int | float | list | dict) else text
