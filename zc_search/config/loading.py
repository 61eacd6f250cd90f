"""From a file, a text or a mapping to a `Config`; all faults at once, in terms of the file."""

import re
import tomllib
import warnings
from collections.abc import Mapping, Sequence
from copy import deepcopy
from os import PathLike
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from zc_search.config.sections import wrong
from zc_search.config.settings import Config, Objective, tables
from zc_search.errors import ConfigError, Location, dotted, nearest, unknown_key


class ConfigWarning(UserWarning):
    """Keys of a configuration that were understood and have no meaning here."""


def load_config(path: str | PathLike[str], overrides: Sequence[str] = ()) -> Config:
    """Read a configuration file, in this project's layout or in MASE's.

    Args:
        path: The TOML file.
        overrides: Settings that replace those of the file, such as ``study.n_trials=20``.

    Raises:
        ConfigError: What is wrong, all of it.

    Warns:
        ConfigWarning: Once, naming all keys of a MASE file that have no meaning here.
    """
    return _build(read_text(Path(path)), overrides, str(path))


def parse_config(
    text: str | Mapping[str, Any], overrides: Sequence[str] = (), *, source: str = "configuration"
) -> Config:
    """Read a configuration given as TOML text or as nested mappings, as `load_config` does."""
    return _build(text, overrides, source)


def _build(text: str | Mapping[str, Any], overrides: Sequence[str], source: str) -> Config:
    settings = parse_toml(text, source) if isinstance(text, str) else deepcopy(dict(text))
    origins: dict[str, str] = {}
    faults: list[ConfigError] = []
    ignored: list[str] = []
    search = settings.get("search")
    if isinstance(search, Mapping) and {"search_space", "strategy"} & search.keys():
        from zc_search.config import mase  # the layout of another project

        read = mase.translate(settings)
        settings, origins = read.settings, read.origins
        faults, ignored = read.problems, read.ignored
    for override in overrides:
        try:
            _override(settings, override, origins)
        except ConfigError as problem:
            faults.append(problem)
    try:
        config = Config.model_validate(settings)
    except ValidationError as error:
        faults += problems(error, Config, settings, origins)
    if faults:
        raise ConfigError.of(source, faults)
    if ignored:
        heading = f"{source}: keys in MASE's layout that mean nothing here:"
        warnings.warn("\n  ".join((heading, *ignored)), ConfigWarning, stacklevel=3)
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
        if error.object[:2] in (b"\xff\xfe", b"\xfe\xff"):
            reason = "UTF-16, and TOML has to be UTF-8; save it anew with that encoding"
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
    raise ConfigError(f"{path}: {reason}", given=str(path))


def parse_toml(text: str, source: str) -> dict[str, Any]:
    """Return what a TOML text says, or raise a `ConfigError` that names its source."""
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        hint = None
        if re.search(r"\"[A-Za-z]:\\", text):
            hint = "in a path of Windows write / for \\, or put it in single quotes"
        message = f"{source}: no valid TOML: {error}" + (f"; {hint}" if hint else "")
        raise ConfigError(message, given=source, hint=hint) from error


_WITHIN = r"\[[^\]]*\]|\"[^\"]*\"|'[^']*'"
_OVERRIDE = re.compile(rf"((?:[^=\[\]\"']|{_WITHIN})+)=(.*)", re.DOTALL)
_NAME = re.compile(rf"(?:[^.\[\]\"']|{_WITHIN})+")


def _override(settings: dict[str, Any], override: str, origins: dict[str, str]) -> None:
    """Write one ``section.key=value`` into `settings`; a proxy's name is one, dots or not."""
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


def with_benchmark(config: Config, name: str) -> Config:
    """Return settings with another benchmark, of which nothing is known but its name."""
    settings: dict[str, Any] = {**tables(config), "benchmark": {"name": name}}
    settings["ensemble"].pop("from", None)
    return parse_config(settings, source="--benchmark")


_WORDS = {
    "bool_type": "true or false",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "string_type": "text",
    "tuple_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
}
"""What users call types, by pydantic's name for another one."""


