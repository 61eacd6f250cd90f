"""Turn a benchmark file that takes minutes and gigabytes into one that opens at once.

One pass over the file; of each architecture only the numbers are kept, the curves are written as
they come. Both files get their names when everything has been read and checked, the table last, so
a table that is there is whole.
"""

from array import array
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from zc_search._utils.files import replacing, writing
from zc_search.benchmarks.catalogue import CURVES_ENDING, Source, source_of, table_name
from zc_search.benchmarks.files.archive import Archive, Entry
from zc_search.benchmarks.files.records import convert_records
from zc_search.benchmarks.files.stream import ForgottenError
from zc_search.benchmarks.files.table import About, about_metadata, installed_version, write_table
from zc_search.benchmarks.files.trials import CURVES, FIGURES, KEYS, ORDER, Trial, trials_of
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
    """Convert a benchmark's file; nothing in it is run.

    Args:
        file: As its authors hand it out, under their name.
        out: The table, an ``.arrow`` file; by default beside `file`, with the digits of its name.
            The curves lie beside the table.
        on_progress: Told of bytes, of a folder of files.

    Raises:
        BenchmarkError: It is not what its name says, its md5 differs, it is damaged, cannot be
            read or asks for more than data, or nothing can be written.
    """
    source = source_of(file)
    table = out or file.with_name(table_name(file.name))
    if table.suffix != ".arrow":
        raise BenchmarkError(
            f"--to {str(table)!r}: the table's name must end in .arrow", key="--to", given=table
        )
    with writing(str(table), BenchmarkError):
        table.parent.mkdir(parents=True, exist_ok=True)
        if source.space != "nasbench101":
            return _convert_archive(source, file, table, on_progress)
        with replacing(table) as part:
            architectures, trials = convert_records(file, part, on_progress)
        return Conversion(table, None, architectures, trials, None)


def _convert_archive(
    source: Source, file: Path, table: Path, on_progress: OnProgress
) -> Conversion:
    archive = Archive(file)
    md5 = archive.check_md5(lambda done: on_progress("checking", done, archive.size))
    curves = table.with_name(table.stem + CURVES_ENDING)
    about = About(file.name, source.title, installed_version(), md5, curves.name)
    with replacing(table) as part, replacing(curves) as curves_part:
        try:
            rows = _Rows(archive, about, curves_part, on_progress)
        except ForgottenError:  # all of it at once, then: more memory, the same result
            rows = _Rows(Archive(file, forget=False), about, curves_part, on_progress)
        rows.write_table(part)
    return Conversion(table, curves, rows.architectures, len(rows.keys["seed"]), md5)


class _Rows:
    """The rows of a table; the archive is read to its end, and the curves are written."""

    def __init__(
        self, archive: Archive, about: About, curves: Path, on_progress: OnProgress
    ) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        self.archive = archive
        self.about = about
        self.keys = {name: array("i") for name in KEYS}
        self.figures = array("d")
        self.architectures = 0
        self._pending: list[tuple[int, Trial]] = []
        self._strings: dict[int, str] = {}
        fields = [(name, getattr(pa, kind)()) for name, kind in KEYS.items()]
        fields += [(name, pa.list_(pa.float64())) for name in CURVES]
        schema = pa.schema(fields, metadata=about_metadata(about))
        with parquet.ParquetWriter(curves, schema, compression="zstd") as writer:
            for entry in archive.entries():
                self._add(entry)
                on_progress("converting", entry.done, archive.size)
                if len(self._pending) >= _TOGETHER:
                    self._write_curves(writer)
            self._write_curves(writer)
        if not self.architectures:
            raise BenchmarkError(f"{archive.path} has no results of any architecture")
        for index, text in self._strings.items():
            if archive.strings[index : index + 1] != [text]:
                raise BenchmarkError(f"{archive.path}: architecture {index} is not {text!r}")

    def _add(self, entry: Entry) -> None:
        self.architectures += 1
        which = f"{self.archive.path}: architecture {entry.architecture}"
        for budget, state in entry.results.items():
            text = state.get("arch_str") if isinstance(state, dict) else None
            if not isinstance(text, str):
                raise BenchmarkError(f"{which} has no text")
            self._strings.setdefault(entry.architecture, text)
            try:
                trials = list(trials_of(budget, state, self._strings[entry.architecture]))
            except BenchmarkError as error:
                raise BenchmarkError(f"{which}, {budget} epochs: {error}") from error
            for trial in trials:
                for name, value in zip(self.keys, (entry.architecture, *trial[:3]), strict=True):
                    self.keys[name].append(value)
                self.figures.extend(trial.figures)
                self._pending.append((entry.architecture, trial))

    def _write_curves(self, writer: "parquet.ParquetWriter") -> None:
        import pyarrow as pa

        if not self._pending:
            return
        trials = [trial for _, trial in self._pending]
        columns: list[Any] = [[index for index, _ in self._pending]]
        columns += [[trial[at] for trial in trials] for at in range(3)]
        columns += zip(*(trial.curves for trial in trials), strict=True)
        arrays = [pa.array(c, t) for c, t in zip(columns, writer.schema.types, strict=True)]
        writer.write_table(pa.Table.from_arrays(arrays, schema=writer.schema))
        self._pending = []

    def write_table(self, path: Path) -> None:
        """Write the rows, sorted by data set, budget, architecture and seed."""
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
        columns = {name: pa.array(keys[name][by], kind) for name, kind in KEYS.items()}
        columns |= {name: pa.array(figures[by, at]) for at, name in enumerate(FIGURES)}
        write_table(path, self.about, columns, {ORDER: np.asarray(order, "<i4").tobytes()})
