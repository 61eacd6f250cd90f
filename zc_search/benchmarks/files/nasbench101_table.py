"""NAS-Bench-101 as columns: converted once from its records, then mapped into memory.

One row a cell, sorted by hash; for each budget of epochs and each repeat a column of every figure.
"""

import hashlib
import json
import os
from array import array
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zc_search.benchmarks.files.converting import Conversion, OnProgress, work_folder
from zc_search.benchmarks.files.nasbench101_records import FIGURES, Training, read_trainings
from zc_search.errors import ArchitectureError, BenchmarkError
from zc_search.spaces import ModelSpec

Floats = NDArray[np.float64] | NDArray[np.float32]

SCHEMA = 1
"""Of the file: raise it with every change of its columns."""

SHA256 = {
    "nasbench_only108.tfrecord": "4c39c3936e36a85269881d659e44e61a245babcb72cb374eacacf75d0e5f4fd1",
    "nasbench_full.tfrecord": "3d64db8180fb1b0207212f9032205064312b6907a3bbc81eabea10db2f5c7e9c",
}
"""Of the files as the authors hand them out."""

_ABOUT = b"zc_search"
_CHUNK = 2**22


class About(NamedTuple):
    """Where a table's figures come from.

    Attributes:
        source: Name of the file that was converted.
        published: Whether its checksum is the published one.
        budgets: Epochs of the trainings, ascending.
        repeats: Most trainings of one cell with one budget.
        zc_search: Version of zc-search that converted it.
    """

    source: str
    published: bool
    budgets: tuple[int, ...]
    repeats: int
    zc_search: str


class SpecTable:
    """A converted file, opened.

    Args:
        path: The Arrow file.

    Attributes:
        about: Where the figures come from.
        parameters: Of each cell's network.

    Raises:
        BenchmarkError: There is no such file, or it is none that zc-search converted.
    """

    def __init__(self, path: Path) -> None:
        import pyarrow as pa

        if not path.is_file():
            raise BenchmarkError(f"{str(path)!r}: there is no such file")
        try:
            with pa.memory_map(str(path)) as source:  # the batch keeps the mapping open
                reader = pa.ipc.open_file(source)
                about = json.loads((reader.schema.metadata or {}).get(_ABOUT, b"null"))
                if not isinstance(about, dict) or "repeats" not in about:
                    raise BenchmarkError(
                        f"{path} is no table of NAS-Bench-101 that `zc-search benchmark convert` "
                        "wrote"
                    )
                if about.pop("schema") != SCHEMA:
                    raise BenchmarkError(
                        f"{path} was converted by zc-search {about['zc_search']}, whose tables "
                        "differ; convert the benchmark's file again"
                    )
                self.about = About(**{**about, "budgets": tuple(about["budgets"])})
                self._batch = reader.get_batch(0)
                self._batch.validate()  # lengths only, as reading every figure would take long
                self._batch.column("spec").validate(full=True)  # Arrow trusts its offsets
            self._columns: dict[str, NDArray[Any]] = {}
            self._high: NDArray[np.uint64] = self.column("hash_high")
            self._low: NDArray[np.uint64] = self.column("hash_low")
            self.parameters: NDArray[np.int32] = self.column("parameters")
        except (pa.ArrowException, KeyError, TypeError, ValueError, OSError) as error:
            raise BenchmarkError(
                f"{path} is damaged or cut short ({type(error).__name__}: {error}); convert the "
                "benchmark's file again"
            ) from error

    def __len__(self) -> int:
        return len(self._high)

    def row(self, name: str) -> int | None:
        """Return the row of a cell by its hash; None where it is not there."""
        high, low = int(name[:16], 16), int(name[16:], 16)
        first = int(np.searchsorted(self._high, np.uint64(high)))
        for row in range(first, len(self)):
            if int(self._high[row]) != high:
                return None
            if int(self._low[row]) == low:
                return row
        return None

    def spec(self, row: int) -> ModelSpec:
        """Return the cell of a row, as the benchmark writes it."""
        return ModelSpec.from_string(str(self._batch.column("spec")[row].as_py()))

    def figure(self, epochs: int, repeat: int, name: str) -> Floats:
        """Return one of `FIGURES` of every cell; NaN where a cell has no such training."""
        return self.column(_name(epochs, repeat, name))

    def column(self, name: str) -> NDArray[Any]:
        """Return a column as it lies in the file."""
        if name not in self._columns:
            self._columns[name] = self._batch.column(name).to_numpy(zero_copy_only=True)
        return self._columns[name]


