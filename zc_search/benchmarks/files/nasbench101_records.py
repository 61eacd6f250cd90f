"""``nasbench_only108.tfrecord`` and ``nasbench_full.tfrecord``, read without TensorFlow.

A record is its length in 8 bytes, the masked CRC32C of these, its content, and that one's masked
CRC32C. The content is a JSON list: the cell's hash, epochs, matrix, operations, and in base64 a
protobuf message of what one training gave (``ModelMetrics`` of the benchmark's repository).
"""

import base64
import binascii
import json
import struct
from collections.abc import Iterator
from math import isqrt
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import google_crc32c

from zc_search.errors import ArchitectureError, BenchmarkError
from zc_search.spaces import ModelSpec

WHEN = ("halfway", "final")
FIGURES = tuple(
    f"{when}_{what}"
    for when in WHEN
    for what in ("training_time", "train_accuracy", "validation_accuracy", "test_accuracy")
)
"""What is known of a training, in the names and units of the benchmark's own API: seconds, and
accuracies from 0 to 1."""

_LENGTH, _CHECKSUM, _DOUBLE = struct.Struct("<Q"), struct.Struct("<I"), struct.Struct("<d")
_HEAD = _LENGTH.size + _CHECKSUM.size
_MOST = 2**20  # bytes of a record; the benchmark's have some 500
_EVALUATION, _PARAMETERS = 1, 2  # fields of ModelMetrics
_MEASURED = (2, 3, 4, 5)  # fields of EvaluationData, in the order of FIGURES


class Training(NamedTuple):
    """One training of a cell.

    Attributes:
        hash: Of the cell, as the file says.
        epochs: Length of the training.
        matrix: Rows of the matrix one after another, as zeros and ones.
        operations: Of all vertices, with commas.
        parameters: That can be trained.
        figures: One for each of `FIGURES`.
        end: Where in the file its record ends, in bytes.
    """

    hash: str
    epochs: int
    matrix: str
    operations: str
    parameters: int
    figures: tuple[float, ...]
    end: int

    def spec(self) -> ModelSpec:
        """Return the cell.

        Raises:
            ArchitectureError: It is none.
        """
        size = isqrt(len(self.matrix))
        rows = [self.matrix[at : at + size] for at in range(0, size * size, size)]
        if size * size != len(self.matrix) or set(self.matrix) - set("01"):
            raise ArchitectureError(f"matrix: {self.matrix[:60]!r} is no square of zeros and ones")
        return ModelSpec(
            tuple(tuple(map(int, row)) for row in rows), tuple(self.operations.split(","))
        )


def read_trainings(path: Path) -> Iterator[Training]:
    """Yield every training that a file holds, in its order.

    Raises:
        BenchmarkError: There is no such file, it is cut short or damaged, or holds something else.
    """
    try:
        with path.open("rb") as file:
            for number, (content, end) in enumerate(_records(file, path)):
                try:
                    yield _training(content, end)
                except (ValueError, TypeError, RecursionError, struct.error) as error:
                    raise BenchmarkError(
                        f"{path}: record {number} is no training of NAS-Bench-101 "
                        f"({type(error).__name__}: {str(error)[:100]})"
                    ) from error
    except OSError as error:
        raise BenchmarkError(f"{path} cannot be read: {error.strerror}") from error


def _records(file: BinaryIO, path: Path) -> Iterator[tuple[bytes, int]]:
    """Yield the content of each record, and where the record ends."""
    size = file.seek(0, 2)
    place = file.seek(0)
    while place < size:
        head = file.read(_HEAD)
        if len(head) < _HEAD:
            raise BenchmarkError(f"{path} is cut short: it ends within the record at byte {place}")
        if not _is_sound(head[:8], head[8:]):
            what = "is damaged" if place else "is no TFRecord file, or damaged"
            raise BenchmarkError(f"{path} {what}: the checksum of the length at byte {place}")
        (length,) = _LENGTH.unpack(head[:8])
        if length > _MOST:
            raise BenchmarkError(
                f"{path} is no file of NAS-Bench-101: the record at byte {place} has {length:,} "
                "bytes"
            )
        end = place + _HEAD + length + _CHECKSUM.size
        if end > size:
            raise BenchmarkError(f"{path} is cut short: it ends within the record at byte {place}")
        content = file.read(length)
        if not _is_sound(content, file.read(_CHECKSUM.size)):
            raise BenchmarkError(f"{path} is damaged: the checksum of the record at byte {place}")
        yield content, end
        place = end


def masked_crc32c(content: bytes) -> int:
    """Return the checksum of TFRecord files: CRC32C, rotated, plus a constant."""
    crc: int = google_crc32c.value(content)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _is_sound(content: bytes, checksum: bytes) -> bool:
    return _CHECKSUM.pack(masked_crc32c(content)) == checksum


def _training(content: bytes, end: int) -> Training:
    fields = json.loads(content)
    if not isinstance(fields, list) or len(fields) != len(Training._fields) - 2:
        raise ValueError("not a list of five")
    name, epochs, matrix, operations, encoded = fields
    texts = (name, matrix, operations, encoded)
    if not all(isinstance(text, str) for text in texts) or type(epochs) is not int:
        raise ValueError("fields of other types")
    if len(bytes.fromhex(name)) != 16 or not 0 < epochs < 2**15:
        raise ValueError(f"hash {name[:40]!r} or epochs {epochs!r}")
    try:
        message = base64.b64decode("".join(encoded.split()), validate=True)
    except binascii.Error as error:
        raise ValueError(f"no base64: {error}") from error
    evaluations, parameters = [], 0
    for field, value in _message(message):
        if field == _EVALUATION and isinstance(value, bytes):
            evaluations.append({f: v for f, v in _message(value) if isinstance(v, float)})
        elif field == _PARAMETERS and isinstance(value, int):
            parameters = value
    if len(evaluations) != 1 + len(WHEN):
        raise ValueError(f"{len(evaluations)} evaluations, not {1 + len(WHEN)}")
    # The first one is of the network before training, and the benchmark's own API skips it.
    figures = tuple(
        float(evaluation.get(f, 0.0)) for evaluation in evaluations[1:] for f in _MEASURED
    )
    return Training(name, epochs, matrix, operations, parameters, figures, end)


def _message(data: bytes) -> Iterator[tuple[int, int | float | bytes]]:
    """Yield number and value of each field of a protobuf message."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        match key & 7:
            case 0:
                value: Any
                value, at = _varint(data, at)
            case 1:
                value, at = _DOUBLE.unpack_from(data, at)[0], at + 8
            case 2:
                length, at = _varint(data, at)
                if length > len(data) - at:
                    raise ValueError("a field is longer than its message")
                value, at = data[at : at + length], at + length
            case kind:
                raise ValueError(f"a field of wire type {kind}")
        yield key >> 3, value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return a number of 7 bits a byte, the lowest first, and where it ends."""
    value = 0
    for place in range(10):
        if at >= len(data):
            raise ValueError("a number is cut short")
        byte = data[at]
        at += 1
        value |= (byte & 127) << 7 * place
        if byte < 128:
            return value, at
    raise ValueError("a number of more than 64 bits")
