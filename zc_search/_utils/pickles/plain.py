"""What a table of plain values may name, and what it may use as keys."""

from collections.abc import Mapping
from typing import Any

from zc_search._utils.pickles.limits import RefusedError
from zc_search._utils.pickles.numpy_arrays import NUMPY_ARRAYS

_SCALARS = frozenset({str, int, float, bool, bytes, type(None)})

TABLES: Mapping[tuple[str, str], object] = {
    **{
        (module, name): function
        for (module, name), function in NUMPY_ARRAYS.items()
        if name in ("dtype", "scalar", "encode", "bytes")
    },
    ("collections", "OrderedDict"): dict,
    ("__builtin__", "set"): set,
    ("builtins", "set"): set,
}
"""What a table of plain Python values and numpy's numbers may name; ordered dicts become dicts."""


class Named:
    """What a pickle named, out of reach of everything but a call."""

    __slots__ = ("target",)

    def __init__(self, target: Any) -> None:
        self.target = target


def check_keys(keys: list[Any]) -> None:
    """Refuse what would be hashed without an end: tuples in tuples in tuples."""
    if set(map(type, keys)) <= _SCALARS:
        return
    for key in keys:
        if type(key) not in _SCALARS and not (
            type(key) is tuple and set(map(type, key)) <= _SCALARS
        ):
            raise RefusedError(f"it has a {type(key).__name__} of containers as a key")
