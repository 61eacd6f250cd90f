"""What printed lines share: counts, amounts, versions, and no passwords of storages."""

import re
from importlib.metadata import version
from math import isnan
from pathlib import Path

NAME = "optuna-zc-search"
"""At the package index, where ``zc-search`` is taken: names are compared without hyphens."""

VERSION = "0.1.0"
"""Read by pyproject.toml, and right in a checkout that is not installed."""


def counted(count: int, noun: str) -> str:
    """Return such as ``1 architecture``, ``1,873 accuracies``."""
    if count != 1:
        noun = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}{'e' * noun.endswith('ss')}s"
    return f"{count:,} {noun}"


def between(low: float, high: float) -> str:
    """Return such as ``91.20 to 93.85``; nothing where an end is NaN."""
    return "" if isnan(low + high) else f"{low:.2f} to {high:.2f}"


def amount(value: float) -> str:
    """Return such as ``0.8M`` or ``100M``, as limits are written in a search file."""
    for unit, size in (("G", 1e9), ("M", 1e5), ("k", 1e3)):
        if value >= size:
            return f"{value / (1e6 if unit == 'M' else size):,.4g}{unit}"
    return f"{value:,g}"


def install_hint(extra: str) -> str:
    """Return the command that adds an extra, to an installed checkout as well."""
    return f'pip install "{NAME}[{extra}]"'


def versions(*packages: str) -> dict[str, str]:
    """Return the version of zc-search and of other packages by name."""
    return {"zc-search": VERSION, **{package: version(package) for package in packages}}


# In a text an address ends with the next blank; of a text that is one, nothing is known to be none.
_IN_TEXT = re.compile(r"(:/{1,2}[^/\s:@\"']*):\S*@")
_ALONE = re.compile(r"\A((?:[\w.]+=)?[\"']?[\w+.-]+://[^/\s:@\"']*):.*@", re.DOTALL)
_IN_QUERY = re.compile(r"([?&][\w-]*(?:pass|passwd|password|pwd|token|secret)=)[^&\s\"']+", re.I)


def without_passwords(text: str) -> str:
    """Return a text in which the passwords of all URLs are three stars.

    >>> without_passwords("postgresql://ada:lovelace@host/db?sslpassword=x")
    'postgresql://ada:***@host/db?sslpassword=***'
    """
    return _IN_QUERY.sub(r"\1***", _replaced(text, r"\1:***@"))


def stripped(address: str) -> str:
    """Return a storage's address without passwords, which clients of databases look up as always.

    >>> stripped("postgresql://ada:lovelace@host/db?sslpassword=x&sslmode=require")
    'postgresql://ada@host/db?sslmode=require'
    """
    before, _, query = _replaced(address, r"\1@").partition("?")
    kept = "&".join(item for item in query.split("&") if not _IN_QUERY.match(f"&{item}"))
    return f"{before}?{kept}" if kept else before


def _replaced(text: str, replacement: str) -> str:
    return _IN_TEXT.sub(replacement, _ALONE.sub(replacement, text))


def address_hint(path: Path) -> str:
    """Return what to say of a storage's address that was taken for a path; "" for any other."""
    if not re.match(r"[\w+.-]{2,}:/", str(path)):  # of one letter it is a drive
        return ""
    hint = "the folder of a run, which has its tables, or look at it by zc-search dashboard ADDRESS"
    return f"; a study is no folder: name {hint}"
