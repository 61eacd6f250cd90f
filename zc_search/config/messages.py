"""What is wrong with a configuration, one line a key, in the terms of the user's file."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from zc_search.config.settings import Config, Objective
from zc_search.errors import nearest, unknown_name

Location = tuple[str | int, ...]
"""A key, from the outside in: ``("space", "op_1_0", 2)``."""

KINDS: Mapping[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Sequence: "a list of names",
}
"""What users call types."""


def describe(
    error: ValidationError, settings: Mapping[str, Any], origins: Mapping[Location, str]
) -> list[str]:
    """Say for each wrong key of `settings` what was given and what is allowed.

    Args:
        error: What the validation of `Config` found.
        settings: The values that were validated.
        origins: What the user's file calls a key, where that is not its dotted name.
    """
    return [_line(detail, settings, origins) for detail in faults(error)]


def faults(error: ValidationError) -> list[ErrorDetails]:
    """Return what is wrong; a list whose items all are is counted as empty too, which it is not."""
    return [d for d in error.errors() if not (d["type"] == "too_short" and d["input"])]


def report(source: str, lines: Sequence[str]) -> str:
    """Put a heading over `lines` that names the file and how many settings are wrong."""
    count = "1 setting is" if len(lines) == 1 else f"{len(lines)} settings are"
    return "\n".join((f"{source}: {count} wrong", *(f"  {line}" for line in lines)))


def dotted(location: Location) -> str:
    """Write a location as users do: ``space.op_1_0[2]``.

    >>> dotted(("space", "op_1_0", 2))
    'space.op_1_0[2]'
    """
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return "".join(parts).removeprefix(".")


def unknown_key(
    key: str, allowed: Sequence[str], kind: str = "key", home: str | None = None
) -> str:
    """Say that ``key`` is unknown, what is allowed, and what was meant.

    Args:
        key: As given.
        allowed: The keys that may stand there.
        kind: What is unknown.
        home: The section that the key belongs to, if it is the right key in the wrong place.
    """
    close = nearest(key, allowed)
    hint = f"it belongs in [{home}]. " if home else f"did you mean {close!r}? " if close else ""
    return f"unknown {kind}; {hint}Allowed: {', '.join(allowed)}"


def _line(
    detail: ErrorDetails, settings: Mapping[str, Any], origins: Mapping[Location, str]
) -> str:
    location, context, given = detail["loc"], detail.get("ctx", {}), detail["input"]
    if detail["type"] == "at_key":
        location = (*location, context["key"])
    model, field = _find(location)
    path = _path(location, settings, origins)
    match detail["type"]:
        case "value_error":
            return f"{path}: {context['error']}"
        case "at_key":
            return f"{path}: {detail['msg']}"
        case "extra_forbidden":
            return f"{path}: {_unknown_key(location, model)}"
        case "literal_error" if field is not None:
            kind = "operation" if isinstance(location[-1], int) else str(location[-1])
            return f"{path}: {unknown_name(kind, given, _choices(field.annotation))}"
        case "too_short" | "string_too_short":
            return f"{path}: is empty; Allowed: {_allowed(field)}"
        case _:
            return f"{path}: {_shown(given)} is given; Allowed: {_allowed(field)}"


def _path(location: Location, settings: Mapping[str, Any], origins: Mapping[Location, str]) -> str:
    objectives = settings.get("objectives")
    if location[0] == "objectives" and isinstance(objectives, Mapping) and len(location) > 2:
        name = list(objectives)[int(location[1])]
        # Only a table has keys of its own; `snip = "maximise"` is wrong at `snip` itself.
        inner = location[2:] if isinstance(objectives[name], Mapping) else ()
        location = ("objectives", name, *(part for part in inner if part != "name"))
    for length in range(len(location), 0, -1):
        if location[:length] in origins:
            return origins[location[:length]] + dotted(("", *location[length:]))
    return dotted(location)


def _find(location: Location) -> tuple[type[BaseModel], FieldInfo | None]:
    """Return the model that holds the key at `location`, and the key's field if there is one."""
    section, *rest = location
    field = Config.model_fields.get(str(section))
    if not rest:
        return Config, field
    if section == "objectives":
        return Objective, Objective.model_fields.get(str(rest[-1]))
    model = field.annotation if field is not None else None
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return Config, None
    name = str(rest[0])
    return model, model.model_fields.get(name) or model.model_fields.get(f"{name}_")


def _unknown_key(location: Location, model: type[BaseModel]) -> str:
    key = str(location[-1])
    allowed = [
        field.alias or name
        for name, field in model.model_fields.items()
        if (model, name) != (Objective, "name")
    ]
    sections = [name for name in Config.model_fields if name != "objectives"]
    homes = [name for name in sections if _find((name, key))[1]]
    kind = "section" if model is Config and not homes else "key"
    return unknown_key(key, allowed, kind, homes[0] if len(homes) == 1 else None)


def _choices(annotation: Any) -> tuple[str, ...]:
    """Return the strings of the `Literal` in an annotation, none if it holds none."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return next(filter(None, map(_choices, get_args(annotation))), ())


def _allowed(field: FieldInfo | None) -> str:
    """Say in words what type and bounds of a field admit."""
    annotation = field.annotation if field is not None else Config
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "a table"
    kinds = {annotation, *get_args(annotation)}
    bounds = list(field.metadata if field is not None else ())
    for kind in get_args(annotation):  # of one that may be absent: Annotated[int, Field(ge=1)]
        if get_origin(kind) is Annotated:
            kinds.add(kind.__origin__)
            bounds += [b for info in kind.__metadata__ for b in getattr(info, "metadata", ())]
    words = [next((word for kind, word in KINDS.items() if kind in kinds), "a list of names")]
    if any(get_origin(kind) is tuple for kind in kinds):
        words = ["a list of names"]
    if choices := _choices(annotation):
        words = [f"a list of one or more of {', '.join(choices)}"]
    for bound in bounds:
        match bound:
            case Ge(ge=limit):
                words.append(f"at least {limit}")
            case Gt(gt=limit):
                words.append(f"above {limit}")
            case Le(le=limit):
                words.append(f"at most {limit}")
    return ", ".join(words)


def _shown(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
