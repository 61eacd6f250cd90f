"""NAS-Bench-101 (Ying et al. 2019): 423,624 cells, CIFAR-10, 4 to 108 epochs, three repeats each.

Metrics, in percent and seconds, means of the repeats or of one; ``halfway_*`` are those after half
of the epochs of the same training:

- ``val_accuracy``, ``test_accuracy``: on 10,000 images each; trained on 40,000.
- ``train_accuracy``: on 10,000 images of the training set.
- ``train_seconds``: training on a TPU v2, evaluations left out.
- ``model_size``: parameters that can be trained, in millions.
"""

from collections.abc import Mapping, Sequence
from math import isnan
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from zc_search.benchmarks.base import Benchmark, Direction, Result
from zc_search.benchmarks.files.columnar import fingerprint
from zc_search.benchmarks.files.nasbench101_records import FIGURES, WHEN
from zc_search.benchmarks.files.nasbench101_table import SpecTable
from zc_search.errors import ArchitectureError, BenchmarkError, unknown_name
from zc_search.spaces import AnyArchitecture, ModelSpec

_DATASETS = ("cifar10",)
_OURS: Mapping[str, tuple[str, Direction]] = {
    "val_accuracy": ("validation_accuracy", "maximize"),
    "test_accuracy": ("test_accuracy", "maximize"),
    "train_accuracy": ("train_accuracy", "maximize"),
    "train_seconds": ("training_time", "minimize"),
}
_TIME = "final_training_time"
_FIGURES: Mapping[str, str] = {
    f"{'halfway_' if when == 'halfway' else ''}{ours}": f"{when}_{theirs}"
    for when in reversed(WHEN)
    for ours, (theirs, _) in _OURS.items()
}