def convert_records(
    file: Path, out: Path | None = None, on_progress: OnProgress = lambda *_: None
) -> Conversion:
    """Convert ``nasbench_only108.tfrecord`` or ``nasbench_full.tfrecord``.

    Args:
        file: As its authors hand it out; every checksum in it is checked.
        out: The table, an ``.arrow`` file; by default beside `file`.
        on_progress: Told of bytes.

    Raises:
        BenchmarkError: It is not such a file, is cut short or damaged, or nothing can be written.
    """
    table = out or file.with_suffix(".arrow")
    if table.suffix != ".arrow":
        raise BenchmarkError(f"--to {str(table)!r}: the table's name must end in .arrow")
    if not file.is_file():
        raise BenchmarkError(f"{str(file)!r}: there is no such file")
    rows = _Rows()
    size = file.stat().st_size
    for training in read_trainings(file):
        try:
            rows.add(training)
        except (ArchitectureError, OverflowError) as error:
            raise BenchmarkError(f"{file}: cell {training.hash}: {error}") from error
        on_progress("converting", training.end, size)
    if not rows.numbers:
        raise BenchmarkError(f"{file} holds no training")
    published = _sha256(file, size, on_progress) == SHA256.get(file.name)
    with work_folder(table) as folder:
        rows.write(folder / table.name, file.name, published=published)
        (folder / table.name).replace(table)
    return Conversion(table, None, len(rows.numbers), len(rows.epochs), None)


class _Rows:
    """The rows of a table while the records are read."""

    def __init__(self) -> None:
        self.numbers: dict[bytes, int] = {}
        self.specs: list[str] = []
        self.parameters = array("i")
        self.cells, self.epochs = array("i"), array("h")
        self.figures = array("d")

    def add(self, training: Training) -> None:
        """Take in a training."""
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

    def write(self, path: Path, source: str, *, published: bool) -> None:
        """Write the cells, sorted by hash, as one batch, which can be mapped into memory."""
        import pyarrow as pa

        hashes = np.frombuffer(b"".join(self.numbers), ">u8").reshape(-1, 2)
        order = np.lexsort([hashes[:, 1], hashes[:, 0]])
        columns: dict[str, pa.Array] = {
            "hash_high": pa.array(hashes[order, 0].astype(np.uint64)),
            "hash_low": pa.array(hashes[order, 1].astype(np.uint64)),
            "spec": pa.array([self.specs[row] for row in order]),
            "parameters": pa.array(np.asarray(self.parameters)[order]),
        }
        repeats = self._repeats()
        columns |= {name: pa.array(v[order]) for name, v in self._figures(repeats).items()}
        budgets = tuple(sorted(set(self.epochs)))
        about = About(source, published, budgets, int(repeats.max()) + 1, version("zc-search"))
        said = {_ABOUT: json.dumps({"schema": SCHEMA, **about._asdict()}).encode()}
        schema = pa.schema([(n, c.type) for n, c in columns.items()], metadata=said)
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema) as writer:
            writer.write_batch(pa.RecordBatch.from_arrays([*columns.values()], schema=schema))
        with path.open("rb") as file:
            os.fsync(file.fileno())

    def _repeats(self) -> NDArray[np.int64]:
        """Return of each training how many of the same cell and budget came before it."""
        keys = np.asarray(self.cells, dtype=np.int64) << 16 | np.asarray(self.epochs)
        order = np.argsort(keys, kind="stable")
        _, firsts, counts = np.unique(keys[order], return_index=True, return_counts=True)
        repeats = np.empty_like(order)
        repeats[order] = np.arange(len(keys)) - np.repeat(firsts, counts)
        return repeats

    def _figures(self, repeats: NDArray[np.int64]) -> Mapping[str, Floats]:
        """Return a column each budget, repeat and figure, in single precision if that is exact."""
        cells, epochs = np.asarray(self.cells), np.asarray(self.epochs)
        figures = np.asarray(self.figures).reshape(-1, len(FIGURES))
        columns: dict[str, Floats] = {}
        for budget in np.unique(epochs):
            for repeat in range(int(repeats[epochs == budget].max()) + 1):
                rows = (epochs == budget) & (repeats == repeat)
                for at, name in enumerate(FIGURES):
                    column = np.full(len(self.specs), np.nan)
                    column[cells[rows]] = figures[rows, at]
                    single = column.astype(np.float32)
                    exact = np.array_equal(single, column, equal_nan=True)
                    columns[_name(int(budget), repeat, name)] = single if exact else column
        return columns


def _name(epochs: int, repeat: int, figure: str) -> str:
    return f"{epochs}.{repeat}.{figure}"


def _sha256(file: Path, size: int, on_progress: OnProgress) -> str:
    digest, done = hashlib.sha256(), 0
    with file.open("rb") as content:
        while chunk := content.read(_CHUNK):
            digest.update(chunk)
            done += len(chunk)
            on_progress("checking", done, size)
    return digest.hexdigest()
