"""The name and the version under which this package is installed, and how its extras are."""

from importlib.metadata import version

NAME = "optuna-zc-search"
"""At the package index, where ``zc-search`` is taken: names are compared without hyphens."""

VERSION = "0.1.0"
"""Read by pyproject.toml, and right in a checkout that is not installed."""


def install_hint(extra: str) -> str:
    """Return the command that adds an extra, to an installed checkout as well."""
    return f'pip install "{NAME}[{extra}]"'


def versions(*packages: str) -> dict[str, str]:
    """Return the version of zc-search and of other packages by name."""
    return {"zc-search": VERSION, **{package: version(package) for package in packages}}
