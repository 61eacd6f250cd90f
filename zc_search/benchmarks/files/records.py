"""``nasbench_only108.tfrecord`` and ``nasbench_full.tfrecord``, made a table without TensorFlow.

A record is its length in 8 bytes, the masked CRC32C of these, its content, and that one's masked
CRC32C. The content is a JSON list: the cell's hash, epochs, matrix, operations, and in base64 a
protobuf message of what one training gave (``ModelMetrics`` of the benchmark's repository).

The table has one row a cell, sorted by hash; for each budget of epochs and each repeat a column of
every figure.
"""

import base64
import json
import struct
from array import array
from collections.abc import Iterator
from math import isqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zc_search._utils.files import replacing
from zc_search.benchmarks.files.archive import file_digest, reading
from zc_search.benchmarks.files.table import About, Conversion, OnProgress, write_table
from zc_search.benchmarks.nasbench101 import FIGURES, WHEN, column_name
from zc_search.errors import ArchitectureError, BenchmarkError
from zc_search.spaces import ModelSpec

if TYPE_CHECKING:
    import pandas as pd

SHA256 = {
    "nasbench_only108.tfrecord": "4c39c3936e36a85269881d659e44e61a245babcb72cb374eacacf75d0e5f4fd1",
    "nasbench_full.tfrecord": "3d64db8180fb1b0207212f9032205064312b6907a3bbc81eabea10db2f5c7e9c",
}
"""Of the files as the authors hand them out."""

_LENGTH, _CHECKSUM, _DOUBLE = struct.Struct("<Q"), struct.Struct("<I"), struct.Struct("<d")
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


def read_trainings(path: Path) -> Iterator[Training]:
    """Yield every training that a file holds, in its order, or raise BenchmarkError."""
    with reading(path), path.open("rb") as file:
        for number, content in enumerate(_records(file, path)):
            try:
                yield _training(content, file.tell())
            except (ValueError, TypeError, RecursionError, struct.error) as error:
                raise BenchmarkError(
                    f"{path}: record {number} is no training of NAS-Bench-101 "
                    f"({type(error).__name__}: {str(error)[:100]})"
                ) from error


def _records(file: BinaryIO, path: Path) -> Iterator[bytes]:
    """Yield the content of each record."""
    size, place = path.stat().st_size, 0

    def checked(length: int, what: str) -> bytes:
        if length + _CHECKSUM.size > size - file.tell():
            raise BenchmarkError(f"{path} is cut short: it ends within the record at byte {place}")
        content = file.read(length)
        if _CHECKSUM.pack(masked_crc32c(content)) != file.read(_CHECKSUM.size):
            is_it = "is damaged" if place or what == "record" else "is no TFRecord file, or damaged"
            raise BenchmarkError(f"{path} {is_it}: the checksum of the {what} at byte {place}")
        return content

    while place < size:
        (length,) = _LENGTH.unpack(checked(_LENGTH.size, "length"))
        yield checked(length, "record")
        place = file.tell()


def masked_crc32c(content: bytes) -> int:
    """Return the checksum of TFRecord files: CRC32C, rotated, plus a constant."""
    import google_crc32c  # whoever reads a table does not need it

    crc: int = google_crc32c.value(content)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


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
    message = _message(base64.b64decode("".join(encoded.split()), validate=True))
    evaluations = [_message(part) for part in message.get(_EVALUATION, ())]
    if len(evaluations) != 1 + len(WHEN):
        raise ValueError(f"{len(evaluations)} evaluations, not {1 + len(WHEN)}")
    parameters = message.get(_PARAMETERS, [0])[-1]
    # The first one is of the network before training, and the benchmark's own API skips it.
    figures = (float(e.get(f, [0.0])[-1]) for e in evaluations[1:] for f in _MEASURED)
    return Training(name, epochs, matrix, operations, int(parameters), tuple(figures), end)


