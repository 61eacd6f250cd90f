"""Samplers by name: Optuna's, those of this project, and any that can be imported."""

import builtins
import collections.abc
import inspect
from collections.abc import Callable, Mapping
from importlib import import_module
from inspect import formatannotation
from types import SimpleNamespace, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import optuna
from optuna.samplers import BaseSampler
from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from zc_search._utils.plugins import import_here
from zc_search.config.messages import KINDS
from zc_search.errors import StudyError, ZcSearchError, unknown_name
from zc_search.samplers.building import local_search, predictor_guided, regularized_evolution
from zc_search.spaces import AnySpace

OPTUNA: Mapping[str, type[BaseSampler]] = {
    "random": optuna.samplers.RandomSampler,
    "tpe": optuna.samplers.TPESampler,
    "nsgaii": optuna.samplers.NSGAIISampler,
    "nsgaiii": optuna.samplers.NSGAIIISampler,
    "gp": optuna.samplers.GPSampler,
    "qmc": optuna.samplers.QMCSampler,
    "brute_force": optuna.samplers.BruteForceSampler,
}

OWN: Mapping[str, Callable[..., BaseSampler]] = {
    "regularized_evolution": regularized_evolution,
    "local_search": local_search,
    "predictor_guided": predictor_guided,
}
"""Made for a space and a seed. They resume exactly and repeat no function by themselves."""

SAMPLERS = (*OPTUNA, *OWN)

# What a value of a TOML file can be, and callables, which it cannot be; with other types a class
# may take text or lists for what they stand for.
_SAYABLE = {
    *(bool, int, float, str, list, dict, tuple, type(None), Literal),
    *(collections.abc.Sequence, collections.abc.Mapping, collections.abc.Callable),
}


def find_sampler(name: str) -> type[BaseSampler]:
    """Return a sampler's class.

    Args:
        name: A key of `OPTUNA`, or ``module:Class`` of any importable Optuna sampler.

    Raises:
        StudyError: No such sampler.
    """
    if name in OPTUNA:
        return OPTUNA[name]
    module, _, attribute = name.partition(":")
    if not attribute:
        raise StudyError(f"{unknown_name('sampler', name, SAMPLERS)}, module:Class")
    try:
        kind = getattr(import_here(module), attribute)
    except (ImportError, AttributeError) as error:
        raise StudyError(f"cannot import {name!r}: {error}") from error
    if not (isinstance(kind, type) and issubclass(kind, BaseSampler)):
        raise StudyError(f"{name!r} is no subclass of optuna.samplers.BaseSampler")
    return kind


def check_options(name: str, kind: Callable[..., object], options: Mapping[str, Any]) -> None:
    """Check that a sampler takes options of these names and types.

    Raises:
        StudyError: It does not take one.
    """
    parameters = inspect.signature(kind).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return
    allowed = [parameter for parameter in parameters if parameter not in ("space", "seed")]
    for option, value in options.items():
        if option not in allowed:
            raise StudyError(unknown_name(f"option of {name!r}", option, allowed))
        hint = _resolved(parameters[option].annotation, kind)
        if not _is_of(value, hint):
            parts = [get_origin(part) or part for part in (hint, *get_args(hint))]
            kinds = [KINDS[part] for part in parts if part in KINDS]
            said = f"{value!r} is given; Allowed: {' or '.join(kinds) or formatannotation(hint)}"
            if get_origin(hint) is Literal:
                said = unknown_name("name", str(value), get_args(hint))
            raise StudyError(f"options of {name!r}: {option}: {said}")


def _resolved(annotation: Any, kind: Callable[..., object]) -> Any:
    """Return the type that an annotation means; any type where there is none or it is not known."""
    if annotation is inspect.Parameter.empty:
        return Any
    try:
        return get_type_hints(
            SimpleNamespace(__annotations__={"option": annotation}),
            vars(import_module(kind.__module__)),
            _ForTypeCheckers(),
        )["option"]
    except Exception:  # annotations are anybody's code
        return Any


class _ForTypeCheckers(dict[str, Any]):
    """Names that a module imports for type checkers alone: those of collections.abc, and any."""

    def __missing__(self, name: str) -> Any:
        if hasattr(builtins, name):
            raise KeyError(name)
        return getattr(collections.abc, name, Any)


def _is_of(value: object, hint: Any) -> bool:
    either = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    if not {get_origin(part) or part for part in either} <= _SAYABLE:
        return True
    try:
        checker = TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
    except PydanticUserError:
        return True
    try:
        # Text is no number, and true is no 1; but a list is as good as a tuple.
        checker.validate_python(value, strict=isinstance(value, str | bool | int | float))
    except ValidationError:
        return False
    return True


def make_own(name: str, options: Mapping[str, Any], seed: int, space: AnySpace) -> BaseSampler:
    """Return a sampler of this project, by a key of `OWN`.

    Raises:
        StudyError: It does not take an option of this name or value, or what guides it cannot be
            had.
    """
    check_options(name, OWN[name], options)
    try:
        return OWN[name](space, seed, **options)
    except (TypeError, ValueError, ZcSearchError) as error:
        raise StudyError(f"options of {name!r}: {error}") from error
