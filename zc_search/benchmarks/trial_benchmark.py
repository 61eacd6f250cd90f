"""NAS-Bench-201 from a converted file: every training, every split, 12 and 200 epochs.

Metrics are named as elsewhere (`trial_metrics`), or as MASE and the benchmark's API name them.
Figures are means over the training seeds, as the API gives with ``is_random=False``, or of one.
"""

from collections.abc import Mapping, Sequence
from math import isnan
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from zc_search.benchmarks.base import Benchmark, Direction, Result
from zc_search.benchmarks.files.columnar import TrialTable
from zc_search.benchmarks.trial_figures import Figures
from zc_search.benchmarks.trial_metrics import ALIASES, DIRECTIONS, SPLITS, split_metrics
from zc_search.errors import ArchitectureError, BenchmarkError, unknown_name
from zc_search.spaces import AnyArchitecture, Architecture

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

HYPERPARAMETERS: Mapping[str, str | float] = {
    "optimizer": "SGD",
    "nesterov": True,
    "momentum": 0.9,
    "weight_decay": 5e-4,
    "learning_rate": 0.1,
    "schedule": "cosine to 0, no warm-up",
    "batch_size": 256,
    "criterion": "cross entropy",
}
"""Of every training, whether of 12 or of 200 epochs (Dong and Yang 2020, table 1)."""


