"""Trainings of cells as rows: what the benchmarks' ``ResultsCount`` knows, as numbers.

Figures of the end are a table, one row a training, sorted by data set, budget, architecture and
seed; curves of every epoch are a Parquet file beside it, read when asked for. Accuracies are in
percent, times in seconds, FLOPs and parameters in millions. What a training lacks is NaN: the older
trainings judged some splits after the last epoch only, and version 1.0 has no times for some.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from math import isnan
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zc_search.benchmarks.files.table import ABOUT, ConvertedTable
from zc_search.errors import BenchmarkError

DATASETS = ("cifar10-valid", "cifar10", "cifar100", "ImageNet16-120")
"""What was trained on, in the benchmark's names; a trial's data set is a number into these."""

SETS = ("train", "x-valid", "x-test", "ori-test")
"""What was judged on, in the benchmark's names."""

CURVES = tuple(f"{name}_{what}" for name in SETS for what in ("loss", "accuracy", "seconds"))
"""The curves of a trial: loss, accuracy, and the seconds that each epoch took."""

COSTS = ("flops", "params", "latency")

FIGURES = (*CURVES, *COSTS)
"""The figures of a trial: each curve's last value, of the seconds the sum over all epochs."""

KEYS = {"architecture": "int32", "dataset": "int8", "epochs": "int16", "seed": "int32"}
"""What a row is found by; the architecture is a number in the benchmark's own order."""

ORDER = b"architectures"
"""Under this key a table has `Architecture.index` of each architecture, as ``<i4``."""

_NAN = float("nan")
_LONGEST = 10_000  # epochs; more are a damaged file's


class Trial(NamedTuple):
    """One training: figures, and curves of `epochs` numbers or None where nothing is known."""

    dataset: int
    epochs: int
    seed: int
    figures: tuple[float, ...]
    curves: tuple[list[float] | None, ...]


def trials_of(budget: int, state: Mapping[str, Any], text: object) -> Iterator[Trial]:
    """Yield the trainings in what ``ArchResults.state_dict()`` gives, all of `budget` epochs.

    Of what is no such dict, or of another architecture than `text`, it raises whatever comes up.
    """
    if state["arch_str"] != text:
        raise BenchmarkError(f"its results are of {state['arch_str']!s:.120}")
    for dataset, seeds in state["dataset_seed"].items():
        if dataset not in DATASETS:
            raise BenchmarkError(f"it was trained on {dataset!r:.40}, not on one of {DATASETS}")
        for seed in seeds:
            if type(seed) is not int or seed not in range(2**31):
                raise BenchmarkError("a training seed must be an int below 2^31")
            result = state["all_results"][dataset, seed]
            epochs = result["epochs"]
            if type(epochs) is not int or epochs != budget or not 1 <= epochs <= _LONGEST:
                raise BenchmarkError(
                    f"a training of {epochs!r:.40} epochs is listed under {budget}"
                )
            curves = _curves_of(result, epochs)
            yield Trial(DATASETS.index(dataset), epochs, seed, _ends(result, curves), curves)


def _curves_of(result: Mapping[str, Any], epochs: int) -> tuple[list[float] | None, ...]:
    curves: list[list[float] | None] = []
    for name in SETS:
        kind = "train" if name == "train" else "eval"
        keys = range(epochs) if name == "train" else _keys(name, epochs)
        known = name == "train" or name in result["eval_names"]
        curves += [
            _curve(result[f"{kind}_{what}"], keys) if known else None
            for what in ("losses", "acc1es", "times")
        ]
    return tuple(curves)


def _ends(result: Mapping[str, Any], curves: tuple[list[float] | None, ...]) -> tuple[float, ...]:
    """Return the figures of a training, one for each of FIGURES."""
    figures = []
    for name, curve in zip(CURVES, curves, strict=True):
        if curve is None:
            figures.append(_NAN)
        else:
            figures.append(sum(curve) if name.endswith("seconds") else curve[-1])
    latency = result["latency"]
    mean_latency = float(sum(latency) / len(latency)) if latency else _NAN
    return (*figures, float(result["flop"]), float(result["params"]), mean_latency)


def _curve(values: Mapping[Any, Any] | None, keys: Sequence[Any]) -> list[float] | None:
    if not values:
        return None
    curve = [float(values.get(key, _NAN)) for key in keys]
    return None if all(map(isnan, curve)) else curve


@lru_cache(maxsize=32)
def _keys(name: str, epochs: int) -> tuple[str, ...]:
    return tuple(f"{name}@{epoch}" for epoch in range(epochs))


class TrialTable(ConvertedTable):
    """A converted file of trainings."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, (*KEYS, *FIGURES))
        # Ascending: 777, 888, 999.
        self.seeds: list[int] = np.unique(self.column("seed")).tolist()
        self._trained: dict[tuple[str, int], NDArray[np.bool_]] = {}

    def _check(self) -> None:
        if ORDER not in self.metadata:
            raise BenchmarkError(f"{self.path} is no table of NAS-Bench-201 or NATS-Bench")
        # `Architecture.index` of each, in the benchmark's own order.
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
            known = np.isfinite(self._spread(dataset, epochs, self.column("seed")))
            self._trained[dataset, epochs] = known
        return self._trained[dataset, epochs]

    def figures(self, dataset: str, epochs: int, figure: str) -> NDArray[np.float64]:
        """Return one of `FIGURES` of every training, (architectures, seeds), NaN where none is."""
        return self._spread(dataset, epochs, self.column(figure))

    def _spread(self, dataset: str, epochs: int, column: NDArray[Any]) -> NDArray[np.float64]:
        found = np.full((len(self.order), len(self.seeds)), np.nan)
        rows = self._groups.get((dataset, epochs), slice(0, 0))
        seeds = np.searchsorted(self.seeds, self.column("seed")[rows])
        found[self.column("architecture")[rows], seeds] = column[rows]
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
