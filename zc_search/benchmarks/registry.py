"""Which tabular benchmarks there are: what each knows, its files, and what reads them.

One entry a benchmark file that a user may have; the packaged table needs none. The functions are
named and imported on use, so that listing costs nothing.
"""

import json
import os
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from zc_search.errors import BenchmarkError

CURVES_ENDING = "-curves.parquet"

ABOUT = b"zc_search"
"""Under this key a converted table says in JSON what it is, its ``source`` by name at least."""


class BenchmarkFile(NamedTuple):
    """A file as its authors hand it out.

    Attributes:
        name: Of the file, or of the folder that an archive unpacks to.
        size: As its authors state it.
        checksum: What is known of it, as a sentence's end.
        origin: The page it is had from.
    """

    name: str
    size: str
    checksum: str
    origin: str


class Source(NamedTuple):
    """A benchmark that a user's file brings.

    Attributes:
        name: What `open_benchmark` calls it.
        title: What its authors call it.
        space: The search space, as in a configuration.
        datasets: The data sets it can be opened for.
        knows: What it has, in a few words.
        files: Any one of them will do.
        table: Name of the converted file in ``third_party``.
        convert: ``module:function`` that converts a file, called with (file, out, on_progress).
        opener: ``module:callable`` that opens a converted table, called with (table, dataset).
    """

    name: str
    title: str
    space: str
    datasets: tuple[str, ...]
    knows: str
    files: tuple[BenchmarkFile, ...]
    table: str
    convert: str
    opener: str

    @property
    def converted(self) -> Path | None:
        """Where its converted table lies, or None."""
        path = third_party() / self.table
        return path if is_there(path) and path.is_file() else None

    @property
    def original(self) -> Path | None:
        """Where one of its files lies, or None; converted it may be gone."""
        for file in self.files:
            if is_there(path := third_party() / file.name):
                return path
        return None

    @property
    def next_step(self) -> str:
        """What a user has to do to have it, as a sentence without a full stop."""
        if (original := self.original) is not None:
            return f"zc-search benchmark convert {original}"
        file = self.files[0]
        return (
            f"put {file.name} ({file.size}, {file.checksum}; from {file.origin}) into "
            f"{third_party()}, then zc-search benchmark convert {third_party() / file.name}"
        )


_DATASETS = ("cifar10", "cifar10-valid", "cifar100", "ImageNet16-120")
_CELLS = "zc_search.benchmarks.files.converting:convert_archive"
_TRIALS = "zc_search.benchmarks.trial_benchmark:TrialBenchmark"
_RECORDS = "zc_search.benchmarks.files.nasbench101_table:convert_records"
_SPECS = "zc_search.benchmarks.nasbench101:NASBench101"
_NB101_PAGE = "https://github.com/google-research/nasbench#download-the-dataset"
_NB201_PAGE = "https://github.com/D-X-Y/NAS-Bench-201#preparation-and-download"
_NATS_PAGE = "https://github.com/D-X-Y/NATS-Bench#preparation-and-download"

