"""The converted form of a benchmark of trained cells: a table of trainings, a file of curves.

The table is an Arrow file that is mapped into memory, one row a training, sorted by data set,
budget, architecture and seed. The curves are a Parquet file beside it, read when asked for. Both
carry what they were made of; a table alone is complete but for the curves.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zc_search.benchmarks.registry import ABOUT
from zc_search.benchmarks.trials import CURVES, DATASETS, FIGURES
from zc_search.errors import BenchmarkError

if TYPE_CHECKING:
    import pyarrow as pa

SCHEMA = 1
"""Of both files: raise it with every change of their columns."""

KEYS = (("architecture", "int32"), ("dataset", "int8"), ("epochs", "int16"), ("seed", "int32"))
"""What a row is found by; the architecture is a number in the benchmark's own order."""

FIELDS = (*KEYS, *((name, "float64") for name in FIGURES))
"""All columns of the table, with their types."""

_ORDER = b"architectures"


class About(NamedTuple):
    """Where a table's figures come from.

    Attributes:
        title: Of the benchmark.
        source: Name of the file that was converted.
        md5: Of that file, or None for a folder or a file whose name has no digits.
        curves: Name of the file of curves.
        zc_search: Version of zc-search that converted it.
    """

    title: str
    source: str
    md5: str | None
    curves: str
    zc_search: str


