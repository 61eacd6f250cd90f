"""Files: ours whole or not there, one writer at a time; pickles of others, read as mere data."""

import io
import os
import pickle
import pickletools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from filelock import FileLock
from platformdirs import user_cache_path

from zc_search.errors import DataError, ZcSearchError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`, which becomes `path` when the block ends well."""
    temporary = path.with_name(f".{path.name}.{token_hex(4)}")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename == str(temporary):
            error.filename = str(path)  # which is what a user knows
        raise


def write_atomically(path: Path, content: str | bytes) -> Path:
    """Write a file, text as UTF-8, whole or not at all; an older one is replaced."""
    with replacing(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@contextmanager
def writing(what: str, error: type[ZcSearchError]) -> Iterator[None]:
    """Turn whatever keeps a file from being written into a sentence that names it."""
    try:
        yield
    except BrokenPipeError:  # the terminal's, not the file's
        raise
    except OSError as problem:
        place = problem.filename or what
        raise error(
            f"{place}: cannot be written ({problem.strerror or problem})", given=str(place)
        ) from problem


def lock_beside(path: Path, timeout: float = -1) -> FileLock:
    """Return the lock of a file or folder: a hidden file beside it, which stays there."""
    return FileLock(path.with_name(f".{path.name}.lock"), timeout)


def cache_folder() -> Path:
    """Return where what can be made anew is kept: $ZC_SEARCH_CACHE, or the user's cache folder."""
    chosen = os.environ.get("ZC_SEARCH_CACHE")
    return Path(chosen).expanduser() if chosen else user_cache_path("zc-search")


# Pickles that others wrote, without a way to run code ---------------------------------------------
#
# A pickle may name only what the caller allows; see "Restricting Globals" in the documentation of
# ``pickle``. Where that is NumPy, it gets stand-ins that take plain values: with flags of its
# choice NumPy's own ``dtype`` would make of any bytes an address of code.

_PLAIN_KINDS = "biufcSU"


class RefusedError(Exception):
    """The pickle is readable but asks for more than data."""


def load_restricted(
    path: Path,
    allowed: Mapping[tuple[str, str], object],
    encoding: Literal["ASCII", "latin1", "bytes"] = "latin1",
    *,
    bounded: bool = True,
) -> Any:
    """Return the content of a pickle that may name nothing but ``allowed``, by (module, name).

    `bounded` looks first for numbers of values beyond the file's length, for which a damaged file
    would take all memory; it costs some tenths of a second a megabyte.
    """
    if not path.is_file():
        raise DataError(f"{path} is not a file")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    try:
        if bounded:
            _check_numbers(content)
        unpickler = _RestrictedUnpickler(io.BytesIO(content), encoding=encoding)
        unpickler.allowed = allowed
        return unpickler.load()
    except RefusedError as error:
        raise DataError(f"{path} is not safe to load: {error}") from error
    except Exception as error:  # a damaged pickle may raise anything, as the docs of pickle say
        raise DataError(
            f"{path} is damaged, cut short or not a pickle: {type(error).__name__}: {error}"
        ) from error


def allowed_object(allowed: Mapping[tuple[str, str], Any], module: object, name: object) -> Any:
    """Return what a pickle gets for a name, or raise `RefusedError`."""
    if not isinstance(module, str) or not isinstance(name, str):
        raise RefusedError("it names something by other than a text")
    if (module, name) not in allowed:
        names = ", ".join(".".join(pair) for pair in allowed) or "nothing"
        raise RefusedError(f"it asks for {module}.{name}; allowed: {names}")
    return allowed[module, name]


class _RestrictedUnpickler(pickle.Unpickler):
    allowed: Mapping[tuple[str, str], object]

    def find_class(self, module: str, name: str) -> Any:
        return allowed_object(self.allowed, module, name)


def _check_numbers(content: bytes) -> None:
    for opcode, argument, _ in pickletools.genops(content):
        if opcode.name.endswith("PUT") and argument > len(content):  # type: ignore[operator]
            raise RefusedError(f"it numbers a value {argument}, the file has {len(content)} bytes")


class _Sealed:
    """A function that a pickle can call and not change: of a bare one BUILD sets attributes."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]):
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setstate__(self, state: object) -> None:
        raise RefusedError("it changes a function")


class Dtype:
    """A numpy type as a pickle describes it: a code such as ``u1``, then a byte order."""

    def __init__(self, code: str | bytes, align: object = False, copy: object = True):
        self._code, self._order = _text(code), "="

    def __setstate__(self, state: Sequence[Any]) -> None:
        self._order = _text(state[1])  # the rest is for structured types, which resolve() refuses

    def resolve(self) -> np.dtype[Any]:
        dtype = np.dtype(self._code)
        if dtype.kind not in _PLAIN_KINDS:
            raise pickle.UnpicklingError(f"numpy arrays of dtype {dtype} are not read")
        return dtype.newbyteorder(self._order)  # type: ignore[arg-type]


class PickledArray(np.ndarray[Any, Any]):
    """An array that takes from a pickle no more than plain values that fill its shape."""

    def __setstate__(self, state: Sequence[Any]) -> None:
        _, shape, dtype, fortran, values = state
        # A numpy type proper can only come from a copy of this array, never from a file.
        plain = dtype.resolve() if isinstance(dtype, Dtype) else dtype
        super().__setstate__((1, shape, plain, fortran, _bytes(values)))


def _frombuffer(values: bytes, dtype: Dtype, shape: Any, order: str, axes: Any = None) -> Any:
    """Return the array of a protocol 5 pickle, writable as others are."""
    array = np.frombuffer(values, dtype.resolve()).copy()
    if order == "K" and axes is not None:
        return array.reshape(shape).transpose(axes)
    return array.reshape(shape, order="F" if order == "F" else "C")


def _scalar(dtype: Dtype, values: bytes | str) -> Any:
    """Return a number of numpy's as Python's own."""
    (value,) = np.frombuffer(_bytes(values), dtype.resolve())
    return value.item()


def _encode(text: str, encoding: str) -> bytes:
    """Return the bytes that Python 3 wrote in a protocol of Python 2."""
    if encoding != "latin1":
        raise pickle.UnpicklingError("bytes are written as latin1, not otherwise")
    return text.encode("latin1")


def _bytes(values: bytes | str) -> bytes:
    return values.encode("latin1") if isinstance(values, str) else values


def _text(value: object) -> str:
    if not isinstance(value, str | bytes):
        raise pickle.UnpicklingError(f"a {type(value).__name__} is no code of a numpy type")
    return value.decode("ascii") if isinstance(value, bytes) else value


# A shape from the file could be of any size: an array is empty until BUILD fills it.
_RECONSTRUCT = _Sealed(lambda subtype, shape, code: PickledArray(0))

NUMPY_ARRAYS: Mapping[tuple[str, str], object] = MappingProxyType(
    {
        ("numpy", "dtype"): Dtype,
        ("numpy", "ndarray"): object(),  # only ever handed to _reconstruct
        ("_codecs", "encode"): _Sealed(_encode),
        ("__builtin__", "bytes"): _Sealed(lambda: b""),  # so Python 3 writes bytes() for Python 2
        **{
            (f"numpy.{core}.{module}", name): function
            for core in ("core", "_core")
            for module, name, function in (
                ("multiarray", "_reconstruct", _RECONSTRUCT),
                ("numeric", "_frombuffer", _Sealed(_frombuffer)),
                ("multiarray", "scalar", _Sealed(_scalar)),
            )
        },
    }
)
"""What a pickle of plain numpy arrays and numbers may name, for `load_restricted`."""
