"""What reading a foreign pickle may cost: the memory of its calls, the time of a message."""

import sys
from collections.abc import Mapping
from typing import Any

_LEAST = 64 * 2**20
_TIMES = 4
_SHOWN = 40  # characters, or bytes
_BITS = 64  # of a number that is shown


class RefusedError(Exception):
    """The pickle is readable but asks for more than data."""


def allowed_object(
    allowed: Mapping[tuple[str, str], object], module: object, name: object
) -> object:
    """Return what a pickle gets for a name.

    Raises:
        RefusedError: It is not allowed.
    """
    if not isinstance(module, str) or not isinstance(name, str):
        raise RefusedError("it names something by other than a text")
    if (module, name) not in allowed:
        names = ", ".join(".".join(pair) for pair in allowed) or "nothing"
        raise RefusedError(f"it asks for {module}.{name}; allowed: {names}")
    return allowed[module, name]


class Allowance:
    """How much the calls of a pickle may build.

    A value takes its bytes in the file once and can be handed to any number of calls, each of
    which makes a copy: without a bound memory grows with the square of the file.
    """

    def __init__(self) -> None:
        self._built = 0
        self._most = _LEAST

    def grow(self, size: int) -> None:
        """Allow what a file of so many bytes may ask for."""
        self._most = max(_LEAST, _TIMES * size)

    def count(self, value: Any) -> None:
        """Count what a call returned, the containers and arrays in it left out.

        Raises:
            RefusedError: All calls together have built too much.
        """
        self._built += sys.getsizeof(value) + getattr(value, "nbytes", 0)
        if self._built > self._most:
            raise RefusedError(f"its calls build more than {self._most:,} bytes")


def shown(value: object) -> str:
    """Return a short text or number of a foreign file for a message, else its type's name.

    The ``repr`` of a list that holds another one twice doubles with every level.

    >>> shown("cifar10"), shown([[], []])
    ("'cifar10'", 'list')
    """
    if isinstance(value, str | bytes):
        return repr(value[:_SHOWN])
    if isinstance(value, int) and value.bit_length() <= _BITS:
        return repr(value)
    return type(value).__name__
