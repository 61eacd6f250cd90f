"""``nasbench_only108.tfrecord`` and ``nasbench_full.tfrecord``, made a table without TensorFlow.

A record is its length in 8 bytes, the masked CRC32C of these, its content, and that one's masked
CRC32C. The content is a JSON list: the cell's hash, epochs, matrix, operations, and in base64 a
protobuf message of what one training gave (``ModelMetrics`` of the benchmark's repository).

The table has one row a cell, sorted by hash; for each budget of epochs and each repeat a column of
every figure.
"""

import base64
import binascii
import json
import struct
from array import array
from collections.abc import Callable, Iterator, Mapping
from math import isqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from zc_search.benchmarks.files.archive import file_digest, reading
from zc_search.benchmarks.files.table import About, installed_version, write_table
from zc_search.errors import ArchitectureError, BenchmarkError
from zc_search.spaces import ModelSpec

if TYPE_CHECKING:
    import pyarrow as pa

SHA256 = {
    "nasbench_only108.tfrecord": "4c39c3936e36a85269881d659e44e61a245babcb72cb374eacacf75d0e5f4fd1",
    "nasbench_full.tfrecord": "3d64db8180fb1b0207212f9032205064312b6907a3bbc81eabea10db2f5c7e9c",
}
"""Of the files as the authors hand them out."""

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
_EVALUATION, _PARAMETERS = 1, 2  # fields of ModelMetrics
_MEASURED = (2, 3, 4, 5)  # fields of EvaluationData, in the order of FIGURES


class Training(NamedTuple):
    """One training of a cell, as a record has it."""

    hash: str
    epochs: int
    matrix: str  # its rows one after another, as zeros and ones
    operations: str  # of all vertices, with commas
    parameters: int
    figures: tuple[float, ...]  # one for each of FIGURES
    end: int  # where in the file its record ends, in bytes

    def spec(self) -> ModelSpec:
        """Return the cell, or raise ArchitectureError."""
        size = isqrt(len(self.matrix))
        rows = [self.matrix[at : at + size] for at in range(0, size * size, size)]
        if size * size != len(self.matrix) or set(self.matrix) - set("01"):
            raise ArchitectureError(f"matrix: {self.matrix[:60]!r} is no square of zeros and ones")
        return ModelSpec(
            tuple(tuple(map(int, row)) for row in rows), tuple(self.operations.split(","))
        )


def read_trainings(path: Path) -> Iterator[Training]:
    """Yield every training that a file holds, in its order, or raise BenchmarkError."""
    with reading(path), path.open("rb") as file:
        for number, (content, end) in enumerate(_records(file, path)):
            try:
                yield _training(content, end)
            except (ValueError, TypeError, RecursionError, struct.error) as error:
                raise BenchmarkError(
                    f"{path}: record {number} is no training of NAS-Bench-101 "
                    f"({type(error).__name__}: {str(error)[:100]})"
                ) from error


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


# The table ------------------------------------------------------------------------------------


def column_name(epochs: int, repeat: int, figure: str) -> str:
    """Return what a table calls one of `FIGURES` of a repeat of a training."""
    return f"{epochs}.{repeat}.{figure}"


def convert_records(
    file: Path, table: Path, on_progress: Callable[[str, int, int], None]
) -> tuple[int, int]:
    """Write the table of a file, and return how many cells and trainings it has.

    Every record's checksum is checked; that of the whole file says whether it is the published one.
    """
    with reading(file):
        size = file.stat().st_size
    rows = _Rows()
    for training in read_trainings(file):
        try:
            rows.add(training)
        except (ArchitectureError, OverflowError) as error:
            raise BenchmarkError(f"{file}: cell {training.hash}: {error}") from error
        on_progress("converting", training.end, size)
    if not rows.numbers:
        raise BenchmarkError(f"{file} holds no training")
    digest = file_digest(file, "sha256", lambda done: on_progress("checking", done, size))
    repeats = rows.repeats()
    about = About(
        file.name,
        zc_search=installed_version(),
        published=digest == SHA256.get(file.name),
        budgets=tuple(sorted(set(rows.epochs))),
        repeats=int(repeats.max()) + 1,
    )
    write_table(table, about, rows.columns(repeats))
    return len(rows.numbers), len(rows.epochs)


class _Rows:
    """The rows of a table while the records are read."""

    def __init__(self) -> None:
        self.numbers: dict[bytes, int] = {}
        self.specs: list[str] = []
        self.parameters = array("i")
        self.cells, self.epochs = array("i"), array("h")
        self.figures = array("d")

    def add(self, training: Training) -> None:
        name = bytes.fromhex(training.hash)
        number = self.numbers.get(name)
        if number is None:
            spec = training.spec()
            if spec.function_key != training.hash or spec.infeasible:
                raise ArchitectureError(f"{spec} has another hash, {spec.function_key}")
            number = self.numbers[name] = len(self.specs)
            self.specs.append(str(spec))
            self.parameters.append(training.parameters)
        self.cells.append(number)
        self.epochs.append(training.epochs)
        self.figures.extend(training.figures)

    def columns(self, repeats: NDArray[np.int64]) -> "Mapping[str, pa.Array]":
        """Return the columns of the cells, sorted by hash."""
        import pyarrow as pa

        hashes = np.frombuffer(b"".join(self.numbers), ">u8").reshape(-1, 2)
        order = np.lexsort([hashes[:, 1], hashes[:, 0]])
        return {
            "hash_high": pa.array(hashes[order, 0].astype(np.uint64)),
            "hash_low": pa.array(hashes[order, 1].astype(np.uint64)),
            "spec": pa.array([self.specs[row] for row in order]),
            "parameters": pa.array(np.asarray(self.parameters)[order]),
            **{name: pa.array(v[order]) for name, v in self._figures(repeats).items()},
        }

    def repeats(self) -> NDArray[np.int64]:
        """Return of each training how many of the same cell and budget came before it."""
        keys = np.asarray(self.cells, dtype=np.int64) << 16 | np.asarray(self.epochs)
        order = np.argsort(keys, kind="stable")
        _, firsts, counts = np.unique(keys[order], return_index=True, return_counts=True)
        repeats = np.empty_like(order)
        repeats[order] = np.arange(len(keys)) - np.repeat(firsts, counts)
        return repeats

    def _figures(self, repeats: NDArray[np.int64]) -> Mapping[str, NDArray[Any]]:
        """Return a column each budget, repeat and figure, in single precision if that is exact."""
        cells, epochs = np.asarray(self.cells), np.asarray(self.epochs)
        figures = np.asarray(self.figures).reshape(-1, len(FIGURES))
        columns: dict[str, NDArray[Any]] = {}
        for budget in np.unique(epochs):
            for repeat in range(int(repeats[epochs == budget].max()) + 1):
                rows = (epochs == budget) & (repeats == repeat)
                for at, name in enumerate(FIGURES):
                    column = np.full(len(self.specs), np.nan)
                    column[cells[rows]] = figures[rows, at]
                    single = column.astype(np.float32)
                    exact = np.array_equal(single, column, equal_nan=True)
                    columns[column_name(int(budget), repeat, name)] = single if exact else column
        return columns
