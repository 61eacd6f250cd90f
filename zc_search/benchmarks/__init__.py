"""Tabular benchmarks: look up what training an architecture gave. No torch."""

from pathlib import Path

from zc_search.benchmarks.base import Benchmark, Result
from zc_search.benchmarks.catalogue import (
    SOURCES,
    Source,
    find_table,
    is_there,
    source_of,
    sources,
    table_name,
)
from zc_search.benchmarks.converted import SizeBenchmark, TrialBenchmark
from zc_search.benchmarks.nasbench101 import NASBench101
from zc_search.benchmarks.packaged import PackagedNASBench201
from zc_search.errors import BenchmarkError

__all__ = [
    "SOURCES",
    "Benchmark",
    "NASBench101",
    "PackagedNASBench201",
    "Result",
    "SizeBenchmark",
    "TrialBenchmark",
    "open_benchmark",
]

_CONVERTED = {kind.name: kind for kind in (TrialBenchmark, SizeBenchmark, NASBench101)}


def open_benchmark(
    name: str = "nasbench201", dataset: str = "cifar10", path: str | Path | None = None
) -> Benchmark:
    """Open a tabular benchmark.

    Without a path a converted table is taken if there is one (in ``$ZC_SEARCH_THIRD_PARTY``, or in
    the user's data folder, else in ``third_party``; of `SOURCES` the first), else the packaged one;
    `Benchmark.provenance` says which. The first call reads the packaged table, which takes a tenth
    of a second; the next ones find it in memory.

    >>> benchmark = open_benchmark()
    >>> architecture, accuracy = benchmark.best("val_accuracy")
    >>> f"{accuracy:.3f} %"
    '91.607 %'

    Args:
        name: A search space's name, or one of `SOURCES`.
        dataset: ``cifar10``, ``cifar10-valid``, ``cifar100`` or ``ImageNet16-120``.
        path: What `zc-search benchmark convert` wrote, or the file it was made from if that lies
            beside it.

    Raises:
        BenchmarkError: An unknown name or data set, or a table that is missing or damaged.
    """
    known = dict.fromkeys([*_CONVERTED, *SOURCES])
    if name not in known:
        raise BenchmarkError.unknown("benchmark", name, known)
    found = find_table(name) if path is None else _at(Path(path), name)
    if found is None:
        if name == PackagedNASBench201.name:
            return PackagedNASBench201(dataset)
        steps = " or ".join(source.next_step for source in sources(name))
        raise BenchmarkError(f"benchmark {name!r} is not here: {steps}", given=name, hint=steps)
    source, table = found
    return _CONVERTED[source.space](table, dataset)


def _at(path: Path, name: str) -> tuple[Source, Path]:
    """Return the benchmark and the table that a path means."""
    if not is_there(path):
        raise BenchmarkError(
            f"path={str(path)!r}: there is no such file. Leave path out to take the packaged table"
        )
    source = source_of(path)
    if name not in (source.name, source.space):
        raise BenchmarkError(
            f"path={str(path)!r} holds {source.title}, which is no benchmark of {name!r}; "
            f"Allowed: name {source.space!r}",
            allowed=(source.space, source.name),
        )
    table = path if path.suffix == ".arrow" else path.with_name(table_name(path.name))
    if not table.is_file():
        hint = f"zc-search benchmark convert {path}"
        raise BenchmarkError(f"path={str(path)!r}: convert it first, once: {hint}", hint=hint)
    return source, table
