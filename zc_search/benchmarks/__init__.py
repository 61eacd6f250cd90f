"""Tabular benchmarks: look up what training an architecture gave. No torch."""

from collections.abc import Callable, Mapping
from pathlib import Path

from zc_search.benchmarks.base import Benchmark, Direction, Result
from zc_search.benchmarks.nasbench201 import PackagedNASBench201
from zc_search.benchmarks.registry import SOURCES, is_there, resolve, source_of
from zc_search.errors import BenchmarkError, unknown_name

__all__ = ["BENCHMARKS", "SOURCES", "Benchmark", "Direction", "Result", "open_benchmark"]

BENCHMARKS: Mapping[str, Callable[[str], Benchmark]] = {"nasbench201": PackagedNASBench201}
"""Every benchmark that comes with a package, by name: from a data set's name to its table."""


def open_benchmark(
    name: str = "nasbench201", dataset: str = "cifar10", path: str | Path | None = None
) -> Benchmark:
    """Open a tabular benchmark.

    Without a path a converted file in ``third_party`` is taken if there is one (`SOURCES`), else
    the packaged table; `provenance` says which. The first call reads the packaged table (half a
    second) and caches it in ``$ZC_SEARCH_CACHE``, by default the user's cache folder; the next
    ones take milliseconds.

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
    known = [*BENCHMARKS, *SOURCES, *(source.space for source in SOURCES.values())]
    if name not in known:
        raise BenchmarkError(unknown_name("benchmark", name, dict.fromkeys(known)))
    if path is not None:
        return _open_path(Path(path), name, dataset)
    for source in SOURCES.values():
        if name in (source.name, source.space) and source.converted:
            return resolve(source.opener)(source.converted, dataset)  # type: ignore[no-any-return]
    if name in BENCHMARKS:
        return BENCHMARKS[name](dataset)
    raise BenchmarkError(_missing(name))


def _open_path(path: Path, name: str, dataset: str) -> Benchmark:
    if not is_there(path):
        raise BenchmarkError(
            f"path={str(path)!r}: there is no such file. Leave path out to take the packaged table"
        )
    source = source_of(path)
    if name not in (source.name, source.space):
        raise BenchmarkError(
            f"path={str(path)!r} holds {source.title}, which is no benchmark of {name!r}; "
            f"Allowed: name {source.space!r}"
        )
    table = path if path.suffix == ".arrow" else path.with_name(source.table)
    if not table.is_file():
        raise BenchmarkError(
            f"path={str(path)!r}: convert it first, once: zc-search benchmark convert {path}"
        )
    return resolve(source.opener)(table, dataset)  # type: ignore[no-any-return]


def _missing(name: str) -> str:
    """Say what to do to have a benchmark."""
    sources = [source for source in SOURCES.values() if name in (source.name, source.space)]
    steps = " or ".join(source.next_step for source in sources)
    return f"benchmark {name!r} is not here: {steps}"
