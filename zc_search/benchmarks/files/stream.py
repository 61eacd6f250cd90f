"""A pickle too large for memory, read piece by piece: a dict of it is handed out entry by entry.

The benchmarks' files are single pickles of some gigabytes, nearly all of them ``epoch: figure`` in
one dict after the other; read as a whole they become tens of gigabytes of Python objects. Here the
opcodes are carried out one by one, runs of ``key, figure`` at once by a regular expression and
NumPy, and what belongs to an entry is forgotten when the next one begins. Nothing is ever called
but the stand-ins of `TABLES`, and only dicts, lists, sets, tuples, texts and numbers are built.

``pickle._Unpickler`` is the standard library's own reader in Python, and a private name: the public
one is in C and can neither stop between two entries nor forget.
"""

import pickle
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any, BinaryIO, ClassVar

import numpy as np

from zc_search._utils.files import NUMPY_ARRAYS, Dtype, RefusedError, allowed_object
from zc_search.errors import BenchmarkError

_CHUNK = 4 * 2**20
_LONGEST = 64 * 2**20  # of one value; a longer one is no part of a table
_AHEAD = 4096  # bytes to have at hand at every step, so that few steps find what they need cut off
_SHORT = 128  # longest text that may be a key in a run
_BATCH = 1000  # items after which Python's pickler sets a mark anew
_RUNS = 4096  # of which the keys are remembered

TABLES: Mapping[tuple[str, str], Any] = {
    **{key: NUMPY_ARRAYS[key] for key in NUMPY_ARRAYS if key[1] in ("dtype", "scalar", "encode")},
    ("__builtin__", "bytes"): NUMPY_ARRAYS["__builtin__", "bytes"],
    ("collections", "OrderedDict"): dict,
    ("__builtin__", "set"): set,
    ("builtins", "set"): set,
}
"""What a table of plain Python values and numpy's numbers may name; ordered dicts become dicts."""

_KNOWN = b"\x80\x95(01N\x88\x89KMJ\x8aGX\x8cUTCB}])\x8fsuae\x90t\x85\x86\x87qr\x94hjc\x93Rb"
"""The opcodes of plain values; those of extensions, persistent objects and classes are missing."""


class ForgottenError(Exception):
    """An entry refers to a container of an earlier one; read it again with ``forget=False``."""


class _Memo:
    """The numbered values of a pickle.

    Of an entry that is over, texts and the like are kept, as later ones share them; containers go,
    and so do the keys of runs: there are a hundred million, each of its own.
    """

    def __init__(self, forget: bool) -> None:
        self._size = 0  # the smallest number that has not been given yet
        self._forget = forget
        self._current: dict[int, Any] = {}
        self._kept: dict[int, Any] = {}
        self._keys: dict[int, str] = {}

    def __len__(self) -> int:
        return self._size

    def __setitem__(self, number: int, value: Any) -> None:
        self._current[number] = value
        self._size = max(self._size, number + 1)

    def __getitem__(self, number: int) -> Any:
        for values in (self._current, self._keys, self._kept):
            if number in values:
                return values[number]
        if self._forget and number < self._size:
            raise ForgottenError(f"value {number} is of an entry that is gone")
        raise KeyError(f"there is no value {number}")

    def put_keys(self, keys: Sequence[str], numbers: Sequence[int] | None) -> None:
        """Number the keys of a run; None counts them on."""
        numbers = range(self._size, self._size + len(keys)) if numbers is None else numbers
        self._keys.update(zip(numbers, keys, strict=True))
        self._size = max(self._size, numbers[-1] + 1)

    def end_entry(self) -> None:
        if self._forget:
            texts = {n: v for n, v in self._current.items() if type(v) not in (dict, list, set)}
            self._kept.update(texts)
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


