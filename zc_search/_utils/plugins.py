"""Code of the user's own, named as ``module:attribute``."""

import sys
from importlib import import_module, invalidate_caches
from pathlib import Path
from types import ModuleType


def import_here(name: str) -> ModuleType:
    """Import a module, which may lie in the current folder.

    A console script does not look there, other than ``python -m``. What is installed goes first,
    and if the folder was of use it stays in ``sys.path``, whose copy worker processes get.

    Args:
        name: Of the module, with dots.

    Raises:
        Exception: Whatever the import raises.
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
