"""What is wrong with settings, one problem a key, in the terms of the user's file."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from zc_search.config.types import wrong
from zc_search.errors import ConfigError, nearest

Location = tuple[str | int, ...]
"""A key, from the outside in: ``("space", "op_1_0", 2)``."""

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
    """Say for each key of `settings` that is wrong as a `model` what was given and is allowed.

    Origins are what the user's file calls a key, where that is not its dotted name.
    """
    found = []
    for detail in error.errors():
        if detail["type"] == "too_short" and detail["input"]:
            continue  # all items of a list are wrong, which pydantic counts as an empty one too
        where = dotted(_location(detail["loc"], settings))
        found += [p.at(_origin(p.key or where, origins or {})) for p in _problems(detail, model)]
    return found


def dotted(location: Location) -> str:
    """Write a location as users do.

    >>> dotted(("space", "op_1_0", 2))
    'space.op_1_0[2]'
    """
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return "".join(parts).removeprefix(".")


def unknown_key(key: str, allowed: Sequence[str], kind: str = "key", home: str = "") -> ConfigError:
    """Say that ``key`` is unknown, and what was meant, or in which section it is right."""
    close = nearest(key, allowed)
    hint = f"it belongs in [{home}]. " if home else f"did you mean {close!r}? " if close else ""
    message = f"unknown {kind}; {hint}Allowed: {', '.join(allowed)}"
    return ConfigError(message, given=key, allowed=allowed, hint=home or close)


def find(model: type[BaseModel], location: Location) -> tuple[type[BaseModel], FieldInfo | None]:
    """Return the model that holds the key at `location`, and the key's field if there is one."""
    field = None
    for part in location:
        if isinstance(part, int):
            continue
        if field is not None:
            inner = next(
                (t for t in (field.annotation, *get_args(field.annotation)) if _holds(t)), None
            )
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
            said = re.sub(r"(greater|less) than or equal to", _bound, said)
            return [wrong(given, _WORDS.get(kind, said))]


def _bound(comparison: re.Match[str]) -> str:
    return "at least" if comparison[1] == "greater" else "at most"


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
