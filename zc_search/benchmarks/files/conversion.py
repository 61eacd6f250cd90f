"""Turn a benchmark file that takes minutes and gigabytes into one that opens at once.

One pass over the file; of each architecture only the numbers are kept, the curves are written as
they come. Both files get their names when everything has been read and checked, the table last, so
a table that is there is whole.
"""

from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zc_search._utils.files import replacing, writing
from zc_search.benchmarks.catalogue import CURVES_ENDING, Source, source_of, table_name
from zc_search.benchmarks.files.archive import Archive, Entry
from zc_search.benchmarks.files.records import convert_records
from zc_search.benchmarks.files.stream import ForgottenError
from zc_search.benchmarks.files.table import About, about_metadata, write_table
from zc_search.benchmarks.files.trials import CURVES, FIGURES, KEYS, ORDER, Trial, trials_of
from zc_search.benchmarks.transnas import TransNASBench, convert_tasks
from zc_search.errors import ArchitectureError, BenchmarkError
from zc_search.spaces import read_architecture

if TYPE_CHECKING:
    from pyarrow import parquet

_TOGETHER = 1000  # trainings in a piece of the file of curves: some 10 MB, read to get at one

OnProgress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


class Conversion(NamedTuple):
    """What a conversion wrote."""

    table: Path
    curves: Path | None  # learning curves; None for a benchmark without
    architectures: int  # that have results
    trials: int
    md5: str | None  # of the file; None where its name has no digits to compare it with


def convert(
    file: Path, out: Path | None = None, on_progress: OnProgress = lambda *_: None
) -> Conversion:
    """Convert a benchmark's file, under its authors' name; nothing in it is run.

    The table is an ``.arrow`` file, by default beside `file`; the curves lie beside the table.
    Progress is in bytes, of a folder in files.
    """
    source = source_of(file)
    table = out or file.with_name(table_name(file.name))
    if table.suffix != ".arrow":
        raise BenchmarkError(
            f"--to {str(table)!r}: the table's name must end in .arrow", key="--to", given=table
        )
    with writing(str(table), BenchmarkError):
        table.parent.mkdir(parents=True, exist_ok=True)
        if source.space not in ("nasbench101", TransNASBench.name):
            return _convert_archive(source, file, table, on_progress)
        with replacing(table) as part:
            if source.space == TransNASBench.name:
                about = About(file.name, source.title)
                architectures, trials = convert_tasks(file, part, about, on_progress)
            else:
                architectures, trials = convert_records(file, part, on_progress)
        return Conversion(table, None, architectures, trials, None)


def _convert_archive(
    source: Source, file: Path, table: Path, on_progress: OnProgress
) -> Conversion:
    archive = Archive(file)
    md5 = archive.check_md5(lambda done: on_progress("checking", done, archive.size))
    curves = table.with_name(table.stem + CURVES_ENDING)
    about = About(file.name, source.title, md5, curves.name)
    with replacing(table) as part, replacing(curves) as curves_part:
        try:
            rows = _read_rows(archive, about, curves_part, on_progress)
        except ForgottenError:  # all of it at once, then: more memory, the same result
            archive = Archive(file, forget=False)
            rows = _read_rows(archive, about, curves_part, on_progress)
        _write_rows(part, about, rows, _order(archive))
    return Conversion(table, curves, len(np.unique(rows[:, 0])), len(rows), md5)


def _read_rows(
    archive: Archive, about: About, curves: Path, on_progress: OnProgress
) -> NDArray[np.float64]:
    """Return `KEYS` and `FIGURES` of each training, a row each, and write the curves."""
    import pyarrow as pa
    from pyarrow import parquet

    fields = [(name, getattr(pa, kind)()) for name, kind in KEYS.items()]
    fields += [(name, pa.list_(pa.float64())) for name in CURVES]
    schema = pa.schema(fields, metadata=about_metadata(about))
    numbers = array("d")
    texts: dict[int, object] = {}
    pending: list[tuple[Any, ...]] = []
    with parquet.ParquetWriter(curves, schema, compression="zstd") as writer:
        for entry in archive.entries():
            for trial in _trials(archive.path, entry, texts):
                keys = entry.architecture, *trial[:3]
                numbers.extend((*keys, *trial.figures))
                pending.append((*keys, *trial.curves))
            if len(pending) >= _TOGETHER:
                _write_curves(writer, pending)
            on_progress("converting", entry.done, archive.size)
        _write_curves(writer, pending)
    if not numbers:
        raise BenchmarkError(f"{archive.path} has no results of any architecture")
    for index, text in texts.items():
        if archive.strings[index : index + 1] != [text]:
            raise BenchmarkError(f"{archive.path}: architecture {index} is not {text!r}")
    return np.asarray(numbers).reshape(-1, len(KEYS) + len(FIGURES))


def _trials(path: Path, entry: Entry, texts: dict[int, object]) -> Iterator[Trial]:
    """Yield the trainings of an architecture, and note its text."""
    for budget, state in entry.results.items():
        try:
            text = texts.setdefault(entry.architecture, state["arch_str"])
            yield from trials_of(budget, state, text)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            why = str(error)[:200]
            if not isinstance(error, BenchmarkError):
                why = f"not as the benchmark writes them ({type(error).__name__}: {why})"
            raise BenchmarkError(
                f"{path}: architecture {entry.architecture}, {budget} epochs: {why}"
            ) from error


def _write_curves(writer: "parquet.ParquetWriter", pending: list[tuple[Any, ...]]) -> None:
    import pyarrow as pa

    types = writer.schema.types
    columns = [pa.array(c, t) for c, t in zip(zip(*pending, strict=True), types, strict=False)]
    if pending:
        writer.write_table(pa.Table.from_arrays(columns, schema=writer.schema))
    pending.clear()


def _order(archive: Archive) -> NDArray[np.int32]:
    """Return `Architecture.index` of each architecture of a file."""
    try:
        order = [read_architecture(text).index for text in archive.strings]
    except ArchitectureError as error:
        raise BenchmarkError(f"{archive.path}: meta_archs: {error}") from error
    if len(set(order)) < len(order):
        raise BenchmarkError(f"{archive.path}: meta_archs lists an architecture twice")
    return np.asarray(order, "<i4")


def _write_rows(
    path: Path, about: About, rows: NDArray[np.float64], order: NDArray[np.int32]
) -> None:
    import pyarrow as pa

    columns = dict(zip((*KEYS, *FIGURES), rows.T, strict=True))
    by = np.lexsort([columns[name] for name in ("seed", "architecture", "epochs", "dataset")])
    arrays = {n: pa.array(c[by].astype(KEYS.get(n, "float64"))) for n, c in columns.items()}
    write_table(path, about, arrays, {ORDER: order.tobytes()})
