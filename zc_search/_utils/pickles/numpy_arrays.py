"""What a pickle of plain numpy arrays and numbers may name, for ``load_restricted``.

The pickle gets stand-ins for numpy's constructors, which trust their input: ``ndarray`` and
``_reconstruct`` allocate any shape asked for, ``dtype.__setstate__`` takes any flags, and numpy 2.4
warns of the integer ``align`` that Python 2 wrote.
"""

import pickle
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from zc_search._utils.pickles.limits import Allowance, shown

_PLAIN_KINDS = "biufcSU"
_LONGEST_CODE = 40  # such as "<U12"


class Dtype:
    """A numpy type as a pickle describes it: a code such as ``u1``, then a byte order."""

    def __init__(self, code: str | bytes, align: object = False, copy: object = True):
        self._code, self._order = _text(code), "="

    def __setstate__(self, state: Sequence[Any]) -> None:
        self._order = _text(state[1])  # the rest is for structured types, which resolve() refuses

    def resolve(self) -> np.dtype[Any]:
        """Return the numpy type, in the machine's own memory no matter what the pickle says."""
        dtype = np.dtype(self._code)
        if dtype.kind not in _PLAIN_KINDS:
            raise pickle.UnpicklingError(f"numpy arrays of dtype {dtype} are not read")
        return dtype.newbyteorder(self._order)  # type: ignore[arg-type]


class PickledArray(np.ndarray[Any, Any]):
    """An array that takes from a pickle no more than plain values that fill its shape.

    Attributes:
        allowance: What it is counted in; None outside a pickle.
    """

    allowance: Allowance | None = None

    def __setstate__(self, state: Sequence[Any]) -> None:
        _, shape, dtype, fortran, values = state
        values = values.encode("latin1") if isinstance(values, str) else values
        # A numpy type proper can only come from a copy of this array, never from a file.
        plain = dtype.resolve() if isinstance(dtype, Dtype) else dtype
        super().__setstate__((1, shape, plain, fortran, values))
        if self.allowance is not None:
            self.allowance.count(self)


def _reconstruct(subtype: object, shape: object, code: object) -> PickledArray:
    """Return an empty array for BUILD to fill; a shape from the file could be of any size."""
    return PickledArray(0)


def _frombuffer(
    values: bytes,
    dtype: Dtype,
    shape: tuple[int, ...],
    order: Literal["C", "F", "K"],
    axes: tuple[int, ...] | None = None,
) -> NDArray[Any]:
    """Return the array of a protocol 5 pickle, writable as others are."""
    array = np.frombuffer(values, dtype.resolve()).copy()
    if order == "K" and axes is not None:
        return array.reshape(shape).transpose(axes)
    return array.reshape(shape, order="F" if order == "F" else "C")


def _scalar(dtype: Dtype, values: bytes | str) -> Any:
    """Return a number of numpy's as Python's own."""
    plain = dtype.resolve()
    content = values.encode("latin1") if isinstance(values, str) else values
    if len(content) != plain.itemsize:
        raise pickle.UnpicklingError(f"{len(content)} bytes are no {plain}")
    return np.frombuffer(content, plain)[0].item()


def _encode(text: str, encoding: str) -> bytes:
    """Return the bytes that Python 3 wrote in a protocol of Python 2."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes are written as latin1, not as {shown(encoding)}")
    return text.encode("latin1")


def _empty_bytes() -> bytes:
    """Return what Python 3 writes as ``bytes()`` there; ``bytes(n)`` could be of any size."""
    return b""


def _text(value: object) -> str:
    """Return the code of a type, or of a byte order."""
    if not isinstance(value, str | bytes) or len(value) > _LONGEST_CODE:
        raise pickle.UnpicklingError(f"{shown(value)} is no code of a numpy type")
    return value.decode("ascii") if isinstance(value, bytes) else value


NUMPY_ARRAYS: Mapping[tuple[str, str], object] = MappingProxyType(
    {
        ("numpy", "dtype"): Dtype,
        ("numpy", "ndarray"): object(),  # only ever handed to _reconstruct
        ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy.core.numeric", "_frombuffer"): _frombuffer,
        ("numpy._core.numeric", "_frombuffer"): _frombuffer,
        ("numpy.core.multiarray", "scalar"): _scalar,
        ("numpy._core.multiarray", "scalar"): _scalar,
        ("_codecs", "encode"): _encode,
        ("__builtin__", "bytes"): _empty_bytes,
    }
)