class TrialTable:
    """A converted benchmark, opened.

    Args:
        path: The Arrow file.

    Attributes:
        about: Where the figures come from.
        order: `Architecture.index` of each architecture, in the benchmark's own order.

    Raises:
        BenchmarkError: There is no such file, or it is none that zc-search converted.
    """

    def __init__(self, path: Path) -> None:
        import pyarrow as pa

        self.path = path
        if not path.is_file():
            raise BenchmarkError(f"{str(path)!r}: there is no such file")
        try:
            with pa.memory_map(str(path)) as source:  # the batch keeps the mapping open
                reader = pa.ipc.open_file(source)
                metadata: Mapping[bytes, bytes] = reader.schema.metadata or {}
                self.about = _about(path, metadata)
                batch = reader.get_batch(0)
                self.order = np.frombuffer(metadata[_ORDER], "<i4").astype(np.int64)
                # pyarrow's own to_numpy imports pandas, which takes longer than all the rest
                self._columns = {
                    name: np.frombuffer(batch.column(name).buffers()[1], kind, batch.num_rows)
                    for name, kind in FIELDS
                }
                self._groups = self._find_groups()
        except BenchmarkError:
            raise
        except Exception as error:  # of an altered file Arrow and JSON raise what they come upon
            raise BenchmarkError(
                f"{path} is damaged or cut short ({type(error).__name__}: {error}); convert the "
                "benchmark's file again"
            ) from error

    @property
    def fingerprint(self) -> str:
        """What the table was made of, and its length, as some digits."""
        return fingerprint(self.about.source, self.about.md5, self.path)

    def budgets(self, dataset: str) -> tuple[int, ...]:
        """Return the lengths of the trainings on a data set, ascending."""
        return tuple(epochs for name, epochs in self._groups if name == dataset)

    def group(self, dataset: str, epochs: int) -> "Group":
        """Return the trainings on a data set with a budget.

        Raises:
            BenchmarkError: There are none; what there is.
        """
        try:
            rows = self._groups[dataset, epochs]
        except KeyError:
            held = ", ".join(f"{name} {budget}" for name, budget in self._groups)
            raise BenchmarkError(
                f"{self.about.source} has no trainings on {dataset} of {epochs} epochs; it has "
                f"(data set and epochs): {held}"
            ) from None
        columns = {name: column[rows] for name, column in self._columns.items()}
        return Group(columns, len(self.order))

    def curves(self, architecture: int) -> "pa.Table":
        """Return the curves of an architecture's trainings, a row each, in no order.

        Raises:
            BenchmarkError: The file of curves is missing, damaged or another table's.
        """
        import pyarrow as pa
        from pyarrow import parquet

        path = self.path.with_name(self.about.curves)
        if not path.is_file():
            raise BenchmarkError(
                f"learning curves are in {path}, which is not there; convert {self.about.source} "
                "again or put it beside the table"
            )
        try:
            metadata = parquet.read_metadata(path).metadata or {}
            if json.loads(metadata[ABOUT])["md5"] != self.about.md5:
                raise BenchmarkError(f"{path} has the curves of another file than {self.path}")
            return parquet.read_table(path, filters=[("architecture", "=", architecture)])
        except (pa.ArrowException, KeyError, ValueError, OSError) as error:
            raise BenchmarkError(f"{path} is damaged or cut short ({error})") from error

    def _find_groups(self) -> dict[tuple[str, int], slice]:
        """Return the rows of each data set and budget."""
        datasets = self._columns["dataset"].astype(np.int64)
        keys = datasets * 10_000 + self._columns["epochs"]
        if (np.diff(keys) < 0).any() or not np.isin(datasets, range(len(DATASETS))).all():
            raise ValueError("its rows are of unknown data sets, or not sorted by them")
        found, starts = np.unique(keys, return_index=True)
        ends = [*starts[1:], len(keys)]
        return {
            (DATASETS[key // 10_000], int(key % 10_000)): slice(int(start), int(end))
            for key, start, end in zip(found, starts, ends, strict=True)
        }


class Group:
    """The trainings on one data set with one budget, found by architecture.

    Attributes:
        seeds: Training seed of each row, as the benchmark names it.
        starts: First row of each architecture, (architectures + 1,); it has those up to the next.
        keys: Of architecture and seed, one a row, ascending.
    """

    def __init__(self, columns: Mapping[str, NDArray[Any]], architectures: int) -> None:
        self._columns = columns
        self.seeds: NDArray[np.int32] = columns["seed"]
        self.keys = columns["architecture"].astype(np.int64) * 2**32 + columns["seed"]
        self._starts = np.searchsorted(columns["architecture"], np.arange(architectures + 1))
        self.starts: list[int] = self._starts.tolist()
        self._means: dict[str, NDArray[np.float64]] = {}

    def rows(self, figure: str) -> NDArray[np.float64]:
        """Return a figure of every training, sorted by architecture and seed."""
        return self._columns[figure]

    def mean(self, figure: str) -> NDArray[np.float64]:
        """Return a figure's mean over the seeds, of every architecture; NaN where not known."""
        if figure not in self._means:
            counts = np.diff(self._starts)
            sums = np.zeros(len(counts))
            trained = counts > 0
            if trained.any():
                sums[trained] = np.add.reduceat(self.rows(figure), self._starts[:-1][trained])
            with np.errstate(invalid="ignore"):
                self._means[figure] = sums / np.where(trained, counts, np.nan)
            self._means[figure].flags.writeable = False
        return self._means[figure]


def fingerprint(source: str, checksum: object, path: Path) -> str:
    """Return a short text that differs for tables of other files and of other rows."""
    made_of = json.dumps([source, checksum, path.stat().st_size])
    return f"{source} {hashlib.sha256(made_of.encode()).hexdigest()[:12]}"


def table_schema(about: About, order: Sequence[int]) -> "pa.Schema":
    """Return the schema of the table of trainings."""
    import pyarrow as pa

    metadata = _metadata(about) | {_ORDER: np.asarray(order, "<i4").tobytes()}
    return pa.schema([(name, _type(kind)) for name, kind in FIELDS], metadata=metadata)


def curves_schema(about: About) -> "pa.Schema":
    """Return the schema of the file of curves."""
    import pyarrow as pa

    fields: list[tuple[str, Any]] = [(name, _type(kind)) for name, kind in KEYS]
    fields += [(name, pa.list_(pa.float64())) for name in CURVES]
    return pa.schema(fields, metadata=_metadata(about))


def _about(path: Path, metadata: Mapping[bytes, bytes]) -> About:
    if ABOUT not in metadata:
        raise BenchmarkError(f"{path} is no table that `zc-search benchmark convert` wrote")
    about = json.loads(metadata[ABOUT])
    if about.pop("schema") != SCHEMA:
        raise BenchmarkError(
            f"{path} was converted by zc-search {about['zc_search']}, whose tables differ; convert "
            "the benchmark's file again"
        )
    return About(**about)


def _metadata(about: About) -> dict[bytes, bytes]:
    return {ABOUT: json.dumps({"schema": SCHEMA, **about._asdict()}).encode()}


def _type(name: str) -> Any:
    import pyarrow as pa

    return getattr(pa, name)()