def _message(data: bytes) -> dict[int, list[Any]]:
    """Return the values of each field of a protobuf message, by its number."""
    at, fields = 0, dict[int, list[Any]]()
    while at < len(data):
        key, at = _varint(data, at)
        value: Any
        match key & 7:
            case 0:
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
        fields.setdefault(key >> 3, []).append(value)
    return fields


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return a number of 7 bits a byte, the lowest first, and where it ends."""
    value = 0
    for place, byte in enumerate(data[at : at + 10]):
        value |= (byte & 127) << 7 * place
        if byte < 128:
            return value, at + place + 1
    cut = len(data) - at < 10
    raise ValueError("a number is cut short" if cut else "a number of more than 64 bits")


# The table ------------------------------------------------------------------------------------


def convert_records(title: str, file: Path, table: Path, on_progress: OnProgress) -> Conversion:
    """Write the table of a file, all of whose records' checksums are checked."""
    import pandas as pd
    import pyarrow as pa

    with reading(file):
        size = file.stat().st_size
    numbers: dict[bytes, int] = {}
    specs: list[str] = []
    parameters = array("i")
    trainings = array("d")  # cell, epochs, and FIGURES
    for training in read_trainings(file):
        name = bytes.fromhex(training.hash)
        if name not in numbers:
            numbers[name] = len(specs)
            try:
                specs.append(str(_spec(training)))
                parameters.append(training.parameters)
            except (ArchitectureError, OverflowError) as error:
                raise BenchmarkError(f"{file}: cell {training.hash}: {error}") from error
        trainings.extend((numbers[name], training.epochs, *training.figures))
        on_progress("converting", training.end, size)
    if not numbers:
        raise BenchmarkError(f"{file} holds no training")
    digest = file_digest(file, "sha256", lambda done: on_progress("checking", done, size))
    rows = np.asarray(trainings).reshape(-1, 2 + len(FIGURES))
    frame = pd.DataFrame(rows, columns=["cell", "epochs", *FIGURES])
    frame = frame.astype({"cell": int, "epochs": int})
    frame["repeat"] = frame.groupby(["cell", "epochs"]).cumcount()
    about = About(
        file.name,
        published=digest == SHA256.get(file.name),
        budgets=tuple(sorted(frame["epochs"].unique().tolist())),
        repeats=int(frame["repeat"].max()) + 1,
    )
    hashes = np.frombuffer(b"".join(numbers), ">u8").reshape(-1, 2).astype(np.uint64)
    order = np.lexsort([hashes[:, 1], hashes[:, 0]])
    columns = {
        "hash_high": hashes[order, 0],
        "hash_low": hashes[order, 1],
        "spec": [specs[row] for row in order],
        "parameters": np.asarray(parameters)[order],
        **_figures(frame, order),
    }
    with replacing(table) as part:
        write_table(part, about, {name: pa.array(column) for name, column in columns.items()})
    return Conversion(table, None, len(numbers), len(rows))


def _spec(training: Training) -> ModelSpec:
    """Return the cell of a training, or raise ArchitectureError."""
    matrix = training.matrix
    size = isqrt(len(matrix))
    if size * size != len(matrix) or set(matrix) - set("01"):
        raise ArchitectureError(f"matrix: {matrix[:60]!r} is no square of zeros and ones")
    rows = (tuple(map(int, matrix[at : at + size])) for at in range(0, size * size, size))
    spec = ModelSpec(tuple(rows), tuple(training.operations.split(",")))
    if spec.function_key != training.hash or spec.infeasible:
        raise ArchitectureError(f"{spec} has another hash, {spec.function_key}")
    return spec


def _figures(frame: "pd.DataFrame", order: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    """Return a column each budget, repeat and figure, in single precision if that is exact."""
    columns = {}
    places: Any = frame.groupby(["epochs", "repeat"])
    for (epochs, repeat), group in places:
        for figure, column in group.set_index("cell")[[*FIGURES]].reindex(order).items():
            single = column.astype("float32")
            kept = single if single.astype(float).equals(column) else column
            columns[column_name(epochs, repeat, figure)] = kept.to_numpy()
    return columns
