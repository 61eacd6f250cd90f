"""NAS-Bench-201 and NATS-Bench from converted files: every training, split and learning curve.

Metrics are named as elsewhere (`zc_search.config.metrics`), or as MASE and the benchmark's API name
them. Figures are means over the training seeds, as the API gives with ``is_random=False``, or of
one.

``cifar10`` means what the API means: trained on all 50,000 images and tested; as nothing is left to
validate on, ``val_*`` are of ``cifar10-valid``, trained on one half and judged on the other.

Figures of the end are a table, one row a training, sorted by data set, budget, architecture and
seed; curves of every epoch are a Parquet file beside it, read when asked for. Accuracies are in
percent, times in seconds, FLOPs and parameters in millions. What a training lacks is NaN: the older
trainings judged some splits after the last epoch only, and version 1.0 has no times for some.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zc_search.benchmarks.base import Benchmark
from zc_search.benchmarks.files.table import ABOUT, ConvertedTable
from zc_search.config.metrics import ENDINGS
from zc_search.errors import BenchmarkError
from zc_search.spaces import Architecture, SizeArchitecture

DATASETS = ("cifar10-valid", "cifar10", "cifar100", "ImageNet16-120")
"""What was trained on, in the benchmark's names; a trial's data set is a number into these."""

SETS = ("train", "x-valid", "x-test", "ori-test")
"""What was judged on, in the benchmark's names."""

CURVES = tuple(f"{name}_{what}" for name in SETS for what in ("loss", "accuracy", "seconds"))
"""The curves of a trial: loss, accuracy, and the seconds that each epoch took."""

FIGURES = (*CURVES, "flops", "params", "latency")
"""The figures of a trial: each curve's last value, of the seconds the sum over all epochs."""

KEYS = {"architecture": "int32", "dataset": "int8", "epochs": "int16", "seed": "int32"}
"""What a row is found by; the architecture is a number in the benchmark's own order."""

ORDER = b"architectures"
"""Under this key a table has `Architecture.index` of each architecture, as ``<i4``."""


class TrialTable(ConvertedTable):
    """A converted file of trainings.

    Attributes:
        order: `Architecture.index` of each architecture, in the benchmark's own order.
        seeds: The names of the training seeds, ascending: 777, 888, 999.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, (*KEYS, *FIGURES))
        self.seeds: list[int] = np.unique(self.column("seed")).tolist()
        self._trained: dict[tuple[str, int], NDArray[np.bool_]] = {}

    def _check(self) -> None:
        if ORDER not in self.metadata:
            raise BenchmarkError(f"{self.path} is no table of NAS-Bench-201 or NATS-Bench")
        self.order = np.frombuffer(self.metadata[ORDER], "<i4").astype(np.int64)
        keys = self.column("dataset").astype(np.int64) * 10_000 + self.column("epochs")
        if (np.diff(keys) < 0).any() or not np.isin(keys // 10_000, range(len(DATASETS))).all():
            raise ValueError("its rows are of unknown data sets, or not sorted by them")
        found, starts = np.unique(keys, return_index=True)
        self._groups = {
            (DATASETS[key // 10_000], int(key % 10_000)): slice(start, end)
            for key, start, end in zip(found, starts, [*starts[1:], len(keys)], strict=True)
        }

    def budgets(self, dataset: str) -> tuple[int, ...]:
        """Return the lengths of the trainings on a data set, ascending."""
        return tuple(epochs for name, epochs in self._groups if name == dataset)

    def trained(self, dataset: str, epochs: int) -> NDArray[np.bool_]:
        """Return which trainings there are, (architectures, seeds)."""
        if (dataset, epochs) not in self._trained:
            known = np.isfinite(self.figures(dataset, epochs, "seed"))
            self._trained[dataset, epochs] = known
        return self._trained[dataset, epochs]

    def figures(self, dataset: str, epochs: int, figure: str) -> NDArray[np.float64]:
        """Return one of `FIGURES` of every training, (architectures, seeds), NaN where none is."""
        found = np.full((len(self.order), len(self.seeds)), np.nan)
        rows = self._groups.get((dataset, epochs), slice(0, 0))
        seeds = np.searchsorted(self.seeds, self.column("seed")[rows])
        found[self.column("architecture")[rows], seeds] = self.column(figure)[rows]
        return found

    def curves(self, architecture: int) -> list[dict[str, Any]]:
        """Return the curves of an architecture's trainings, one dict each, in no order."""
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
            md5 = json.loads(metadata[ABOUT])["md5"]
            table = parquet.read_table(path, filters=[("architecture", "=", architecture)])
        except (pa.ArrowException, KeyError, ValueError, OSError) as error:
            raise BenchmarkError(f"{path} is damaged or cut short ({error})") from error
        if md5 != self.about.md5:
            raise BenchmarkError(f"{path} has the curves of another file than {self.path}")
        return table.to_pylist()  # type: ignore[no-any-return]


