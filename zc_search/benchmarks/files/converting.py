"""Turn a benchmark file that takes minutes and gigabytes into one that opens at once.

One pass over the file; of each architecture only the numbers are kept, the curves are written as
they come. Both files get their names when everything has been read and checked, the table last, so
a table that is there is whole.
"""

import glob
import os
import shutil
import tempfile
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from filelock import FileLock

from zc_search._utils.pickles.memo import ForgottenError
from zc_search.benchmarks.files.archive import Archive, Entry
from zc_search.benchmarks.files.columnar import KEYS, About, curves_schema, table_schema
from zc_search.benchmarks.registry import CURVES_ENDING, source_of
from zc_search.benchmarks.trials import FIGURES, Trial, trials_of
from zc_search.errors import ArchitectureError, BenchmarkError
from zc_search.spaces import read_architecture

if TYPE_CHECKING:
    from pyarrow import parquet

_TOGETHER = 1000  # trainings in a piece of the file of curves: some 10 MB, read to get at one

_WORK = ".zc-search-convert-"  # begins the name of a work folder, so that no other is taken for one
_LOCK = "lock"  # in the work folder, held by the process that works there

OnProgress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


class Conversion(NamedTuple):
    """What a conversion wrote.

    Attributes:
        table: The table of trainings.
        curves: The file of curves; None for a benchmark without.
        architectures: How many have results.
        trials: Trainings.
        md5: Of the file, None where its name has no digits to compare it with.
    """

    table: Path
    curves: Path | None
    architectures: int
    trials: int
    md5: str | None


def convert_archive(
    file: Path, out: Path | None = None, on_progress: OnProgress = lambda *_: None
) -> Conversion:
    """Convert a file of NAS-Bench-201 or of NATS-Bench.

    Args:
        file: As its authors hand it out, under their name.
        out: The table, an ``.arrow`` file; by default beside `file`. The curves lie beside it.
        on_progress: Told of bytes, of a folder of files.

    Raises:
        BenchmarkError: It is not what its name says, its md5 differs, or nothing can be written.
        DataError: It is damaged, or asks for more than data.
    """
    source = source_of(file)
    archive = Archive(file)
    table = out or file.with_name(source.table)
    if table.suffix != ".arrow":
        raise BenchmarkError(f"--to {str(table)!r}: the table's name must end in .arrow")
    md5 = archive.check_md5(lambda done: on_progress("checking", done, archive.size))
    curves = table.with_name(table.stem + CURVES_ENDING)
    about = About(source.title, file.name, md5, curves.name, _version())
    with work_folder(table) as folder:
        try:
            rows = _Rows(archive, about, folder / curves.name)
            rows.read(on_progress)
        except ForgottenError:  # all of it at once, then: more memory, the same result
            archive = Archive(file, forget=False)
            rows = _Rows(archive, about, folder / curves.name)
            rows.read(on_progress)
        rows.write_table(folder / table.name)
        (folder / curves.name).replace(curves)
        (folder / table.name).replace(table)
    return Conversion(table, curves, rows.architectures, len(rows.keys["seed"]), md5)


