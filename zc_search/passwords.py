"""Passwords of storages, which must not reach a terminal, a report or a manifest."""

import re

_IN_ADDRESS = re.compile(r"(://[^/\s:@\"']*):[^\s\"']*@")
_IN_QUERY = re.compile(r"([?&][\w-]*(?:pass|passwd|password|token|secret)=)[^&\s\"']+", re.I)


def without_passwords(text: str) -> str:
    """Return a text in which the passwords of all URLs are three stars.

    >>> without_passwords("postgresql://ada:lovelace@host/db?sslpassword=x")
    'postgresql://ada:***@host/db?sslpassword=***'
    """
    return _IN_QUERY.sub(r"\1***", _IN_ADDRESS.sub(r"\1:***@", text))