_TRAINED = {
    "cifar10": "CIFAR-10's training set (50,000 images) and judged on its test set (10,000); "
    "val_* are of trainings on half of the training set, judged on the other half "
    "(cifar10-valid/x-valid)",
    "cifar10-valid": "half of CIFAR-10's training set (25,000 images) and judged on the other half "
    "and on the test set",
    "cifar100": "CIFAR-100's training set (50,000 images) and judged on each half of its test set "
    "(5,000 for validation, 5,000 for test)",
    "ImageNet16-120": "ImageNet16-120's training set (151,700 images) and judged on each half of "
    "its validation set (3,000 for validation, 3,000 for test)",
}

_APART = {"train": "train", "val": "x-valid", "test": "x-test", "valtest": "ori-test"}
_WHOLE = {"train": "train", "val": "x-valid", "test": "ori-test"}
SPLITS: dict[str, dict[str, tuple[str, str]]] = {
    dataset: {split: (dataset, judged) for split, judged in judged_on.items()}
    for dataset, judged_on in zip(_TRAINED, (_WHOLE, _WHOLE, _APART, _APART), strict=True)
}
"""Of each data set the splits: what was trained on, and the set judged on. ``valtest`` is both."""
SPLITS["cifar10"]["val"] = SPLITS["cifar10-valid"]["val"]

_COSTS = {"latency_seconds": "latency", "model_size": "params", "model_flops": "flops"}
_NATS_SEED = 888


class _Origin(NamedTuple):
    """Where in a table a metric stands."""

    trained: str  # data set of the training
    figure: str
    per_epoch: bool = False