SOURCES: Mapping[str, Source] = {
    source.name: source
    for source in (
        Source(
            "nasbench201-v1_1",
            "NAS-Bench-201 v1.1",
            "nasbench201",
            _DATASETS,
            "train, validation and test accuracy and loss, times, 12 and 200 epochs, 1 to 3 seeds, "
            "learning curves",
            (
                BenchmarkFile(
                    "NAS-Bench-201-v1_1-096897.pth", "4.7 GB", "md5 ends in 096897", _NB201_PAGE
                ),
            ),
            "NAS-Bench-201-v1_1-096897.arrow",
            _CELLS,
            _TRIALS,
        ),
        Source(
            "nasbench201-v1_0",
            "NAS-Bench-201 v1.0",
            "nasbench201",
            _DATASETS,
            "as v1.1, fewer trials; 12 epochs on cifar10-valid only",
            (
                BenchmarkFile(
                    "NAS-Bench-201-v1_0-e61699.pth", "2.2 GB", "md5 ends in e61699", _NB201_PAGE
                ),
            ),
            "NAS-Bench-201-v1_0-e61699.arrow",
            _CELLS,
            _TRIALS,
        ),
        Source(
            "nats-tss",
            "NATS-Bench, topology",
            "nasbench201",
            _DATASETS,
            "as NAS-Bench-201 v1.1, more trials",
            (
                BenchmarkFile(
                    "NATS-tss-v1_0-3ffb9-simple",
                    "size not stated",
                    "no checksum is published",
                    _NATS_PAGE,
                ),
                BenchmarkFile(
                    "NATS-tss-v1_0-3ffb9.pickle.pbz2",
                    "size not stated",
                    "md5 ends in 3ffb9",
                    _NATS_PAGE,
                ),
            ),
            "NATS-tss-v1_0-3ffb9.arrow",
            _CELLS,
            _TRIALS,
        ),
        Source(
            "nats-sss",
            "NATS-Bench, size",
            "nats_sss",
            _DATASETS,
            "train, validation and test accuracy and loss, times, 1, 12 and 90 epochs, 1 or 3 "
            "seeds, learning curves",
            (
                BenchmarkFile(
                    "NATS-sss-v1_0-50262-simple",
                    "size not stated",
                    "no checksum is published",
                    _NATS_PAGE,
                ),
                BenchmarkFile(
                    "NATS-sss-v1_0-50262.pickle.pbz2",
                    "size not stated",
                    "md5 ends in 50262",
                    _NATS_PAGE,
                ),
            ),
            "NATS-sss-v1_0-50262.arrow",
            _CELLS,
            "zc_search.benchmarks.nats_sss:SizeBenchmark",
        ),
        Source(
            "nasbench101-full",
            "NAS-Bench-101",
            "nasbench101",
            ("cifar10",),
            "train, validation and test accuracy, times, half-way and at the end of 4, 12, 36 and "
            "108 epochs, three repeats",
            (
                BenchmarkFile(
                    "nasbench_full.tfrecord", "1.95 GB", "sha256 begins with 3d64db81", _NB101_PAGE
                ),
            ),
            "nasbench_full.arrow",
            _RECORDS,
            _SPECS,
        ),
        Source(
            "nasbench101-only108",
            "NAS-Bench-101, 108 epochs",
            "nasbench101",
            ("cifar10",),
            "as NAS-Bench-101, 108 epochs only",
            (
                BenchmarkFile(
                    "nasbench_only108.tfrecord",
                    "499 MB",
                    "sha256 begins with 4c39c393",
                    _NB101_PAGE,
                ),
            ),
            "nasbench_only108.arrow",
            _RECORDS,
            _SPECS,
        ),
    )
}
"""Every benchmark that needs a user's file, best first where several know the same space."""


def third_party() -> Path:
    """Return where benchmark files are looked for: $ZC_SEARCH_THIRD_PARTY or ``third_party``."""
    return Path(os.environ.get("ZC_SEARCH_THIRD_PARTY") or "third_party").expanduser()


def is_there(path: Path) -> bool:
    """Return whether there is such a file or folder.

    Raises:
        BenchmarkError: That cannot be told: a folder above it is closed to the user.
    """
    try:
        return path.exists()
    except OSError as error:
        raise BenchmarkError(
            f"{str(path)!r} cannot be read: {error.strerror}; choose another path or permit it"
        ) from error


def resolve(reference: str) -> Callable[..., Any]:
    """Import what a `Source` names as ``module:attribute``."""
    module, _, attribute = reference.partition(":")
    return getattr(import_module(module), attribute)  # type: ignore[no-any-return]


def source_of(path: Path) -> Source:
    """Return which benchmark a file or folder is of: by its name, a table by what it says.

    Raises:
        BenchmarkError: There is no such file, it cannot be read, or its name says of no benchmark.
    """
    if not is_there(path):
        raise BenchmarkError(f"{str(path)!r}: there is no such file or folder")
    name = (path.suffix == ".arrow" and _converted_from(path)) or path.name
    for source in SOURCES.values():
        stems = {Path(source.table).stem, *(_stem(file.name) for file in source.files)}
        if any(name.startswith(stem) for stem in stems):
            return source
    known = ", ".join(file.name for source in SOURCES.values() for file in source.files)
    raise BenchmarkError(
        f"{str(path)!r}: its name says of no benchmark that zc-search knows; keep the name that "
        f"its authors gave it. Allowed: {known}"
    )


def _converted_from(table: Path) -> str | None:
    """Return the name of the file that a table was made of, None where it does not say."""
    import pyarrow as pa

    try:
        with pa.memory_map(str(table)) as file:
            metadata = pa.ipc.open_file(file).schema.metadata or {}
        source = json.loads(metadata[ABOUT])["source"]
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError):
        return None
    return source if isinstance(source, str) else None


def _stem(name: str) -> str:
    """Return a file's name up to its version: checksums differ between what a user makes."""
    return name.partition(".")[0].rpartition("-")[0] if "-v" in name else name
