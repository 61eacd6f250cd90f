"""The tabular benchmarks: which a user's file can bring, where files are looked for, one opened.

Looked for in ``$ZC_SEARCH_THIRD_PARTY`` alone where that is set; else in the user's data folder and
then in ``third_party`` of the current one. The first folder that has a table of a space supplies
it; in a folder the first of `SOURCES`. `Benchmark.provenance` and `fingerprint` say which.
"""

import os
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from platformdirs import user_data_path

from zc_search._utils.plugins import is_plugin
from zc_search.benchmarks.accuracy_table import KEY, AccuracyTable
from zc_search.benchmarks.base import Benchmark
from zc_search.benchmarks.converted import SizeBenchmark, TrialBenchmark
from zc_search.benchmarks.files.table import source_name
from zc_search.benchmarks.nasbench101 import NASBench101
from zc_search.benchmarks.packaged import AnalogNASBench, PackagedNASBench201
from zc_search.benchmarks.transnas import TransNASBench
from zc_search.config.metrics import TABLE_FILES
from zc_search.errors import BenchmarkError
from zc_search.spaces import AnySpace

if TYPE_CHECKING:  # which needs pydantic, and a look-up none
    from zc_search.config import Config


class BenchmarkFile(NamedTuple):
    """A file as its authors hand it out, or the folder that an archive unpacks to."""

    name: str
    size: str
    checksum: str


class Source(NamedTuple):
    """A benchmark that a user's file brings: an entry of ``catalogue.toml``."""

    name: str
    title: str
    space: str
    stem: str
    knows: str
    origin: str
    files: tuple[BenchmarkFile, ...]
    datasets: tuple[str, ...] = ("cifar10", "cifar10-valid", "cifar100", "ImageNet16-120")
    format: str = "archive"

    @property
    def table(self) -> str:
        """Name of its converted file."""
        return table_name(self.files[0].name)

    def converted(self, folder: Path) -> Path | None:
        """Return where in a folder its converted table lies, or None."""
        if not is_there(folder):
            return None
        tables = (folder / self.table, *sorted(folder.glob(f"{self.stem}*.arrow")))
        return next(filter(Path.is_file, tables), None)

    @property
    def here(self) -> Path | None:
        """Where its converted table lies, or None."""
        return next(filter(None, map(self.converted, folders())), None)

    @property
    def original(self) -> Path | None:
        """Where one of its files lies, or None; converted it may be gone."""
        places = (folder / file.name for folder in folders() for file in self.files)
        return next(filter(is_there, places), None)

    @property
    def next_step(self) -> str:
        """What a user has to do to have it, as a sentence without a full stop."""
        if (original := self.original) is not None:
            return f"zc-search benchmark convert {original}"
        file, folder = self.files[0], folders()[-1]
        return (
            f"put {file.name} ({file.size}, {file.checksum}; from {self.origin}) into {folder}, "
            f"then zc-search benchmark convert {folder / file.name}"
        )


_LISTED = tomllib.loads(files(__package__).joinpath("catalogue.toml").read_text(encoding="utf-8"))
SOURCES: Mapping[str, Source] = {
    name: Source(name, **entry | {"files": tuple(BenchmarkFile(**f) for f in entry["files"])})
    for name, entry in _LISTED.items()
}
"""Every benchmark that needs a user's file, best first where several know the same space."""

READERS = {k.name: k for k in (TrialBenchmark, SizeBenchmark, NASBench101, TransNASBench)}
"""By search space what reads a converted table of it."""


def folders() -> tuple[Path, ...]:
    """Return where benchmark files are looked for, in this order; new ones go into the last."""
    if chosen := os.environ.get("ZC_SEARCH_THIRD_PARTY"):
        return (Path(chosen).expanduser(),)
    return user_data_path("zc-search"), Path("third_party")


def sources(name: str) -> list[Source]:
    """Return the benchmarks of that name, or of that search space."""
    return [source for source in SOURCES.values() if name in (source.name, source.space)]


def source_of(path: Path) -> Source:
    """Return which benchmark a file or folder is of: by its name, a table by what it says."""
    if not is_there(path):
        raise BenchmarkError(f"{str(path)!r}: there is no such file or folder")
    name = (path.suffix == ".arrow" and source_name(path)) or path.name
    for source in SOURCES.values():
        if name.startswith(source.stem):
            return source
    raise BenchmarkError(
        f"{str(path)!r}: this is not the name of a benchmark file that zc-search reads; keep the "
        f"name that its authors gave it. Allowed: {_known()}"
    )


def _known() -> str:
    return ", ".join(file.name for source in SOURCES.values() for file in source.files)


