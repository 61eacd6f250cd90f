"""Figures of a converted table by metric: means over the seeds, single trainings, curves."""

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zc_search.benchmarks.files.columnar import Group, TrialTable
from zc_search.benchmarks.trial_metrics import DIRECTIONS, Origin, origins
from zc_search.benchmarks.trials import COSTS, DATASETS
from zc_search.errors import BenchmarkError, unknown_name

_NATS_SEED = 888


class Figures:
    """What a table has of one data set.

    Args:
        table: The converted benchmark.
        dataset: ``cifar10``, ``cifar10-valid``, ``cifar100`` or ``ImageNet16-120``.

    Attributes:
        origins: Where each metric stands in the table.
    """

    def __init__(self, table: TrialTable, dataset: str) -> None:
        self.origins = origins(dataset)
        self._table = table
        self._dataset = dataset
        self._columns: dict[tuple[str, int], NDArray[np.float64]] = {}
        self._all: dict[int, NDArray[np.float64]] = {}
        self._trainings: dict[int, NDArray[np.float64]] = {}
        self._groups: dict[tuple[str, int], Group] = {}
        self._read: dict[int, list[dict[str, Any]]] = {}  # the last architecture's curves

    def seeds(self, row: int, epochs: int) -> list[int]:
        """Return the names of an architecture's training seeds, ascending."""
        group = self.group(self._dataset, epochs)
        return group.seeds[group.starts[row] : group.starts[row + 1]].tolist()  # type: ignore[no-any-return]

    def group(self, trained: str, epochs: int) -> Group:
        """Return the trainings on a data set with a budget.

        Raises:
            BenchmarkError: There are none.
        """
        if (trained, epochs) not in self._groups:
            self._groups[trained, epochs] = self._table.group(trained, epochs)
        return self._groups[trained, epochs]

    def origin(self, metric: str) -> Origin:
        """Return where a metric stands.

        Raises:
            BenchmarkError: An unknown metric, or one of other data sets.
        """
        try:
            return self.origins[metric]
        except KeyError:
            if metric in DIRECTIONS:
                raise BenchmarkError(
                    f"{metric} is not known on {self._dataset}; Allowed: {', '.join(self.origins)}"
                ) from None
            raise BenchmarkError(unknown_name("metric", metric, self.origins)) from None

    def column(self, metric: str, epochs: int) -> NDArray[np.float64]:
        """Return a metric of every architecture, mean of its seeds, read-only; NaN where unknown.

        Raises:
            BenchmarkError: An unknown metric.
        """
        if (metric, epochs) not in self._columns:
            origin = self.origin(metric)
            group = self.group(origin.trained, epochs)
            column = group.mean(origin.figure)
            if origin.figure in ("params", "flops") and self._table.about.title.startswith("NATS"):
                column = _second_where_they_differ(group, origin.figure)
            if origin.per_epoch:
                column = column / epochs
            column.flags.writeable = False
            self._columns[metric, epochs] = column
        return self._columns[metric, epochs]

    def means(self, row: int, epochs: int) -> list[float]:
        """Return every metric of an architecture, in the order of `origins`."""
        if epochs not in self._all:
            self._all[epochs] = np.stack([self.column(m, epochs) for m in self.origins], axis=1)
        return self._all[epochs][row].tolist()  # type: ignore[no-any-return]

    def of_seed(self, row: int, metric: str, seed: int, epochs: int) -> float:
        """Return a metric of one training, NaN where there is none; `seed` is its name."""
        origin = self.origin(metric)
        group = self.group(origin.trained, epochs)
        for at in range(group.starts[row], group.starts[row + 1]):
            if group.seeds[at] == seed:
                value = float(group.rows(origin.figure)[at])
                return value / epochs if origin.per_epoch else value
        return float("nan")

    def of_training(self, row: int, seed: int, epochs: int) -> list[float]:
        """Return every metric of one training, in the order of `origins`; `seed` is its name."""
        if epochs not in self._trainings:
            self._trainings[epochs] = self._aligned(epochs)
        first = self.group(self._dataset, epochs).starts[row]
        at = first + self.seeds(row, epochs).index(seed)
        return self._trainings[epochs][at].tolist()  # type: ignore[no-any-return]

    def _aligned(self, epochs: int) -> NDArray[np.float64]:
        """Return trainings x metrics: some metrics are of trainings on another data set."""
        wanted = self.group(self._dataset, epochs).keys
        columns = []
        for origin in self.origins.values():
            group = self.group(origin.trained, epochs)
            values = group.rows(origin.figure) / (epochs if origin.per_epoch else 1)
            at = np.minimum(np.searchsorted(group.keys, wanted), len(group.keys) - 1)
            columns.append(np.where(group.keys[at] == wanted, values[at], np.nan))
        return np.stack(columns, axis=1)

    def after(self, row: int, metric: str, seed: int | None, epochs: int, after: int) -> float:
        """Return a metric after so many epochs of a training, NaN where it is not known.

        Raises:
            BenchmarkError: The training has no such epoch.
        """
        if after not in range(1, epochs + 1):
            raise BenchmarkError(f"after={after!r}: a training has epochs 1 to {epochs}")
        origin = self.origin(metric)
        if origin.figure in COSTS:
            return float(self.column(metric, epochs)[row])
        curve = self.curve(row, metric, seed, epochs)
        if not origin.figure.endswith("seconds"):
            return float(curve[after - 1])
        total = float(curve[:after].sum())
        return total / after if origin.per_epoch else total

    def curve(self, row: int, metric: str, seed: int | None, epochs: int) -> NDArray[np.float64]:
        """Return a metric after each epoch, the mean of an architecture's trainings or of one.

        Raises:
            BenchmarkError: A metric without a curve, or the file of curves is missing.
        """
        origin = self.origin(metric)
        if origin.figure in COSTS:
            raise BenchmarkError(f"{metric} has no curve: it does not change while training")
        if row not in self._read:
            self._read = {row: self._table.curves(row).to_pylist()}
        curves = [
            trial[origin.figure]
            for trial in self._read[row]
            if trial["dataset"] == DATASETS.index(origin.trained)
            and trial["epochs"] == epochs
            and seed in (None, trial["seed"])
        ]
        known = [curve for curve in curves if curve is not None]
        return np.mean(known, axis=0) if known else np.full(epochs, np.nan)


def _second_where_they_differ(group: Group, figure: str) -> NDArray[np.float64]:
    """Return a cost as the package nats_bench does.

    Some trainings carry the size of another network; that of seed 888 is right throughout (its
    issue 36).
    """
    column = group.mean(figure).copy()
    values = group.rows(figure).round(5)
    for row, (first, last) in enumerate(pairwise(group.starts)):
        trials = slice(first, last)
        if len(set(values[trials].tolist())) > 1:
            right = group.rows(figure)[trials][group.seeds[trials] == _NATS_SEED]
            if len(right):
                column[row] = right[0]
    return column
