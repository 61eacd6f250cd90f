"""NAS-Bench-101 (Ying et al. 2019): 423,624 cells, CIFAR-10, 4 to 108 epochs, three repeats each.

Metrics, in percent and seconds, means of the repeats or of one; ``halfway_*`` are those after half
of the epochs of the same training:

- ``val_accuracy``, ``test_accuracy``: on 10,000 images each; trained on 40,000.
- ``train_accuracy``: on 10,000 images of the training set.
- ``train_seconds``: training on a TPU v2, evaluations left out.
- ``model_size``: parameters that can be trained, in millions.
"""

from collections.abc import Sequence
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zc_search.benchmarks.base import Benchmark
from zc_search.benchmarks.files.table import ConvertedTable
from zc_search.errors import ArchitectureError, BenchmarkError
from zc_search.spaces import AnyArchitecture, ModelSpec

_OURS = {
    "training_time": "train_seconds",
    "train_accuracy": "train_accuracy",
    "validation_accuracy": "val_accuracy",
    "test_accuracy": "test_accuracy",
}
WHEN = ("halfway", "final")
FIGURES = tuple(f"{when}_{what}" for when in WHEN for what in _OURS)
"""What is known of a training, in the names and units of the benchmark's own API: seconds, and
accuracies from 0 to 1."""

_FIGURES = {  # by metric
    f"{prefix}{_OURS[theirs]}": f"{when}_{theirs}"
    for when, prefix in (("final", ""), ("halfway", "halfway_"))
    for theirs in ("validation_accuracy", "test_accuracy", "train_accuracy", "training_time")
}


def column_name(epochs: int, repeat: int, figure: str) -> str:
    """Return what a table calls one of `FIGURES` of a repeat of a training."""
    return f"{epochs}.{repeat}.{figure}"


class _SpecTable(ConvertedTable):
    """A converted file of cells, found by hash."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, ("hash_high", "hash_low", "parameters"))

    def _check(self) -> None:
        if not self.about.repeats:
            raise BenchmarkError(f"{self.path} is no table of NAS-Bench-101")
        self._batch.column("spec").validate(full=True)  # Arrow trusts its offsets

    def __len__(self) -> int:
        return len(self.column("hash_high"))

    def row(self, name: str) -> int | None:
        high, low = int(name[:16], 16), int(name[16:], 16)
        highs, lows = self.column("hash_high"), self.column("hash_low")
        start, end = (np.searchsorted(highs, np.uint64(high), side) for side in ("left", "right"))
        return next((row for row in range(int(start), int(end)) if int(lows[row]) == low), None)

    def spec(self, row: int) -> ModelSpec:
        return ModelSpec.from_string(str(self._batch.column("spec")[row].as_py()))

    def figures(self, epochs: int, repeat: int, figure: str) -> NDArray[Any]:
        """Return one of `FIGURES` of every cell; NaN where a cell has no such training."""
        name = column_name(epochs, repeat, figure)
        if name not in self._columns and name not in self._batch.schema.names:
            self._columns[name] = np.full(len(self), np.nan)
        return self.column(name)


class NASBench101(Benchmark):
    """A converted NAS-Bench-101 file; `path` is the table."""

    name = "nasbench101"
    kind = ModelSpec
    datasets = ("cifar10",)
    split = "validation"
    _known = (*_FIGURES, "model_size")

    def __init__(self, path: str | Path, dataset: str = "cifar10") -> None:
        if dataset not in self.datasets:
            raise BenchmarkError.unknown("dataset", dataset, self.datasets)
        self.path, self.dataset = Path(path), dataset
        self._table = _SpecTable(self.path)
        about, self.fingerprint = self._table.about, self._table.fingerprint
        self.budgets = about.budgets
        self.provenance = (
            f"Each cell was trained for {' or '.join(map(str, self.budgets))} epochs on 40,000 "
            "images of CIFAR-10's training set and judged on the other 10,000 and on the test set, "
            f"{about.repeats} times; figures of NAS-Bench-101, {self.fingerprint}"
            f"{'' if about.published else ' (not the published file)'}, {len(self):,} cells, "
            f"converted to {self.path}."
        )
        self._means: dict[tuple[str, int], NDArray[np.float64]] = {}

    def trainings(self, architecture: AnyArchitecture | str) -> dict[int, list[dict[str, float]]]:
        """Return every training of a cell by its epochs, in names and units of the paper's API."""
        row = self.index(architecture)
        return {
            epochs: [
                {name: float(self._table.figures(epochs, at, name)[row]) for name in FIGURES}
                for at in self._seeds(row, epochs)
            ]
            for epochs in self.budgets
        }

    def index(self, architecture: AnyArchitecture | str) -> int:
        """Return a cell's place among those of the file, sorted by hash, from 0."""
        spec: ModelSpec = self._parsed(architecture)  # type: ignore[assignment]
        if spec.infeasible is not None:
            raise ArchitectureError(f"{spec} is no cell of NAS-Bench-101: {spec.infeasible}")
        if (row := self._table.row(spec.function_key)) is None:
            cells = f"the {len(self):,} cells of {self._table.about.source}"
            raise BenchmarkError(f"{spec} (hash {spec.function_key}) is not among {cells}")
        return row

    def _at(self, row: int) -> ModelSpec:
        return self._table.spec(row)

    def __len__(self) -> int:
        return len(self._table)

    def _seeds(self, row: int, epochs: int) -> list[int]:
        """Return the repeats of a cell; they stand first."""
        times = [figures[row] for figures in self._repeats("train_seconds", epochs)]
        return [at for at, time in enumerate(times) if not isnan(time)]

    def _repeats(self, metric: str, epochs: int) -> list[NDArray[Any]]:
        """Return a metric of every cell as it stands in the file, an array a repeat."""
        repeats = range(self._table.about.repeats)
        return [self._table.figures(epochs, at, _FIGURES[metric]) for at in repeats]

    def _figures(
        self, row: int, metrics: Sequence[str], seed: int | None, epochs: int, after: int | None
    ) -> list[float]:
        repeats = self._seeds(row, epochs) if seed is None else [seed]
        return [self._mean(metric, epochs, repeats, row) for metric in metrics]

    def _mean(self, metric: str, epochs: int, repeats: Sequence[int], row: int) -> float:
        if metric == "model_size":
            return float(self._table.column("parameters")[row]) / 1e6
        figures = self._repeats(metric, epochs)
        return float(sum(_scale(metric) * figures[at].item(row) for at in repeats) / len(repeats))

    def _column(self, metric: str, epochs: int) -> NDArray[np.float64]:
        if metric == "model_size":
            return np.asarray(self._table.column("parameters") / 1e6)
        if (metric, epochs) not in self._means:
            each = [figures.astype(float) for figures in self._repeats(metric, epochs)]
            total = sum(_scale(metric) * np.nan_to_num(figures) for figures in each)
            count = sum(np.isfinite(figures).astype(float) for figures in each)
            self._means[metric, epochs] = total / np.where(count, count, np.nan)
        return self._means[metric, epochs]


def _scale(metric: str) -> int:
    return 1 if metric.endswith("seconds") else 100
