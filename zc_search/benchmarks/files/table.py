"""The converted form of a benchmark's file: an Arrow file of one batch, mapped into memory.

It carries what it was made of (`About`) and a digest of its figures.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zc_search._utils.text import VERSION
from zc_search.errors import BenchmarkError

if TYPE_CHECKING:
    import pyarrow as pa

ABOUT = b"zc_search"
SCHEMA = 2

OnProgress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


class Conversion(NamedTuple):
    """What a conversion wrote."""

    table: Path
    curves: Path | None  # learning curves; None for a benchmark without
    architectures: int  # that have results
    trials: int
    md5: str | None = None  # of the file; None where its name has no digits to compare it with


class About(NamedTuple):
    """Where a table's figures come from."""

    source: str  # name of the file that was converted
    title: str = "NAS-Bench-101"
    md5: str | None = None  # None for a folder, or where the file's name has no digits
    curves: str = ""  # name of the file of curves beside the table
    published: bool | None = None  # whether the checksum is the one that the authors publish
    budgets: tuple[int, ...] = ()  # epochs of the trainings, where the rows do not say so
    repeats: int = 0  # most trainings of one cell with one budget, where the rows do not say so
    digest: str = ""  # SHA-256 of the figures
    zc_search: str = "unknown"  # version that converted it


class ConvertedTable:
    """A converted benchmark, opened: a table with some columns of numbers."""

    def __init__(self, path: Path, numbers: Iterable[str]) -> None:
        import pyarrow as pa

        self.path = path
        if not path.is_file():
            raise BenchmarkError(f"{str(path)!r}: there is no such file", given=str(path))
        try:
            with pa.memory_map(str(path)) as source:  # the batch keeps the mapping open
                reader = pa.ipc.open_file(source)
                self.metadata: Mapping[bytes, bytes] = reader.schema.metadata or {}
                self.about = self._about()
                self._batch = reader.get_batch(0)
                self._batch.validate()  # lengths only, as reading every figure would take long
            self._columns = {name: self._numbers(name) for name in numbers}
            self._check()
        except BenchmarkError:
            raise
        except PermissionError as error:
            raise BenchmarkError(f"{path} cannot be read: {error.strerror}") from error
        except (pa.ArrowException, LookupError, TypeError, ValueError, OSError) as error:
            raise BenchmarkError(
                f"{path} is damaged or cut short ({type(error).__name__}: {error}); convert the "
                "benchmark's file again"
            ) from error

    @property
    def fingerprint(self) -> str:
        """Short text that differs for tables of other figures."""
        return f"{self.about.source} {self.about.digest[:12]}"

    @property
    def names(self) -> list[str]:
        """The names of its columns."""
        return list(self._batch.schema.names)

    def column(self, name: str) -> NDArray[Any]:
        """Return a column of numbers as it lies in the file; of rows of numbers, one by one."""
        if name not in self._columns:
            self._columns[name] = self._numbers(name)
        return self._columns[name]

    def _check(self) -> None:
        """Raise ValueError where the rows are not as they should be."""

    def _numbers(self, name: str) -> NDArray[Any]:
        # pyarrow's own to_numpy imports pandas, which takes longer than all the rest
        column = self._batch.column(name)
        column = getattr(column, "values", column)  # of lists of one length each
        kind = {"double": "float64", "float": "float32"}.get(str(column.type), str(column.type))
        return np.frombuffer(column.buffers()[1], kind, len(column))

    def _about(self) -> About:
        if ABOUT not in self.metadata:
            message = "is no table that `zc-search benchmark convert` wrote"
            raise BenchmarkError(f"{self.path} {message}")
        about = json.loads(self.metadata[ABOUT])
        if about.pop("schema") != SCHEMA:
            raise BenchmarkError(
                f"{self.path} was converted by zc-search {about['zc_search']}, whose tables "
                f"differ; convert it again: zc-search benchmark convert {about['source']}"
            )
        return About(**about | {"budgets": tuple(about["budgets"])})


def source_name(table: Path) -> str | None:
    """Return the name of the file that a table was made of, None where it does not say."""
    import pyarrow as pa

    try:
        with pa.memory_map(str(table)) as file:
            return str(json.loads(pa.ipc.open_file(file).schema.metadata[ABOUT])["source"])
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError):
        return None


def write_table(
    path: Path,
    about: About,
    columns: "Mapping[str, pa.Array]",
    metadata: Mapping[bytes, bytes] | None = None,
) -> None:
    """Write columns as one batch, which can be mapped into memory."""
    import pyarrow as pa

    metadata = dict(metadata or {})
    digest = hashlib.sha256(b"".join(metadata.values()))
    for column in columns.values():
        for buffer in column.buffers():
            digest.update(buffer or b"")
    schema = pa.schema(
        [(name, column.type) for name, column in columns.items()],
        metadata=metadata | about_metadata(about._replace(digest=digest.hexdigest())),
    )
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays([*columns.values()], schema=schema))


def about_metadata(about: About) -> dict[bytes, bytes]:
    """Return what a file of Arrow's says of itself."""
    about = about._replace(zc_search=VERSION)
    return {ABOUT: json.dumps({"schema": SCHEMA, **about._asdict()}).encode()}
