"""Runs of ``key, figure, key, figure, ...`` in a pickle, found by a regular expression."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_FIGURE = b"G.{8}"


class Found(NamedTuple):
    """A run that was read.

    Attributes:
        keys: Numbers, or texts still in bytes.
        puts: Under which number each text is memoized; None where they are counted up.
        figures: One a key.
        end: Where in the buffer the run ends.
    """

    keys: NDArray[Any]
    puts: Sequence[int] | None
    figures: list[float]
    end: int


class Run:
    """What one kind of run looks like; all its records have the same length."""

    def __init__(self, pattern: bytes, fields: list[tuple[str, str]]) -> None:
        self._pattern = re.compile(b"(?:" + pattern + _FIGURE + b"){2,}", re.DOTALL)
        self._record = np.dtype([*fields, ("G", "S1"), ("figure", ">f8")])

    def read(self, buffer: bytes, start: int) -> Found | None:
        """Return the run that begins at `start`, as far as it is in the buffer, or None."""
        found = self._pattern.match(buffer, start)
        if found is None:
            return None
        count = (found.end() - start) // self._record.itemsize
        records = np.frombuffer(buffer, self._record, count, start)
        puts = records["put"].tolist() if "put" in (self._record.names or ()) else None
        return Found(records["key"], puts, records["figure"].tolist(), found.end())


NUMBERS = Run(b"K.", [("K", "S1"), ("key", "u1")])
"""Keys are the numbers 0 to 255."""

RECALLED = Run(b"j.{4}", [("j", "S1"), ("key", "<u4")])
"""Keys are the numbers of values met before."""


@lru_cache(maxsize=512)
def text_run(width: int, size: int) -> Run:
    """Return the run whose keys are new texts.

    Args:
        width: Bytes that say how long a text is: 4 in protocol 2, 1 in protocol 4.
        size: Bytes of each text.
    """
    opcode = b"X" if width == 4 else b"\x8c"
    head = re.escape(opcode + size.to_bytes(width, "little")) + b"[^\0]{%d}" % size
    fields = [("head", f"S{1 + width}"), ("key", f"S{size}"), ("memoize", "S1")]
    if width == 4:
        return Run(head + b"r.{4}", [*fields, ("put", "<u4")])
    return Run(head + b"\x94", fields)