class _Rows:
    """The rows of a table while it is being read."""

    def __init__(self, archive: Archive, about: About, curves: Path) -> None:
        self.archive = archive
        self.about = about
        self.curves = curves
        self.keys = {name: array("i") for name, _ in KEYS}
        self.figures = array("d")
        self.architectures = 0
        self._pending: list[tuple[int, Trial]] = []
        self._strings: dict[int, str] = {}

    def read(self, on_progress: OnProgress) -> None:
        """Read the archive to its end, writing the curves."""
        from pyarrow import parquet

        schema = curves_schema(self.about)
        with parquet.ParquetWriter(self.curves, schema, compression="zstd") as writer:
            for entry in self.archive.entries():
                self._add(entry)
                on_progress("converting", entry.done, self.archive.size)
                if len(self._pending) >= _TOGETHER:
                    self._write_curves(writer)
            self._write_curves(writer)
        if not self.architectures:
            raise BenchmarkError(f"{self.archive.path} has no results of any architecture")
        for index, text in self._strings.items():
            if self.archive.strings[index : index + 1] != [text]:
                raise BenchmarkError(f"{self.archive.path}: architecture {index} is not {text!r}")

    def _add(self, entry: Entry) -> None:
        self.architectures += 1
        for budget, state in entry.results.items():
            text = state.get("arch_str") if isinstance(state, dict) else None
            if not isinstance(text, str):
                raise BenchmarkError(
                    f"{self.archive.path}: architecture {entry.architecture} has no text"
                )
            self._strings.setdefault(entry.architecture, text)
            try:
                trials = list(trials_of(budget, state, self._strings[entry.architecture]))
            except BenchmarkError as error:
                raise BenchmarkError(
                    f"{self.archive.path}: architecture {entry.architecture}, "
                    f"{budget} epochs: {error}"
                ) from error
            for trial in trials:
                for name, value in zip(self.keys, (entry.architecture, *trial[:3]), strict=True):
                    self.keys[name].append(value)
                self.figures.extend(trial.figures)
                self._pending.append((entry.architecture, trial))

    def _write_curves(self, writer: "parquet.ParquetWriter") -> None:
        import pyarrow as pa

        columns: list[Sequence[Any]] = [[index for index, _ in self._pending]]
        trials = [trial for _, trial in self._pending]
        columns += [[trial[at] for trial in trials] for at in range(3)]
        columns += list(zip(*(trial.curves for trial in trials), strict=True))
        self._pending = []
        if trials:
            schema = writer.schema
            arrays = [pa.array(c, schema.types[i]) for i, c in enumerate(columns)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))

    def write_table(self, path: Path) -> None:
        """Sort the rows and write them as one batch, which can be mapped into memory."""
        import pyarrow as pa

        try:
            order = [read_architecture(text).index for text in self.archive.strings]
        except ArchitectureError as error:
            raise BenchmarkError(f"{self.archive.path}: meta_archs: {error}") from error
        if len(set(order)) < len(order):
            raise BenchmarkError(f"{self.archive.path}: meta_archs lists an architecture twice")
        keys = {name: np.asarray(values) for name, values in self.keys.items()}
        figures = np.asarray(self.figures).reshape(-1, len(FIGURES))
        by = np.lexsort([keys[n] for n in ("seed", "architecture", "epochs", "dataset")])
        schema = table_schema(self.about, order)
        arrays = [pa.array(keys[name][by], schema.field(name).type) for name, _ in KEYS]
        arrays += [pa.array(figures[by, at]) for at in range(len(FIGURES))]
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema) as writer:
            writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
        with path.open("rb") as file:
            os.fsync(file.fileno())


@contextmanager
def work_folder(table: Path) -> Iterator[Path]:
    """Yield a folder beside the table for what is not whole yet; it is gone afterwards.

    A process that was killed could not remove its own: that is done here, by the next one.
    """
    prefix = f"{_WORK}{table.stem}."
    try:
        table.parent.mkdir(parents=True, exist_ok=True)
        for left in table.parent.glob(f"{glob.escape(prefix)}*"):
            _remove_left(left)
        folder = Path(tempfile.mkdtemp(dir=table.parent, prefix=prefix))
    except OSError as error:
        raise BenchmarkError(f"cannot write to {table.parent}: {error.strerror}") from error
    try:
        with FileLock(folder / _LOCK):
            yield folder
    except OSError as error:
        raise BenchmarkError(f"cannot write {table}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_left(folder: Path) -> None:
    """Remove a work folder whose process is gone."""
    lock = folder / _LOCK
    with suppress(OSError):  # in use, or another user's: let it be
        if lock.is_file() and not folder.is_symlink():
            with FileLock(lock, timeout=0):
                shutil.rmtree(folder, ignore_errors=True)


def _version() -> str:
    try:
        return version("zc-search")
    except PackageNotFoundError:
        return "unknown"
