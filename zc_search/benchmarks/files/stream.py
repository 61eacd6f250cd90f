"""A pickle too large for memory, read piece by piece: a dict of it is handed out entry by entry.

The benchmarks' files are single pickles of some gigabytes, nearly all of them ``epoch: figure`` in
one dict after the other; read as a whole they become tens of gigabytes of Python objects. Here the
opcodes are carried out one by one, runs of ``key, figure`` at once by a regular expression and
NumPy, and what belongs to an entry is forgotten when the next one begins. Nothing is ever called
but the stand-ins of `TABLES`, and only dicts, lists, sets, tuples, texts and numbers are built.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from struct import unpack
from typing import Any, BinaryIO

import numpy as np

from zc_search._utils.pickles import NUMPY_ARRAYS, Dtype, RefusedError, allowed_object
from zc_search.errors import BenchmarkError

_CHUNK = 4 * 2**20
_LONGEST = 64 * 2**20  # of one value; a longer one is no part of a table
_AHEAD = 4096  # bytes to have at hand at every step, so that few steps find what they need cut off
_SHORT = 128  # texts so short are likely to come again
_BATCH = 1000  # items after which Python's pickler sets a mark anew
_RUNS = 4096  # of which the keys are remembered

TABLES: Mapping[tuple[str, str], Any] = {
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


class ForgottenError(Exception):
    """An entry refers to a container of an earlier one; read it again with ``forget=False``."""


class _Memo:
    """The numbered values of a pickle.

    Of an entry that is over, texts and the like are kept, as later ones share them; containers go,
    and so do the keys of runs: there are a hundred million, each of its own.
    """

    def __init__(self, forget: bool) -> None:
        self.size = 0  # the smallest number that has not been given yet
        self._forget = forget
        self._current: dict[int, Any] = {}
        self._kept: dict[int, Any] = {}
        self._keys: dict[int, str] = {}

    def put(self, number: int, value: Any) -> None:
        self._current[number] = value
        self.size = max(self.size, number + 1)

    def put_keys(self, keys: Sequence[str], numbers: Sequence[int] | None) -> None:
        """Number the keys of a run; None counts them on."""
        if numbers is None:
            numbers = range(self.size, self.size + len(keys))
        self._keys.update(zip(numbers, keys, strict=True))
        self.size = max(self.size, numbers[-1] + 1)

    def get(self, number: int) -> Any:
        for values in (self._current, self._keys, self._kept):
            if number in values:
                return values[number]
        if self._forget and number < self.size:
            raise ForgottenError(f"value {number} is of an entry that is gone")
        raise KeyError(f"there is no value {number}")

    def end_entry(self) -> None:
        if self._forget:
            for number, value in self._current.items():
                if type(value) not in (dict, list, set):
                    self._kept[number] = value
            self._current, self._keys = {}, {}


class _Run:
    """What one kind of ``key, figure, key, figure, ...`` looks like; all keys are of one length."""

    def __init__(self, pattern: bytes, fields: list[tuple[str, str]]) -> None:
        self.pattern = re.compile(b"(?:" + pattern + b"G.{8}){2,}", re.DOTALL)
        self.record = np.dtype([*fields, ("G", "S1"), ("figure", ">f8")])


_NUMBERS = _Run(b"K.", [("K", "S1"), ("key", "u1")])  # keys are 0 to 255
_RECALLED = _Run(b"j.{4}", [("j", "S1"), ("key", "<u4")])  # keys are values met before


@lru_cache(maxsize=512)
def _texts(width: int, size: int) -> _Run:
    """Return the run whose keys are new texts of `size` bytes, which `width` bytes say."""
    opcode = b"X" if width == 4 else b"\x8c"
    head = re.escape(opcode + size.to_bytes(width, "little")) + b"[^\0]{%d}" % size
    fields = [("head", f"S{1 + width}"), ("key", f"S{size}"), ("memoize", "S1")]
    if width == 4:
        return _Run(head + b"r.{4}", [*fields, ("put", "<u4")])
    return _Run(head + b"\x94", fields)


def _complete(value: object) -> bool:
    """Say whether a number after it begins another entry: a last single item comes unmarked."""
    return not isinstance(value, list | dict) or len(value) % _BATCH != 0


class PickleStream:
    """The pickles of a file, one after the other; the file need not be seekable.

    With `forget`, dicts, lists and sets of earlier entries are let go. `rest` is the last pickle,
    without what `entries` yielded.
    """

    def __init__(self, file: BinaryIO, name: str, *, forget: bool = True) -> None:
        self._file, self._name, self._forget = file, name, forget
        self._buffer, self._at = b"", 0
        self.rest: dict[Any, Any] = {}

    def load(self) -> Any:
        """Return the next pickle as a whole."""
        for _ in self.entries(None):
            pass
        return self.rest

    def entries(self, key: object) -> Iterator[tuple[Any, Any]]:
        """Yield the items of the dict that the next pickle, itself a dict, has at `key`.

        What else it holds is in `rest` afterwards; what came before this dict, from the start.
        """
        try:
            yield from self._run(key)
        except ForgottenError:
            raise
        except RefusedError as error:
            raise BenchmarkError(f"{self._name} is not safe to load: {error}") from error
        except Exception as error:  # a damaged pickle may lead to anything
            raise BenchmarkError(
                f"{self._name} is damaged, cut short or not a pickle: "
                f"{type(error).__name__}: {error}"
            ) from error

    def _run(self, key: object) -> Iterator[tuple[Any, Any]]:
        self._stack: list[Any] = []
        self._outer: list[list[Any]] = []
        self._memo = _Memo(self._forget)
        self._strings: dict[bytes, str] = {}
        self._keys: dict[tuple[int, bytes], list[str]] = {}
        target: list[Any] | None = None
        while True:
            self._fill(_AHEAD)
            opcode = self._take(1)
            if self._stack is target and (
                opcode == b"u"
                or (opcode in b"KMJ" and len(self._stack) == 2 and _complete(self._stack[1]))
            ):
                for at in range(0, len(target) - 1, 2):
                    yield target[at], target[at + 1]
                target.clear()
                self._memo.end_entry()
            if opcode == b".":
                break
            if opcode not in _ACTS:
                raise RefusedError(f"it uses opcode {opcode!r}")
            _ACTS[opcode](self)
            if opcode == b"(" and key is not None and len(self._outer) == 2:
                before = self._outer[1]
                if len(before) > 1 and before[-2] == key and type(before[-1]) is dict:
                    target = self._stack
                    self.rest = dict(zip(before[0:-2:2], before[1:-2:2], strict=True))
                    self._memo.end_entry()
        self.rest = self._stack.pop()
        if key is not None:
            if type(self.rest) is not dict or type(self.rest.get(key)) is not dict:
                raise EOFError(f"there is no dict {key!r} in it")
            yield from self.rest.pop(key).items()  # one whose only item was set without a mark

    # The file, through a window that only moves forward -------------------------------------------

    def _fill(self, size: int) -> None:
        """Have so many bytes at hand, or those that are left."""
        while len(self._buffer) - self._at < size:
            chunk = self._file.read(_CHUNK)
            if not chunk:
                return
            self._buffer = self._buffer[self._at :] + chunk
            self._at = 0

    def _take(self, size: int) -> bytes:
        if size > _LONGEST:
            raise EOFError(f"it claims a value of {size:,} bytes")
        self._fill(size)
        taken = self._buffer[self._at : self._at + size]
        if len(taken) < size:
            raise EOFError("it is cut short")
        self._at += size
        return taken

    def _line(self) -> str:
        end = self._buffer.find(b"\n", self._at, self._at + _AHEAD)
        if end < 0:
            raise EOFError("a name is cut short")
        taken = self._buffer[self._at : end]
        self._at = end + 1
        return taken.decode("ascii")

    def _number(self, size: int, signed: bool = False) -> int:
        return int.from_bytes(self._take(size), "little", signed=signed)

    # Values ---------------------------------------------------------------------------------------

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _text(self, width: int) -> None:
        start = self._at - 1
        size = self._number(width)
        if size > _SHORT or not self._pairs(start, _texts(width, size)):
            self._push(self._intern(self._take(size)))

    def _intern(self, taken: bytes) -> str:
        if len(taken) > _SHORT:
            return str(taken, "utf-8", "surrogatepass")
        text = self._strings.get(taken)
        if text is None:
            text = self._strings[taken] = str(taken, "utf-8", "surrogatepass")
        return text

    def _small(self) -> None:
        if not self._pairs(self._at - 1, _NUMBERS):
            self._push(self._number(1))

    def _recall(self, size: int) -> None:
        if size != 4 or not self._pairs(self._at - 1, _RECALLED):
            self._push(self._memo.get(self._number(size)))

    def _pairs(self, start: int, run: _Run) -> bool:
        """Push all of a run of key, figure, key, figure, ... at once, if there is one here."""
        found = run.pattern.match(self._buffer, start)
        if found is None:
            return False
        count = (found.end() - start) // run.record.itemsize
        records = np.frombuffer(self._buffer, run.record, count, start)
        if run is _NUMBERS:
            keys = records["key"].tolist()
        elif run is _RECALLED:
            keys = [self._memo.get(number) for number in records["key"].tolist()]
        else:
            content = records["key"].itemsize, records["key"].tobytes()
            keys = self._keys.get(content)  # most runs have the keys of one before
            if keys is None:
                keys = [self._intern(key) for key in records["key"].tolist()]
                if len(self._keys) < _RUNS:
                    self._keys[content] = keys
            counted = "put" not in (run.record.names or ())
            self._memo.put_keys(keys, None if counted else records["put"].tolist())
        self._at = found.end()
        pushed: list[Any] = [None] * (2 * len(keys))
        pushed[0::2] = keys
        pushed[1::2] = records["figure"].tolist()
        self._stack.extend(pushed)
        return True

    # Containers -----------------------------------------------------------------------------------

    def _mark(self) -> None:
        self._outer.append(self._stack)
        self._stack = []

    def _items(self) -> list[Any]:
        """Return what was pushed since the last mark."""
        items, self._stack = self._stack, self._outer.pop()
        return items

    def _set_items(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is not dict:
            raise TypeError(f"{type(target).__name__} has no items")
        target.update(zip(items[0::2], items[1::2], strict=True))

    def _add(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is set:
            target.update(items)
        elif type(target) is list:
            target.extend(items)
        else:
            raise TypeError(f"{type(target).__name__} cannot grow")

    def _tuple(self, size: int) -> None:
        items = self._stack[len(self._stack) - size :]
        if len(items) != size:
            raise EOFError("a tuple lacks values")
        self._stack[len(self._stack) - size :] = [tuple(items)]

    # Calls ----------------------------------------------------------------------------------------

    def _stack_global(self) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        self._push(allowed_object(TABLES, module, name))

    def _reduce(self) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        if not callable(function) or type(arguments) is not tuple:  # only what was allowed can be
            raise RefusedError("it calls what is no function")
        self._push(function(*arguments))

    def _build(self) -> None:
        state, value = self._stack.pop(), self._stack[-1]
        if type(value) is not Dtype:
            raise RefusedError(f"it changes a {type(value).__name__}")
        value.__setstate__(state)


_ACTS: Mapping[bytes, Callable[[PickleStream], Any]] = {
    b"\x80": lambda s: s._take(1),
    b"\x95": lambda s: s._take(8),
    b"(": PickleStream._mark,
    b"0": lambda s: s._stack.pop() if s._stack else s._items(),
    b"1": PickleStream._items,
    b"N": lambda s: s._push(None),
    b"\x88": lambda s: s._push(True),
    b"\x89": lambda s: s._push(False),
    b"K": PickleStream._small,
    b"M": lambda s: s._push(s._number(2)),
    b"J": lambda s: s._push(s._number(4, signed=True)),
    b"\x8a": lambda s: s._push(s._number(s._number(1), signed=True)),
    b"G": lambda s: s._push(unpack(">d", s._take(8))[0]),
    b"X": lambda s: s._text(4),
    b"\x8c": lambda s: s._text(1),
    b"U": lambda s: s._push(s._take(s._number(1)).decode("latin1")),
    b"T": lambda s: s._push(s._take(s._number(4)).decode("latin1")),
    b"C": lambda s: s._push(s._take(s._number(1))),
    b"B": lambda s: s._push(s._take(s._number(4))),
    b"}": lambda s: s._push({}),
    b"]": lambda s: s._push([]),
    b")": lambda s: s._push(()),
    b"\x8f": lambda s: s._push(set()),
    b"s": lambda s: s._set_items([s._stack.pop(-2), s._stack.pop()]),
    b"u": lambda s: s._set_items(s._items()),
    b"a": lambda s: s._add([s._stack.pop()]),
    b"e": lambda s: s._add(s._items()),
    b"\x90": lambda s: s._add(s._items()),
    b"t": lambda s: s._push(tuple(s._items())),
    b"\x85": lambda s: s._tuple(1),
    b"\x86": lambda s: s._tuple(2),
    b"\x87": lambda s: s._tuple(3),
    b"q": lambda s: s._memo.put(s._number(1), s._stack[-1]),
    b"r": lambda s: s._memo.put(s._number(4), s._stack[-1]),
    b"\x94": lambda s: s._memo.put(s._memo.size, s._stack[-1]),
    b"h": lambda s: s._recall(1),
    b"j": lambda s: s._recall(4),
    b"c": lambda s: s._push(allowed_object(TABLES, s._line(), s._line())),
    b"\x93": PickleStream._stack_global,
    b"R": PickleStream._reduce,
    b"b": PickleStream._build,
}
"""What each opcode does; those of extensions, persistent objects and classes are not among them."""
