"""Passwords of storages, which must not reach a terminal, a file or a study."""

import re
from pathlib import Path

# In a text an address ends with the next blank; of a text that is one, nothing is known to be none.
_IN_TEXT = re.compile(r"(:/{1,2}[^/\s:@\"']*):\S*@")
_ALONE = re.compile(r"\A((?:[\w.]+=)?[\"']?[\w+.-]+://[^/\s:@\"']*):.*@", re.DOTALL)
_ADDRESS = re.compile(r"[\w+.-]{2,}:/")  # of one letter it is a drive
_IN_QUERY = re.compile(r"([?&][\w-]*(?:pass|passwd|password|pwd|token|secret)=)[^&\s\"']+", re.I)


def without_passwords(text: str) -> str:
    """Return a text in which the passwords of all URLs are three stars.

    >>> without_passwords("postgresql://ada:lovelace@host/db?sslpassword=x")
    'postgresql://ada:***@host/db?sslpassword=***'
    """
    return _IN_QUERY.sub(r"\1***", _hidden(text, r"\1:***@"))


def address_hint(path: Path) -> str:
    """Return what to say of a storage's address that was taken for a path; "" for any other.

    >>> address_hint(Path("postgresql://host/db"))[:41]
    '; a study is no folder: name the folder o'
    """
    if not _ADDRESS.match(str(path)):
        return ""
    hint = "the folder of a run, which has its tables, or look at it by zc-search dashboard ADDRESS"
    return f"; a study is no folder: name {hint}"


def stripped(address: str) -> str:
    """Return a storage's address without its passwords, for others to complete.

    Clients of databases then look where they always do, such as in PGPASSWORD and ~/.pgpass.

    >>> stripped("postgresql://ada:lovelace@host/db?sslpassword=x&sslmode=require")
    'postgresql://ada@host/db?sslmode=require'
    """
    before, mark, query = _hidden(address, r"\1@").partition("?")
    kept = [item for item in query.split("&") if not _IN_QUERY.match(f"&{item}")]
    return f"{before}{mark if kept and query else ''}{'&'.join(kept)}"


def _hidden(text: str, replacement: str) -> str:
    return _IN_TEXT.sub(replacement, _ALONE.sub(replacement, text))