class TrialBenchmark(Benchmark):
    """A converted NAS-Bench-201 or NATS-Bench topology file, on one data set.

    Args:
        path: The table that `convert_archive` wrote.
        dataset: ``cifar10``, ``cifar10-valid``, ``cifar100`` or ``ImageNet16-120``.

    Attributes:
        path: The table.

    Raises:
        BenchmarkError: An unknown data set, or no sound table.
    """

    name = "nasbench201"
    kind: ClassVar[type[Any]] = Architecture
    directions: ClassVar[Mapping[str, Direction]] = DIRECTIONS
    aliases: ClassVar[Mapping[str, str]] = ALIASES

    def __init__(self, path: str | Path, dataset: str = "cifar10") -> None:
        if dataset not in SPLITS:
            raise BenchmarkError(unknown_name("dataset", dataset, SPLITS))
        self.path = Path(path)
        self._table = TrialTable(self.path)
        self.dataset = dataset
        self.budgets = self._table.budgets(dataset)
        if not self.budgets:
            raise BenchmarkError(f"{path} has no trainings on {dataset}")
        about = self._table.about
        self.fingerprint = self._table.fingerprint
        self.provenance = (
            f"Each architecture was trained for {' or '.join(map(str, self.budgets))} epochs on "
            f"{_TRAINED[dataset]}; figures of {about.title}, {about.source}, converted to "
            f"{self.path.name}."
        )
        self._split = ", ".join(f"{name}: {'/'.join(of)}" for name, of in SPLITS[dataset].items())
        self._figures = Figures(self._table, dataset)
        self._order = self._table.order
        self._rows = {int(cell): row for row, cell in enumerate(self._order)}

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names that `query`, `rank` and `best` know."""
        column = self._figures.column
        return tuple(
            metric
            for metric in self._figures.origins
            if np.isfinite(column(metric, self.budgets[-1])).any()
        )

    def query(
        self,
        architecture: AnyArchitecture | str,
        *,
        seed: int | np.random.Generator | None = None,
        epochs: int | None = None,
        metrics: Sequence[str] | None = None,
        after: int | None = None,
    ) -> Result:
        """Return what training an architecture gave.

        Args:
            architecture: An architecture or its string.
            seed: One training seed, counted from 0 or by its name (777, 888, 999), or a generator
                to pick one at random; by default the mean of all.
            epochs: Length of the training, 12 or 200; by default the longest.
            metrics: Names to return, as here or as MASE writes them; by default all that the
                architecture has.
            after: Number of epochs after which to look, 1 to `epochs`, out of the learning
                curves; by default at the end.

        Raises:
            ArchitectureError: A string that names no architecture.
            BenchmarkError: A seed, budget or metric that the benchmark does not hold.
        """
        cell = self._parsed(architecture)
        row = self.index(cell)
        metrics = (metrics,) if isinstance(metrics, str) else metrics
        epochs = self._budget(epochs)
        names = self._figures.seeds(row, epochs)
        picked = self._pick(seed, names) if names else None
        figures = self._look_up(
            row, metrics, epochs, None if picked is None else names[picked], after
        )
        lacking = [metric for metric in metrics or () if metric not in figures]
        if not names or lacking:
            when = f"after {after} of {epochs}" if after else f"of {epochs}"
            raise BenchmarkError(
                f"{self._table.about.source} has no {lacking[0] if names else 'training'} of "
                f"{cell} on {self.dataset} {when} epochs"
            )
        seeds = len(names) if picked is None else 1
        return Result(cell, self.dataset, self._split, epochs, seeds, picked, figures)

    def split_metrics(self, split: str) -> tuple[str, ...]:
        """Return the metrics of one split, named as here or as the benchmark does (``x-valid``).

        Raises:
            BenchmarkError: A split that the data set does not have; those that it has.
        """
        if (found := split_metrics(self.dataset, split)) is None:
            judged = (name for _, name in SPLITS[self.dataset].values())
            allowed = dict.fromkeys([*SPLITS[self.dataset], *judged])
            raise BenchmarkError(f"{unknown_name('split', split, allowed)} on {self.dataset}")
        return tuple(name for name in found if name in self.metrics)

    def seeds(self, architecture: AnyArchitecture | str, epochs: int | None = None) -> list[int]:
        """Return the names of an architecture's training seeds: some of 777, 888, 999."""
        return self._figures.seeds(self.index(architecture), self._budget(epochs))

    def curve(
        self,
        architecture: AnyArchitecture | str,
        metric: str = "val_accuracy",
        *,
        seed: int | None = None,
        epochs: int | None = None,
    ) -> NDArray[np.float64]:
        """Return a metric after each epoch, (epochs,): the mean of all seeds, or one of them.

        Seconds are those that an epoch took. Where a split was judged at the end only, the rest
        is NaN.

        Raises:
            BenchmarkError: No such seed, budget or metric, or the file of curves is missing.
        """
        epochs = self._budget(epochs)
        names = self.seeds(architecture, epochs)
        picked = self._pick(seed, names)
        named = None if picked is None else names[picked]
        metric = ALIASES.get(metric, metric)
        return self._figures.curve(self.index(architecture), metric, named, epochs)

    def column(self, metric: str, epochs: int | None = None) -> NDArray[np.float64]:
        """Return a metric of every architecture, mean of its seeds, in the benchmark's order.

        An architecture that was not trained has NaN.

        Raises:
            BenchmarkError: A metric or budget that the benchmark does not hold.
        """
        column = self._figures.column(ALIASES.get(metric, metric), self._budget(epochs))
        if not np.isfinite(column).any():
            raise BenchmarkError(
                f"{self._table.about.source} has no {metric} on {self.dataset}; it has "
                f"{', '.join(self.metrics)}"
            )
        return column

    def index(self, architecture: AnyArchitecture | str) -> int:
        """Return an architecture's number in the file's order, which is the benchmark's own.

        Raises:
            ArchitectureError: No architecture of this space, or one that is not in the file.
        """
        cell = self._parsed(architecture)
        try:
            return self._rows[cell.index]
        except KeyError:
            raise ArchitectureError(
                f"{cell} is not among the {len(self):,} of {self._table.about.source}"
            ) from None

    def architecture(self, index: int) -> AnyArchitecture:
        """Return the architecture of a number in the file's order.

        Raises:
            ArchitectureError: The order has no such number.
        """
        if index not in range(len(self)):
            raise ArchitectureError(f"benchmark index {index!r} is not in 0 to {len(self) - 1}")
        found: AnyArchitecture = self.kind.from_index(int(self._order[index]))
        return found

    def __len__(self) -> int:
        return len(self._order)

    # Looking up -------------------------------------------------------------------------------

    def _parsed(self, architecture: AnyArchitecture | str) -> AnyArchitecture:
        if not isinstance(architecture, self.kind):
            architecture = self.kind.from_string(str(architecture))  # refuses other spaces'
        return architecture  # type: ignore[return-value]

    def _budget(self, epochs: int | None) -> int:
        if epochs is None:
            return self.budgets[-1]
        if epochs not in self.budgets:
            raise BenchmarkError(
                f"epochs={epochs!r}: trainings on {self.dataset} are of "
                f"{' or '.join(map(str, self.budgets))} epochs"
            )
        return epochs

    def _look_up(
        self,
        row: int,
        metrics: Sequence[str] | None,
        epochs: int,
        seed: int | None,
        after: int | None,
    ) -> dict[str, float]:
        """Return what is known of the metrics asked for, by default of all."""
        names = self._figures.origins if metrics is None else metrics
        if after is not None:
            values = [
                self._figures.after(row, ALIASES.get(name, name), seed, epochs, after)
                for name in names
            ]
        elif seed is not None and metrics is None:
            values = self._figures.of_training(row, seed, epochs)
        elif seed is not None:
            values = [
                self._figures.of_seed(row, ALIASES.get(name, name), seed, epochs) for name in names
            ]
        elif metrics is None:
            values = self._figures.means(row, epochs)
        else:
            values = [
                float(self._figures.column(ALIASES.get(name, name), epochs)[row]) for name in names
            ]
        return {n: v for n, v in zip(names, values, strict=True) if not isnan(v)}

    def _pick(self, seed: int | np.random.Generator | None, names: list[int]) -> int | None:
        """Return which of an architecture's trainings a seed means, counted from 0."""
        if seed is None:
            return None
        if isinstance(seed, np.random.Generator):
            return int(seed.integers(len(names)))
        if seed in names:
            return names.index(seed)
        if not isinstance(seed, bool) and seed in range(len(names)):
            return int(seed)
        raise BenchmarkError(
            f"seed={seed!r}: on {self.dataset} it was trained with {len(names)} seeds, "
            f"0 to {len(names) - 1} or {', '.join(map(str, names))}"
        )