def problems(
    error: ValidationError,
    model: type[BaseModel],
    settings: Mapping[str, Any],
    origins: Mapping[str, str] | None = None,
) -> list[ConfigError]:
    """Say for each key that is wrong as a `model` what was given and is allowed.

    Origins are what the user's file calls a key, where that is not its dotted name.
    """
    found = []
    for detail in error.errors():
        if detail["type"] == "too_short" and detail["input"]:
            continue  # all items of a list are wrong, which pydantic counts as an empty one too
        where = dotted(_location(detail["loc"], settings))
        found += [p.at(_origin(p.key or where, origins or {})) for p in _problems(detail, model)]
    return found


def find(model: type[BaseModel], location: Location) -> tuple[type[BaseModel], FieldInfo | None]:
    """Return the model that holds the key at `location`, and the key's field if there is one."""
    field = None
    for part in location:
        if isinstance(part, int):
            continue
        if field is not None:
            kinds = (field.annotation, *get_args(field.annotation))
            bare = (getattr(kind, "__origin__", kind) for kind in kinds)  # not Annotated
            inner = next((kind for kind in bare if _holds(kind)), None)
            if inner is None:
                return model, field
            model = inner
        names = {info.alias or name: info for name, info in model.model_fields.items()}
        field = names.get(part)
        if field is None:
            break
    return model, field


def _holds(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _problems(detail: ErrorDetails, model: type[BaseModel]) -> Sequence[ConfigError]:
    location, given, context = detail["loc"], detail["input"], detail.get("ctx", {})
    match detail["type"]:
        case "value_error" if isinstance(context["error"], ConfigError):
            return context["error"].problems or [context["error"]]
        case "value_error":
            return [ConfigError(str(context["error"]), given=given)]
        case "extra_forbidden":
            return [_unknown(location, model)]
        case "literal_error":
            kind = "name" if isinstance(location[-1], int) else str(location[-1])
            allowed = re.findall(r"'([^']*)'", context["expected"])
            return [ConfigError.unknown(kind, given, allowed)]
        case "too_short" | "string_too_short":
            return [ConfigError("is empty; Allowed: one at least", given=given)]
        case "missing":
            return [ConfigError("missing; Allowed: at least one")]
        case kind:
            said = re.sub(r"^Input should (be )?", "", detail["msg"])
            said = said.replace("greater than or equal to", "at least")
            said = said.replace("less than or equal to", "at most")
            return [wrong(given, _WORDS.get(kind, said))]


def _unknown(location: Location, root: type[BaseModel]) -> ConfigError:
    key = str(location[-1])
    model, _ = find(root, location)
    listed = any(isinstance(part, int) for part in location)  # whose name is the key of its table
    names = [info.alias or name for name, info in model.model_fields.items()]
    sections = [n for n, info in root.model_fields.items() if _holds(info.annotation)]
    homes = [name for name in sections if find(root, (name, key))[1] is not None]
    kind = "section" if model is root and not homes else "key"
    home = homes[0] if len(homes) == 1 and not listed else ""
    return unknown_key(key, [n for n in names if not (listed and n == "name")], kind, home)


def _location(location: Location, settings: Mapping[str, Any]) -> Location:
    """Return where a key stands in a file that has a table where the model has a list."""
    table = settings.get(str(location[0])) if location else None
    if len(location) < 2 or not isinstance(location[1], int) or not isinstance(table, Mapping):
        return location
    name = list(table)[location[1]]
    # Only a table has keys of its own; `snip = "maximise"` is wrong at `snip` itself.
    inner = location[2:] if isinstance(table[name], Mapping) else ()
    return (location[0], name, *(part for part in inner if part != "name"))


def _origin(key: str, origins: Mapping[str, str]) -> str:
    """Return what the file calls a key, by the longest key that it is or lies in."""
    for known in sorted(origins, key=len, reverse=True):
        if key == known or key.startswith((f"{known}.", f"{known}[")):
            return origins[known] + key[len(known) :]
    return key