class PickleStream(pickle._Unpickler):
    """The pickles of a file, one after the other; the file need not be seekable.

    With `forget`, dicts, lists and sets of earlier entries are let go. `rest` is the last pickle,
    without what `entries` yielded.
    """

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        code: pickle._Unpickler.dispatch[code] for code in _KNOWN
    }

    def __init__(self, file: BinaryIO, name: str, *, forget: bool = True) -> None:
        super().__init__(file, encoding="latin1")
        self._file, self._name, self._forget = file, name, forget
        self._buffer, self._at = b"", 0
        self.rest: dict[Any, Any] = {}

    def load(self) -> Any:
        """Return the next pickle as a whole."""
        for _ in self.entries(None):
            pass
        return self.rest

    def entries(self, key: object) -> Iterator[tuple[Any, Any]]:
        """Yield the items of the dict that the next pickle has at `key`; `rest` is all else."""
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
        self.stack: list[Any] = []
        self.metastack: list[list[Any]] = []
        self.append = self.stack.append
        self.memo = _Memo(self._forget)
        self._keys: dict[tuple[int, bytes], list[str]] = {}
        target: list[Any] | None = None
        while True:
            self._fill(_AHEAD)
            code = self.read(1)
            if self.stack is target and (
                code == b"u"
                or (code in b"KMJ" and len(self.stack) == 2 and _complete(self.stack[1]))
            ):
                yield from zip(target[0::2], target[1::2], strict=True)
                target.clear()
                self.memo.end_entry()
            if code == b".":
                break
            if code[0] not in self.dispatch:
                raise RefusedError(f"it uses opcode {code!r}")
            self.dispatch[code[0]](self)
            if code == b"(" and key is not None and len(self.metastack) == 2:
                before = self.metastack[1]
                if len(before) > 1 and before[-2] == key and type(before[-1]) is dict:
                    target = self.stack
                    self.rest = dict(zip(before[0:-2:2], before[1:-2:2], strict=True))
                    self.memo.end_entry()
        self.rest = self.stack.pop()
        if key is not None:
            if type(self.rest) is not dict or type(self.rest.get(key)) is not dict:
                raise EOFError(f"there is no dict {key!r} in it")
            yield from self.rest.pop(key).items()  # one whose only item was set without a mark

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a name, or refuse it."""
        return allowed_object(TABLES, module, name)

    # The file, through a window that only moves forward -------------------------------------------

    def _fill(self, size: int) -> None:
        """Have so many bytes at hand, or those that are left."""
        while len(self._buffer) - self._at < size:
            chunk = self._file.read(_CHUNK)
            if not chunk:
                return
            self._buffer = self._buffer[self._at :] + chunk
            self._at = 0

    def read(self, size: int) -> bytes:
        """Return the next bytes, all of them."""
        if size > _LONGEST:
            raise EOFError(f"it claims a value of {size:,} bytes")
        self._fill(size)
        taken = self._buffer[self._at : self._at + size]
        if len(taken) < size:
            raise EOFError("it is cut short")
        self._at += size
        return taken

    def readline(self) -> bytes:
        """Return the rest of a line, a name, with its end."""
        end = self._buffer.find(b"\n", self._at, self._at + _AHEAD)
        if end < 0:
            raise EOFError("a name is cut short")
        return self.read(end + 1 - self._at)

    # What is read otherwise than by the standard library ------------------------------------------

    def _frame(self) -> None:
        self.read(8)

    def _text(self, width: int) -> None:
        start = self._at - 1
        size = int.from_bytes(self.read(width), "little")
        if size > _SHORT or not self._pairs(start, _texts(width, size)):
            self.append(str(self.read(size), "utf-8", "surrogatepass"))

    def _small(self) -> None:
        if not self._pairs(self._at - 1, _NUMBERS):
            self.append(self.read(1)[0])

    def _recall(self) -> None:
        if not self._pairs(self._at - 1, _RECALLED):
            self.append(self.memo[int.from_bytes(self.read(4), "little")])

    def _build(self) -> None:
        state, value = self.stack.pop(), self.stack[-1]
        if type(value) is not Dtype:
            raise RefusedError(f"it changes a {type(value).__name__}")
        value.__setstate__(state)

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
            keys = [self.memo[number] for number in records["key"].tolist()]
        else:
            content = records["key"].itemsize, records["key"].tobytes()
            keys = self._keys.get(content)  # most runs have the keys of one before
            if keys is None:
                keys = [str(key, "utf-8", "surrogatepass") for key in records["key"].tolist()]
                if len(self._keys) < _RUNS:
                    self._keys[content] = keys
            counted = "put" not in (run.record.names or ())
            self.memo.put_keys(keys, None if counted else records["put"].tolist())
        self._at = found.end()
        for pair in zip(keys, records["figure"].tolist(), strict=True):
            self.stack.extend(pair)
        return True


PickleStream.dispatch |= {
    0x95: PickleStream._frame,
    ord("X"): partial(PickleStream._text, width=4),
    0x8C: partial(PickleStream._text, width=1),
    ord("K"): PickleStream._small,
    ord("j"): PickleStream._recall,
    ord("b"): PickleStream._build,
}
