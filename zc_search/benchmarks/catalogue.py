"""Which tabular benchmarks a user's file can bring, and where files are looked for.

Looked for in ``$ZC_SEARCH_THIRD_PARTY`` alone where that is set; else in the user's data folder and
then in ``third_party`` of the current one. The first folder that has a table of a space supplies
it; in a folder the first of `SOURCES`. `Benchmark.provenance` and `fingerprint` say which.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from platformdirs import user_data_path

from zc_search.errors import BenchmarkError

CURVES_ENDING = "-curves.parquet"


class BenchmarkFile(NamedTuple):
    """A file as its authors hand it out, or the folder that an archive unpacks to.

    Attributes:
        name: Of the file.
        size: As its authors state it.
        checksum: What is known of it, as a sentence's end.
    """

    name: str
    size: str
    checksum: str


class Source(NamedTuple):
    """A benchmark that a user's file brings.

    Attributes:
        name: What `open_benchmark` calls it.
        title: What its authors call it.
        space: The search space, as in a configuration.
        stem: Begins the names of its files and tables.
        knows: What it has, in a few words.
        origin: The page its files are had from.
        files: Any one of them will do.
        datasets: The data sets it can be opened for.
    """

    name: str
    title: str
    space: str
    stem: str
    knows: str
    origin: str
    files: tuple[BenchmarkFile, ...]
    datasets: tuple[str, ...] = ("cifar10", "cifar10-valid", "cifar100", "ImageNet16-120")

    @property
    def table(self) -> str:
        """Name of its converted file."""
        return table_name(self.files[0].name)

    def converted(self, folder: Path) -> Path | None:
        """Return where in a folder its converted table lies, or None."""
        there = is_there(folder)
        others = sorted(folder.glob(f"{self.stem}*.arrow")) if there else ()
        return next((p for p in (folder / self.table, *others) if there and p.is_file()), None)

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


_NB101_PAGE = "https://github.com/google-research/nasbench#download-the-dataset"
_NB201_PAGE = "https://github.com/D-X-Y/NAS-Bench-201#preparation-and-download"
_NATS_PAGE = "https://github.com/D-X-Y/NATS-Bench#preparation-and-download"


def _nats(kind: str, digits: str) -> tuple[BenchmarkFile, ...]:
    stem = f"NATS-{kind}-v1_0-{digits}"
    return (
        BenchmarkFile(f"{stem}-simple", "size not stated", "no checksum is published"),
        BenchmarkFile(f"{stem}.pickle.pbz2", "size not stated", f"md5 ends in {digits}"),
    )


SOURCES: Mapping[str, Source] = {
    source.name: source
    for source in (
        Source(
            "nasbench201-v1_1",
            "NAS-Bench-201 v1.1",
            "nasbench201",
            "NAS-Bench-201-v1_1",
            "train, validation and test accuracy and loss, times, 12 and 200 epochs, 1 to 3 seeds, "
            "learning curves",
            _NB201_PAGE,
            (BenchmarkFile("NAS-Bench-201-v1_1-096897.pth", "4.7 GB", "md5 ends in 096897"),),
        ),
        Source(
            "nasbench201-v1_0",
            "NAS-Bench-201 v1.0",
            "nasbench201",
            "NAS-Bench-201-v1_0",
            "as v1.1, fewer trials; 12 epochs on cifar10-valid only",
            _NB201_PAGE,
            (BenchmarkFile("NAS-Bench-201-v1_0-e61699.pth", "2.2 GB", "md5 ends in e61699"),),
        ),
        Source(
            "nats-tss",
            "NATS-Bench, topology",
            "nasbench201",
            "NATS-tss-v1_0",
            "as NAS-Bench-201 v1.1, more trials",
            _NATS_PAGE,
            _nats("tss", "3ffb9"),
        ),
        Source(
            "nats-sss",
            "NATS-Bench, size",
            "nats_sss",
            "NATS-sss-v1_0",
            "train, validation and test accuracy and loss, times, 1, 12 and 90 epochs, 1 or 3 "
            "seeds, learning curves",
            _NATS_PAGE,
            _nats("sss", "50262"),
        ),
        Source(
            "nasbench101-full",
            "NAS-Bench-101",
            "nasbench101",
            "nasbench_full",
            "train, validation and test accuracy, times, half-way and at the end of 4, 12, 36 and "
            "108 epochs, three repeats",
            _NB101_PAGE,
            (BenchmarkFile("nasbench_full.tfrecord", "1.95 GB", "sha256 begins with 3d64db81"),),
            ("cifar10",),
        ),
        Source(
            "nasbench101-only108",
            "NAS-Bench-101, 108 epochs",
            "nasbench101",
            "nasbench_only108",
            "as NAS-Bench-101, 108 epochs only",
            _NB101_PAGE,
            (BenchmarkFile("nasbench_only108.tfrecord", "499 MB", "sha256 begins with 4c39c393"),),
            ("cifar10",),
        ),
    )
}
"""Every benchmark that needs a user's file, best first where several know the same space."""