class TrialBenchmark(Benchmark):
    """A converted file of NAS-Bench-201 or of NATS-Bench's topology space, on one data set."""

    name = "nasbench201"
    kind: type[Any] = Architecture
    datasets = DATASETS
    has_curves = True

    def __init__(self, path: str | Path, dataset: str = "cifar10") -> None:
        if dataset not in SPLITS:
            raise BenchmarkError.unknown("dataset", dataset, SPLITS)
        self.path, self.dataset = Path(path), dataset
        self._table = TrialTable(self.path)
        self.fingerprint = self._table.fingerprint
        self.budgets = self._table.budgets(dataset)
        if not self.budgets:
            raise BenchmarkError(f"{path} has no trainings on {dataset}")
        self.provenance = (
            f"Each architecture was trained for {' or '.join(map(str, self.budgets))} epochs on "
            f"{_TRAINED[dataset]}; figures of {self._table.about.title}, {self.fingerprint}, "
            f"converted to {self.path}."
        )
        splits = SPLITS[dataset]
        self.split = ", ".join(f"{name}: {'/'.join(of)}" for name, of in splits.items())
        self._judged = {judged: name for name, (_, judged) in splits.items()}
        self._origins = {
            f"{split}_{end}": _Origin(
                trained, f"{judged}_{end.removesuffix('_per_epoch')}", end == "seconds_per_epoch"
            )
            for split, (trained, judged) in splits.items()
            for end in ENDINGS
        } | {name: _Origin(dataset, figure) for name, figure in _COSTS.items()}
        self._known = tuple(self._origins)
        self._order = self._table.order
        self._trainings: dict[tuple[str, int], NDArray[np.float64]] = {}
        self._curves: dict[int, list[dict[str, Any]]] = {}  # the last architecture's

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names that `query`, `rank` and `best` know."""
        epochs = self._budget(None)
        return tuple(m for m in self._known if np.isfinite(self._column(m, epochs)).any())

    def _validated(self) -> Benchmark:
        return self.on("cifar10-valid") if self.dataset == "cifar10" else self

    def _seeds(self, row: int, epochs: int) -> list[int]:
        trained = self._table.trained(self.dataset, epochs)[row].tolist()
        return [seed for seed, known in zip(self._table.seeds, trained, strict=True) if known]

    def _figures(
        self, row: int, metrics: Sequence[str], seed: int | None, epochs: int, after: int | None
    ) -> list[float]:
        at = -1 if seed is None else self._table.seeds.index(seed)
        found = []
        for metric in metrics:
            origin = self._origins[metric]
            if after is None or metric in _COSTS:
                found.append(self._of_trainings(metric, epochs).item(row, at))
            elif origin.figure.endswith("seconds"):
                total = self._curve(row, metric, seed, epochs)[:after].sum().item()
                found.append(total / after if origin.per_epoch else total)
            else:
                found.append(self._curve(row, metric, seed, epochs).item(after - 1))
        return found

    def _column(self, metric: str, epochs: int) -> NDArray[np.float64]:
        return self._of_trainings(metric, epochs)[:, -1]

    def _of_trainings(self, metric: str, epochs: int) -> NDArray[np.float64]:
        """Return a metric of every training, (architectures, seeds + 1); their means stand last."""
        if (known := self._trainings.get((metric, epochs))) is not None:
            return known
        origin = self._origins[metric]
        figures = self._table.figures(origin.trained, epochs, origin.figure)
        trained = self._table.trained(origin.trained, epochs)
        counts = trained.sum(axis=1)
        summed = np.where(trained, figures, 0)
        with np.errstate(invalid="ignore"):
            total = summed[:, 0] + summed[:, 1:].sum(axis=1)
            means = total / np.where(counts, counts, np.nan)
        nats = self._table.about.title.startswith("NATS") and _NATS_SEED in self._table.seeds
        if nats and origin.figure in ("params", "flops"):
            # As the package nats_bench: some trainings carry the size of another network; that of
            # seed 888 is right throughout (its issue 36).
            right = figures[:, self._table.seeds.index(_NATS_SEED)]
            rounded = figures.round(5)
            least, most = np.fmin.reduce(rounded, axis=1), np.fmax.reduce(rounded, axis=1)
            means = np.where((least < most) & np.isfinite(right), right, means)
        aligned = np.column_stack([figures, means])
        if origin.per_epoch:
            aligned /= epochs
        self._trainings[metric, epochs] = aligned
        return aligned

    def _curve(self, row: int, metric: str, seed: int | None, epochs: int) -> NDArray[np.float64]:
        """Return a metric after each epoch, the mean of an architecture's trainings or of one."""
        origin = self._origins[metric]
        if metric in _COSTS:
            raise BenchmarkError(f"{metric} has no curve: it does not change while training")
        if row not in self._curves:
            self._curves = {row: self._table.curves(row)}
        curves = [
            trial[origin.figure]
            for trial in self._curves[row]
            if trial["dataset"] == DATASETS.index(origin.trained)
            and trial["epochs"] == epochs
            and seed in (None, trial["seed"])
        ]
        known = [curve for curve in curves if curve is not None]
        return np.mean(known, axis=0) if known else np.full(epochs, np.nan)


class SizeBenchmark(TrialBenchmark):
    """A converted NATS-Bench size file: 1, 12 and 90 epochs.

    Trainings of 12 epochs have three seeds (777, 888, 999), those of 1 and of 90 epochs one.
    """

    name = "nats_sss"
    kind = SizeArchitecture
