"""A pickle too large for memory, read piece by piece: a dict of it is handed out entry by entry.

The benchmarks' files are single pickles of some gigabytes, nearly all of them ``epoch: figure`` in
one dict after the other; read as a whole they become tens of gigabytes of Python objects. Here the
opcodes are carried out one by one, runs of ``key, figure`` at once by a regular expression and
NumPy, and what belongs to an entry is forgotten when the next one begins. Nothing is ever called
but the stand-ins that the caller allows, and only dicts, lists, sets, tuples, strings and numbers
are built.
"""

from collections.abc import Callable, Iterator, Mapping
from struct import unpack
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from zc_search._utils.pickles.limits import Allowance, RefusedError, allowed_object
from zc_search._utils.pickles.memo import ForgottenError, Memo
from zc_search._utils.pickles.numpy_arrays import Dtype
from zc_search._utils.pickles.plain import TABLES, Named, check_keys
from zc_search._utils.pickles.runs import NUMBERS, RECALLED, Run, text_run
from zc_search._utils.pickles.window import AHEAD, Window
from zc_search.errors import DataError

_SHORT = 128  # texts so short are likely to come again
_RUNS = 4096  # of which the keys are remembered
_LARGEST = 256 * 2**20  # of an entry: a real one has some hundred kilobytes, a packed bomb any size


