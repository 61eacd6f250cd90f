"""Code of the user's own, named as ``module:attribute``."""

import re
import sys
from importlib import import_module, invalidate_caches
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any

from zc_search.errors import ZcSearchError

_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


def is_plugin(name: object) -> bool:
    """Whether `name` has the form ``module:attribute``; nothing is imported."""
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def load_plugin(name: str, key: str, error: type[ZcSearchError]) -> Any:
    """Import what ``module:attribute`` names; either part may have dots.

    Args:
        name: The module may lie in the current folder.
        key: What it is for: a setting such as ``ensemble.model``, for the error.
        error: What to raise.

    Raises:
        ZcSearchError: Not of that form, not there, or it raised while it was imported.
    """
    if not is_plugin(name):
        form = "module:attribute"
        message = f"{key}: {name!r} is not of the form {form!r}"
        raise error(message, key=key, given=name, allowed=(form,))
    module, _, attribute = name.partition(":")
    try:
        found = import_here(module)
    except Exception as problem:  # the module is anybody's code
        said = f"importing {module!r} raised {type(problem).__name__}: {problem}"
        if isinstance(problem, ImportError):
            said = f"cannot import {module!r} ({problem})"
        raise error(f"{key}: {said}", key=key, given=name) from problem
    try:
        return attrgetter(attribute)(found)
    except Exception as problem:  # so may be the attribute
        raise error(f"{key}: {module!r} has no {attribute!r}", key=key, given=name) from problem


def import_here(name: str) -> ModuleType:
    """Import a module, which may lie in the current folder.

    A console script does not look there, other than ``python -m``. What is installed goes first,
    and if the folder was of use it stays in ``sys.path``, whose copy worker processes get.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        here = str(Path.cwd())
        if error.name != name.partition(".")[0] or here in sys.path:
            raise
    sys.path.append(here)
    try:
        invalidate_caches()
        return import_module(name)
    except ModuleNotFoundError:
        sys.path.remove(here)
        raise