class NASBench101(Benchmark):
    """A converted NAS-Bench-101 file.

    Args:
        path: The table that `convert_records` wrote.
        dataset: ``cifar10``.

    Attributes:
        training_time_spent: Seconds of the trainings that `spend` looked at.
        total_epochs_spent: Their epochs.

    Raises:
        BenchmarkError: Another data set, or no sound table.
    """

    name = "nasbench101"
    directions: ClassVar[Mapping[str, Direction]] = {
        **{ours: _OURS[ours.removeprefix("halfway_")][1] for ours in _FIGURES},
        "model_size": "minimize",
    }

    def __init__(self, path: str | Path, dataset: str = "cifar10") -> None:
        if dataset not in _DATASETS:
            raise BenchmarkError(unknown_name("dataset", dataset, _DATASETS))
        self._table = SpecTable(Path(path))
        about = self._table.about
        self.dataset = dataset
        self.fingerprint = fingerprint(about.source, about.published, Path(path))
        self.budgets = about.budgets
        self.provenance = (
            f"Each cell was trained for {' or '.join(map(str, self.budgets))} epochs on 40,000 "
            "images of CIFAR-10's training set and judged on the other 10,000 and on the test set, "
            f"{about.repeats} times; figures of NAS-Bench-101, {about.source}"
            f"{'' if about.published else ' (not the published file)'}, {len(self):,} cells."
        )
        self._means: dict[tuple[str, int], NDArray[np.float64]] = {}
        self.reset_budget()

    def query(
        self,
        architecture: AnyArchitecture | str,
        *,
        seed: int | None = None,
        epochs: int | None = None,
        metrics: Sequence[str] | None = None,
    ) -> Result:
        """Return what training a cell gave; the module says what each metric means.

        Args:
            architecture: A cell or its string.
            seed: One repeat, counted from 0; by default the mean of all.
            epochs: Length of the training; by default the longest.
            metrics: Names to return; by default all.

        Raises:
            ArchitectureError: A string that names no cell, or one that is infeasible.
            BenchmarkError: A repeat, budget or metric, or a cell, that the file does not hold.
        """
        spec = self._spec(architecture)
        row, epochs = self._row(spec), self._budget(epochs)
        repeats = self._some_repeats(row, epochs)
        if seed is not None and seed not in range(repeats):
            raise BenchmarkError(
                f"seed={seed!r}: it was trained {repeats} times for {epochs} epochs, "
                f"0 to {repeats - 1}"
            )
        picked = range(repeats) if seed is None else [seed]
        if metrics is None:
            metrics = self.metrics
        names = (metrics,) if isinstance(metrics, str) else metrics
        figures = {name: self._figure(name, row, epochs, picked) for name in names}
        return Result(spec, self.dataset, "validation", epochs, len(picked), seed, figures)

    def spend(
        self,
        architecture: AnyArchitecture | str,
        rng: np.random.Generator,
        *,
        epochs: int | None = None,
        stop_halfway: bool = False,
    ) -> Result:
        """Look at one repeat at random and count what it would have cost, as the paper's API does.

        Args:
            architecture: A cell or its string.
            rng: Picks the repeat.
            epochs: Length of the training; by default the longest.
            stop_halfway: Whether the training ends after half of them; the metrics are those then.

        Raises:
            ArchitectureError: See `query`.
            BenchmarkError: See `query`.
        """
        epochs = self._budget(epochs)
        seed = int(rng.integers(self._some_repeats(self.index(architecture), epochs)))
        found = self.query(architecture, seed=seed, epochs=epochs)
        prefix = "halfway_" if stop_halfway else ""
        figures = {name: found[f"{prefix}{name}"] for name in _OURS}
        length = epochs // 2 if stop_halfway else epochs
        self.training_time_spent += figures["train_seconds"]
        self.total_epochs_spent += length
        figures["model_size"] = found["model_size"]
        return Result(found.architecture, self.dataset, found.split, length, 1, seed, figures)

    def reset_budget(self) -> None:
        """Set what `spend` has counted back to nothing."""
        self.training_time_spent = 0.0
        self.total_epochs_spent = 0

    def trainings(self, architecture: AnyArchitecture | str) -> dict[int, list[dict[str, float]]]:
        """Return every training of a cell by its epochs, in the names and units of the paper's API.

        Raises:
            ArchitectureError: See `query`.
            BenchmarkError: See `query`.
        """
        row = self.index(architecture)
        return {
            epochs: [
                {name: float(self._table.figure(epochs, repeat, name)[row]) for name in FIGURES}
                for repeat in range(self._repeats(row, epochs))
            ]
            for epochs in self.budgets
        }

    def column(self, metric: str, epochs: int | None = None) -> NDArray[np.float64]:
        """Return a metric of every cell, mean of its repeats, sorted by hash; read-only.

        Raises:
            BenchmarkError: A metric or budget that the file does not hold.
        """
        epochs = self._budget(epochs)
        if metric not in self.directions:
            raise BenchmarkError(unknown_name("metric", metric, self.metrics))
        if (metric, epochs) not in self._means:
            self._means[metric, epochs] = self._mean(metric, epochs)
        return self._means[metric, epochs]

    def _mean(self, metric: str, epochs: int) -> NDArray[np.float64]:
        if metric == "model_size":
            mean = self._table.parameters / 1e6
        else:
            total, count = np.zeros(len(self)), np.zeros(len(self))
            for repeat in range(self._table.about.repeats):
                values = self._of_all(metric, epochs, repeat)
                total += np.nan_to_num(values)
                count += np.isfinite(values)
            with np.errstate(invalid="ignore"):
                mean = total / np.where(count, count, np.nan)
        mean.flags.writeable = False
        return mean

    def index(self, architecture: AnyArchitecture | str) -> int:
        """Return a cell's place among those of the file, sorted by hash, from 0.

        Raises:
            ArchitectureError: No cell of this space, or one that is infeasible.
            BenchmarkError: The file does not hold it.
        """
        return self._row(self._spec(architecture))

    def architecture(self, index: int) -> ModelSpec:
        """Return the cell of a place among those of the file, as the file writes it.

        Raises:
            ArchitectureError: There is no such place.
        """
        if index not in range(len(self)):
            raise ArchitectureError(f"benchmark index {index!r} is not in 0 to {len(self) - 1}")
        return self._table.spec(int(index))

    def __len__(self) -> int:
        return len(self._table)

    def _spec(self, architecture: AnyArchitecture | str) -> ModelSpec:
        if isinstance(architecture, ModelSpec):
            return architecture
        return ModelSpec.from_string(str(architecture))

    def _row(self, spec: ModelSpec) -> int:
        if spec.infeasible is not None:
            raise ArchitectureError(f"{spec} is no cell of NAS-Bench-101: {spec.infeasible}")
        row = self._table.row(spec.function_key)
        if row is None:
            raise BenchmarkError(
                f"{spec} (hash {spec.function_key}) is not among the {len(self):,} cells of "
                f"{self._table.about.source}"
            )
        return row

    def _budget(self, epochs: int | None) -> int:
        if epochs is None:
            return self.budgets[-1]
        if epochs not in self.budgets:
            raise BenchmarkError(
                f"epochs={epochs!r}: {self._table.about.source} has trainings of "
                f"{', '.join(map(str, self.budgets))} epochs"
            )
        return epochs

    def _repeats(self, row: int, epochs: int) -> int:
        """Return how often a cell was trained; its repeats stand first."""
        trained = 0
        for repeat in range(self._table.about.repeats):
            trained += not isnan(self._table.figure(epochs, repeat, _TIME)[row])
        return trained

    def _some_repeats(self, row: int, epochs: int) -> int:
        """Return how often a cell was trained, at least once.

        Raises:
            BenchmarkError: Never.
        """
        if not (repeats := self._repeats(row, epochs)):
            raise BenchmarkError(
                f"{self._table.about.source} has no training of {self._table.spec(row)} of "
                f"{epochs} epochs"
            )
        return repeats

    def _figure(self, metric: str, row: int, epochs: int, repeats: Sequence[int]) -> float:
        if metric == "model_size":
            return float(self._table.parameters[row]) / 1e6
        if metric not in self.directions:
            raise BenchmarkError(unknown_name("metric", metric, self.metrics))
        return sum(self._one(metric, epochs, repeat, row) for repeat in repeats) / len(repeats)

    def _one(self, metric: str, epochs: int, repeat: int, row: int) -> float:
        value = float(self._table.figure(epochs, repeat, _FIGURES[metric])[row])
        return value if metric.endswith("seconds") else 100 * value

    def _of_all(self, metric: str, epochs: int, repeat: int) -> NDArray[np.float64]:
        values = self._table.figure(epochs, repeat, _FIGURES[metric]).astype(np.float64)
        return values if metric.endswith("seconds") else 100 * values