def folders() -> tuple[Path, ...]:
    """Return where benchmark files are looked for, in this order; new ones go into the last."""
    if chosen := os.environ.get("ZC_SEARCH_THIRD_PARTY"):
        return (Path(chosen).expanduser(),)
    return user_data_path("zc-search"), Path("third_party")


def find_table(name: str) -> tuple[Source, Path] | None:
    """Return the converted table of a benchmark or of a search space, None where there is none."""
    for folder in folders():
        for source in sources(name):
            if table := source.converted(folder):
                return source, table
    return None


def sources(name: str) -> list[Source]:
    """Return the benchmarks of that name, or of that search space."""
    return [source for source in SOURCES.values() if name in (source.name, source.space)]


def source_of(path: Path) -> Source:
    """Return which benchmark a file or folder is of: by its name, a table by what it says.

    Raises:
        BenchmarkError: There is no such file, it cannot be read, or its name says of no benchmark.
    """
    if not is_there(path):
        raise BenchmarkError(f"{str(path)!r}: there is no such file or folder", given=str(path))
    name = path.name
    if path.suffix == ".arrow":
        from zc_search.benchmarks.files.table import source_name

        name = source_name(path) or name
    for source in SOURCES.values():
        if name.startswith(source.stem):
            return source
    known = [file.name for source in SOURCES.values() for file in source.files]
    raise BenchmarkError(
        f"{str(path)!r}: its name says of no benchmark that zc-search knows; keep the name that "
        f"its authors gave it. Allowed: {', '.join(known)}",
        given=str(path),
        allowed=known,
    )


def file_to_convert() -> Path:
    """Return the first benchmark file at hand that has not been converted yet.

    Raises:
        BenchmarkError: There is none; what could be there.
    """
    for source in SOURCES.values():
        if source.original is not None and source.here is None:
            return source.original
    known = [file.name for source in SOURCES.values() for file in source.files]
    raise BenchmarkError(
        f"no benchmark file to convert in {folders()[-1]}; name one, or put one there: "
        f"{', '.join(known)}",
        allowed=known,
    )


def table_name(file: str) -> str:
    """Return what the table of a file is called, so that two files never share one.

    >>> table_name("NATS-tss-v1_0-3ffb9-simple"), table_name("nasbench_full.tfrecord")
    ('NATS-tss-v1_0-3ffb9.arrow', 'nasbench_full.arrow')
    """
    return f"{file.partition('.')[0].removesuffix('-simple')}.arrow"


def is_there(path: Path) -> bool:
    """Return whether there is such a file or folder.

    Raises:
        BenchmarkError: That cannot be told: a folder above it is closed to the user.
    """
    try:
        return path.exists()
    except OSError as error:
        raise BenchmarkError(
            f"{str(path)!r} cannot be read: {error.strerror}; choose another path or permit it",
            given=str(path),
        ) from error