def file_to_convert() -> Path:
    """Return the first benchmark file at hand that has not been converted yet."""
    for source in SOURCES.values():
        if source.original is not None and source.here is None:
            return source.original
    raise BenchmarkError(
        f"no benchmark file to convert in {folders()[-1]}; name one, or put one there: {_known()}"
    )


def table_name(file: str) -> str:
    """Return what the table of a file is called, so that two files never share one.

    >>> table_name("NATS-tss-v1_0-3ffb9-simple"), table_name("nasbench_full.tfrecord")
    ('NATS-tss-v1_0-3ffb9.arrow', 'nasbench_full.arrow')
    """
    return f"{file.partition('.')[0].removesuffix('-simple')}.arrow"


def is_there(path: Path) -> bool:
    """Return whether there is such a file or folder, or say that a folder above it is closed."""
    try:
        return path.exists()
    except OSError as error:
        raise BenchmarkError(
            f"{str(path)!r} cannot be read: {error.strerror}; choose another path or permit it"
        ) from error


def open_benchmark(
    name: str = "nasbench201",
    dataset: str = "cifar10",
    path: str | Path | None = None,
    epochs: int | None = None,
) -> Benchmark:
    """Open a tabular benchmark.

    Without a path a converted table is taken if there is one (see `folders`), else the packaged
    one; `Benchmark.provenance` says which.

    >>> benchmark = open_benchmark()
    >>> architecture, accuracy = benchmark.best("val_accuracy")
    >>> f"{accuracy:.3f} %"
    '91.607 %'

    Args:
        name: A search space's name, one of `SOURCES`, ``analog`` (see `AnalogNASBench`), or a table
            of one's own, an `AccuracyTable`: its name ends in ``.csv`` or ``.parquet``, and
            `dataset` is what to call its images.
        dataset: ``cifar10``, ``cifar10-valid``, ``cifar100`` or ``ImageNet16-120``; of
            ``transnas_micro`` one of its seven tasks, such as ``class_scene``.
        path: What `zc-search benchmark convert` wrote, or the file it was made from if that lies
            beside it.
        epochs: Length of the trainings that are looked up where none is named, by default the
            longest; with a `BudgetWarning` that too where there are none of this length.

    Raises:
        BenchmarkError: An unknown name or data set, or a table that is missing or damaged.
    """
    if name.endswith(TABLE_FILES):
        return AccuracyTable.read(name, dataset=dataset)
    if name == "train" or is_plugin(name):
        hint = "name a table, such as the accuracies.csv in a run's folder"
        message = f"{KEY}: {name!r} answers while a search runs, and is no table; {hint}"
        raise BenchmarkError(message, key=KEY, given=name, hint=hint)
    known = dict.fromkeys([*READERS, *SOURCES, AnalogNASBench.name])
    if name not in known:
        raise BenchmarkError.unknown("benchmark", name, known)
    if path is not None:
        found = [_at(Path(path), name)]
    else:  # folder by folder
        places = [(source, folder) for folder in folders() for source in sources(name)]
        found = [(s, table) for s, folder in places if (table := s.converted(folder))]
    if found:
        source, table = found[0]
        benchmark: Benchmark = READERS[source.space](table, dataset)
    elif name in (kinds := {k.name: k for k in (AnalogNASBench, PackagedNASBench201)}):
        benchmark = kinds[name](dataset)
    else:
        steps = " or ".join(source.next_step for source in sources(name))
        raise BenchmarkError(f"benchmark {name!r} is not here: {steps}", given=name, hint=steps)
    return benchmark if epochs is None else benchmark.of_epochs(epochs)


def _at(path: Path, name: str) -> tuple[Source, Path]:
    """Return the benchmark and the table that a path means."""
    source = source_of(path)
    if name not in (source.name, source.space):
        message = f"path={str(path)!r} holds {source.title}, which is no benchmark of {name!r}"
        raise BenchmarkError(message, given=name, allowed=(source.space, source.name))
    table = path if path.suffix == ".arrow" else path.with_name(table_name(path.name))
    if not table.is_file():
        hint = f"zc-search benchmark convert {path}"
        raise BenchmarkError(f"path={str(path)!r}: convert it first, once: {hint}", hint=hint)
    return source, table


def open_table(config: "Config", dataset: str, space: AnySpace | None = None) -> Benchmark:
    """Open the table that settings name, on a data set, which must have what they ask of it."""
    chosen = config.benchmark
    if chosen.is_file:
        own: dict[str, Any] = {"space": space, "directions": chosen.directions}
        return AccuracyTable.read(chosen.name, dataset=dataset, **own)
    if chosen.name == TransNASBench.name:
        dataset = chosen.task or TransNASBench.datasets[0]
    return open_benchmark(chosen.name, dataset, chosen.path, chosen.epochs)
