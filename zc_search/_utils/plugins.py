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
    """Import what ``module:attribute`` names, for a setting `key`, or raise `error`."""
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
    """Import a module, which may lie in the current folder: it stays in ``sys.path`` if of use."""
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
