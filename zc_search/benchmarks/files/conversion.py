"""Turn a benchmark file that takes minutes and gigabytes into one that opens at once."""

from pathlib import Path

from zc_search._utils.files import writing
from zc_search.benchmarks.catalogue import source_of, table_name
from zc_search.benchmarks.files.archive import convert_archive
from zc_search.benchmarks.files.records import convert_records
from zc_search.benchmarks.files.table import Conversion, OnProgress
from zc_search.benchmarks.transnas import convert_tasks
from zc_search.errors import BenchmarkError

CONVERTERS = {"archive": convert_archive, "records": convert_records, "tasks": convert_tasks}
"""By ``format`` in ``catalogue.toml``: called with title, file, table and `OnProgress`."""


def convert(
    file: Path, out: Path | None = None, on_progress: OnProgress = lambda *_: None
) -> Conversion:
    """Convert a benchmark's file, under its authors' name; nothing in it is run.

    The table is an ``.arrow`` file, by default beside `file`; the curves lie beside the table. Both
    get their names when everything has been read and checked, so a table that is there is whole.
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
        return CONVERTERS[source.format](source.title, file, table, on_progress)