class PickleStream(Window):
    """The pickles of a file, one after the other.

    Args:
        file: Open for reading bytes; it need not be seekable.
        name: Of the file, for messages.
        allowed: As for `load_restricted`; the objects are called with what the pickle says.
        forget: Whether dicts, lists and sets of earlier entries are let go.
    """

    def __init__(
        self,
        file: BinaryIO,
        name: str,
        allowed: Mapping[tuple[str, str], object] = TABLES,
        *,
        forget: bool = True,
    ) -> None:
        super().__init__(file)
        self._name = name
        self._allowed = allowed
        self._forget = forget
        self.rest: dict[Any, Any] = {}

    def load(self) -> Any:
        """Return the next pickle as a whole.

        Raises:
            DataError: It names something that is not allowed, is cut short, or no pickle.
        """
        for _ in self.entries(None):
            pass
        return self.rest

    def entries(self, key: object) -> Iterator[tuple[Any, Any]]:
        """Yield the items of the dict that the next pickle, itself a dict, has at `key`.

        What else it holds is in `rest` afterwards; what came before this dict, from the start.

        Raises:
            DataError: As in `load`.
            ForgottenError: See ``forget``.
        """
        try:
            yield from self._run(key)
        except ForgottenError:
            raise
        except RefusedError as error:
            raise DataError(f"{self._name} is not safe to load: {error}") from error
        except Exception as error:  # a damaged pickle may lead to anything
            raise DataError(
                f"{self._name} is damaged, cut short or not a pickle: "
                f"{type(error).__name__}: {error}"
            ) from error

    # The machine ------------------------------------------------------------------------------

    def _run(self, key: object) -> Iterator[tuple[Any, Any]]:
        self._stack: list[Any] = []
        self._outer: list[list[Any]] = []
        self._memo = Memo(self._forget)
        self._allowance = Allowance()
        self._strings: dict[bytes, str] = {}
        self._keys: dict[tuple[int, bytes], list[str]] = {}
        target: list[Any] | None = None
        begun = self.bytes_read
        while True:
            self._fill(AHEAD)
            if self.bytes_read - begun > _LARGEST:
                raise RefusedError(f"it holds a value of more than {_LARGEST:,} bytes")
            opcode = self._take(1)
            if self._stack is target and (
                opcode == b"u" or (opcode in b"KMJ" and len(self._stack) == 2)
            ):
                check_keys(target[0::2])
                for at in range(0, len(target) - 1, 2):
                    yield target[at], target[at + 1]
                target.clear()
                self._memo.let_go()
                begun = self.bytes_read
            if opcode == b".":
                break
            if opcode not in _ACTS:
                raise RefusedError(f"it uses opcode {opcode!r}")
            _ACTS[opcode](self)
            if opcode == b"(" and key is not None and len(self._outer) == 2:
                before = self._outer[1]
                if len(before) > 1 and before[-2] == key and type(before[-1]) is dict:
                    target = self._stack
                    check_keys(before[0:-2:2])
                    self.rest = dict(zip(before[0:-2:2], before[1:-2:2], strict=True))
                    self._memo.let_go()
        self.rest = self._stack.pop()
        if key is not None:
            if type(self.rest) is not dict or type(self.rest.get(key)) is not dict:
                raise EOFError(f"there is no dict {key!r} in it")
            yield from self.rest.pop(key).items()  # one whose only item was set without a mark

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _items(self) -> list[Any]:
        """Return what was pushed since the last mark."""
        items, self._stack = self._stack, self._outer.pop()
        return items

    def _text(self, width: int) -> None:
        start = self._at - 1
        size = self._number(width)
        if size <= _SHORT and self._pairs(start, text_run(width, size)):
            return
        self._push(self._intern(self._take(size)))

    def _intern(self, taken: bytes) -> str:
        if len(taken) > _SHORT:
            return str(taken, "utf-8", "surrogatepass")
        text = self._strings.get(taken)
        if text is None:
            text = self._strings[taken] = str(taken, "utf-8", "surrogatepass")
        return text

    def _small(self) -> None:
        if not self._pairs(self._at - 1, NUMBERS):
            self._push(self._number(1))

    def _pairs(self, start: int, run: Run) -> bool:
        """Push all of a run of key, figure, key, figure, ... at once, if there is one here."""
        found = run.read(self._buffer, start)
        if found is None:
            return False
        records, puts, figures, self._at = found
        if run is NUMBERS:
            keys = records.tolist()
        elif run is RECALLED:
            keys = [self._memo.get(number) for number in records.tolist()]
        else:
            keys = self._texts(records)
            self._memo.put_keys(keys, puts)
        pushed: list[Any] = [None] * (2 * len(keys))
        pushed[0::2] = keys
        pushed[1::2] = figures
        self._stack.extend(pushed)
        return True

    def _texts(self, records: NDArray[np.bytes_]) -> list[str]:
        """Return the keys of a run as texts; most runs have the keys of one before."""
        content = records.itemsize, records.tobytes()
        keys = self._keys.get(content)
        if keys is None:
            keys = [self._intern(key) for key in records.tolist()]
            if len(self._keys) < _RUNS:
                self._keys[content] = keys
        return keys

    def _recall(self, size: int) -> None:
        if size != 4 or not self._pairs(self._at - 1, RECALLED):
            self._push(self._memo.get(self._number(size)))

    # Containers -------------------------------------------------------------------------------

    def _mark(self) -> None:
        self._outer.append(self._stack)
        self._stack = []

    def _set_items(self, items: list[Any]) -> None:
        keys = items[0::2]
        check_keys(keys)
        target = self._stack[-1]
        if type(target) is not dict:
            raise TypeError(f"{type(target).__name__} has no items")
        target.update(zip(keys, items[1::2], strict=True))

    def _add(self, items: list[Any]) -> None:
        target = self._stack[-1]
        if type(target) is set:
            check_keys(items)
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

    # Calls ------------------------------------------------------------------------------------

    def _global(self, module: object, name: object) -> None:
        self._push(Named(allowed_object(self._allowed, module, name)))

    def _stack_global(self) -> None:
        name, module = self._stack.pop(), self._stack.pop()
        self._global(module, name)

    def _reduce(self) -> None:
        arguments, function = self._stack.pop(), self._stack.pop()
        if type(function) is not Named or type(arguments) is not tuple:
            raise RefusedError("it calls what is no function")
        if function.target is set:
            check_keys(*arguments)
        elif function.target is dict:
            for pair in arguments[0] if arguments else ():
                check_keys([pair[0]])
        built = function.target(*arguments)
        self._allowance.grow(self.bytes_read)
        self._allowance.count(built)
        self._push(built)

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
    b"c": lambda s: s._global(s._line(), s._line()),
    b"\x93": PickleStream._stack_global,
    b"R": PickleStream._reduce,
    b"b": PickleStream._build,
}
"""What each opcode does; those of extensions, persistent objects and classes are not among them."""
