"""Read pickles that others wrote without giving them a way to run code.

A pickle is a program: it may name anything importable and call it. Here it may name only what the
caller allows; see "Restricting Globals" in the documentation of ``pickle``.
"""

import bz2
import io
import pickle
import pickletools
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FunctionType
from typing import Any, Literal

from zc_search._utils.pickles.limits import Allowance, RefusedError, allowed_object
from zc_search._utils.pickles.numpy_arrays import PickledArray
from zc_search.errors import DataError

# EXT reaches objects past find_class; no pickler writes DUP, which only a bomb needs.
_REFUSED_OPCODES = frozenset({"EXT1", "EXT2", "EXT4", "DUP"})
_MAX_NESTED_TUPLES = 1000
_MAX_UNPACKED = 256 * 2**20
_COMPRESSED = frozenset({".pbz2", ".bz2"})


def load_restricted(
    path: Path,
    allowed: Mapping[tuple[str, str], object],
    encoding: Literal["ASCII", "latin1", "bytes"] = "latin1",
    *,
    bounded: bool = True,
) -> Any:
    """Return the content of a pickle that may name nothing but ``allowed``.

    Args:
        path: The file, of any protocol; one that ends in ``.pbz2`` or ``.bz2`` is decompressed.
        allowed: What the pickle may name: (module, name) as it is written there (Python 2 names
            are not translated) to the object it gets, a function or an immutable type, which need
            not be the one so called. `NUMPY_ARRAYS` serves plain arrays.
        encoding: How to read the strings of Python 2, as in ``pickle.load``.
        bounded: Whether to look first for what would exhaust memory or the C stack. It takes half
            a second a megabyte, which a file of an installed package need not pay.

    Raises:
        DataError: If the file is missing, damaged or no pickle, or names anything else.
    """
    if not path.is_file():
        raise DataError(f"{path} is not a file")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    try:
        if path.suffix in _COMPRESSED:
            content = _decompress(content)
        if bounded:
            _check_opcodes(content)
        return _RestrictedUnpickler(content, allowed, encoding).load()
    except RefusedError as error:
        raise DataError(f"{path} is not safe to load: {error}") from error
    except Exception as error:  # a damaged pickle may raise anything, as the docs of pickle say
        raise DataError(
            f"{path} is damaged, cut short or not a pickle: {type(error).__name__}: {error}"
        ) from error


def _decompress(content: bytes) -> bytes:
    """Return what bz2 packed, if it is no bomb: a table of one architecture has a megabyte."""
    with bz2.BZ2File(io.BytesIO(content)) as file:
        unpacked = file.read(_MAX_UNPACKED + 1)
    if len(unpacked) > _MAX_UNPACKED:
        raise RefusedError(f"it unpacks to more than {_MAX_UNPACKED:,} bytes")
    return unpacked


class _RestrictedUnpickler(pickle.Unpickler):
    def __init__(self, content: bytes, allowed: Mapping[tuple[str, str], object], encoding: str):
        super().__init__(io.BytesIO(content), encoding=encoding)
        self._allowed = allowed
        self._allowance = Allowance()
        self._allowance.grow(len(content))

    def find_class(self, module: str, name: str) -> Any:
        found = allowed_object(self._allowed, module, name)
        return _Sealed(found, self._allowance) if isinstance(found, FunctionType) else found


class _Sealed:
    """A function that can be called and not changed: BUILD would set attributes on a bare one.

    Its results are counted; an array is again when BUILD fills it.
    """

    __slots__ = ("_allowance", "_function")

    def __init__(self, function: Callable[..., Any], allowance: Allowance):
        self._function = function
        self._allowance = allowance

    def __call__(self, *arguments: Any) -> Any:
        result = self._function(*arguments)
        self._allowance.count(result)
        if isinstance(result, PickledArray):
            result.allowance = self._allowance
        return result

    def __setstate__(self, state: object) -> None:
        raise RefusedError("it changes a function")


def _check_opcodes(content: bytes) -> None:
    """Refuse what would exhaust memory or the C stack; pickletools only reads, it builds nothing.

    Lengths beyond the end of the file make ``genops`` raise. The unpickler allocates its memo up
    to the largest index in use, and hashing a tuple recurses into its tuples without a limit, so
    both are bounded. ``stack`` follows the unpickler's: for each value the number of tuples that
    hashing it visits, shared ones as often as they occur; what is not a tuple counts 0.
    """
    stack: list[int] = []
    marks: list[int] = []
    memo: dict[Any, int] = {}
    for opcode, argument, _ in pickletools.genops(content):
        name, before = opcode.name, opcode.stack_before
        if name in _REFUSED_OPCODES:
            raise RefusedError(f"it uses opcode {name}")
        if name == "MARK":
            marks.append(len(stack))
        elif name == "MEMOIZE" or name.endswith("PUT"):
            index: Any = len(memo) if name == "MEMOIZE" else argument
            if index > len(content):
                raise RefusedError(f"it numbers a value {index}, the file has {len(content)} bytes")
            memo[index] = stack[-1]
        elif name.endswith("GET"):
            stack.append(memo[argument])
        elif name == "POP" and marks and marks[-1] == len(stack):
            marks.pop()
        else:
            if pickletools.markobject in before:
                first = marks.pop() - before.index(pickletools.markobject)
            else:
                first = len(stack) - len(before)
            tuples = 1 + sum(stack[first:]) if name.startswith("TUPLE") else 0
            if tuples > _MAX_NESTED_TUPLES:
                raise RefusedError(f"it nests more than {_MAX_NESTED_TUPLES} tuples in one another")
            stack[first:] = [tuples] * len(opcode.stack_after)
