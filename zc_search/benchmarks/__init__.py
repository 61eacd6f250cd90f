"""Tabular benchmarks: look up what training an architecture gave. No torch."""

from collections.abc import Callable, Mapping
from pathlib import Path

from zc_search.benchmarks.base import Benchmark, Direction, Result
from zc_search.benchmarks.nasbench201 import PackagedNASBench201
from zc_search.errors import BenchmarkError, unknown_name

__all__ = ["BENCHMARKS", "Benchmark", "Direction", "Result", "open_benchmark"]

BENCHMARKS: Mapping[str, Callable[[str], Benchmark]] = {"nasbench201": PackagedNASBench201}
"""Every benchmark by name: from a data set's name to its table."""


def open_benchmark(
    name: str = "nasbench201", dataset: str = "cifar10", path: str | Path | None = None
) -> Benchmark:
    """Open a tabular benchmark.

    The first call reads the packaged table (half a second) and caches it in ``$ZC_SEARCH_CACHE``,
    by default the user's cache folder; the next ones take milliseconds.

    >>> benchmark = open_benchmark()
    >>> architecture, accuracy = benchmark.best("val_accuracy")
    >>> f"{accuracy:.3f} %"
    '91.607 %'

    Args:
        name: One of `BENCHMARKS`.
        dataset: ``cifar10``, ``cifar10-valid``, ``cifar100`` or ``ImageNet16-120``.
        path: A user's own benchmark file; None takes the packaged table. No file can be read yet.

    Raises:
        BenchmarkError: An unknown name or data set, a `path`, or a packaged table that is missing
            or damaged.
    """
    if name not in BENCHMARKS:
        raise BenchmarkError(unknown_name("benchmark", name, BENCHMARKS))
    if path is not None:
        found = "there is no such file" if not Path(path).exists() else "zc-search cannot read it"
        raise BenchmarkError(
            f"path={str(path)!r}: {found}; benchmark files are read by a later version. "
            "Leave path out to take the packaged table"
        )
    return BENCHMARKS[name](dataset)
