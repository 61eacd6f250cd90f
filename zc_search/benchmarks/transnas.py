"""TransNAS-Bench-101's micro cells (Duan et al. 2021): 4,096 cells, seven tasks, one training each.

Metrics are those of the file, the split first and ours in name where we have one: ``top1`` and
``acc`` are ``accuracy`` (%), ``top5`` is ``top5_accuracy``, ``mIoU`` is ``miou``; ``ssim``,
``l1_loss``, ``neg_loss`` and ``loss`` keep their names. ``inference_time`` is ``latency_seconds``;
counts of parameters and FLOPs (``encoder_params``, ``model_flops``) are in the file's own units.
The file's API answers with the best epoch unless told otherwise; here a figure is the last epoch's,
`curve` has every one.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zc_search._utils.files import replacing
from zc_search.benchmarks.base import Benchmark
from zc_search.benchmarks.files.table import (
    About,
    Conversion,
    ConvertedTable,
    OnProgress,
    write_table,
)
from zc_search.config.metrics import METRICS
from zc_search.errors import BenchmarkError
from zc_search.proxies.catalogue import Direction
from zc_search.spaces.transnas_micro.architecture import TASKS, MicroCell

_SPLITS = {"train": "train", "valid": "val", "val": "val", "test": "test"}
_OURS = {"top1": "accuracy", "acc": "accuracy", "top5": "top5_accuracy", "mIoU": "miou"}
_CELL = "cell"


class TransNASBench(Benchmark):
    """A converted TransNAS-Bench-101 file, on one of its `TASKS`; `path` is the table."""

    name = "transnas_micro"
    kind = MicroCell
    datasets = TASKS
    has_curves = True
    _judged = {"valid": "val"}  # noqa: RUF012

    def __init__(self, path: str | Path, dataset: str = TASKS[0]) -> None:
        if dataset not in TASKS:
            raise BenchmarkError.unknown("dataset", dataset, TASKS)
        self.path = Path(path)
        self._table = ConvertedTable(self.path, (_CELL,))
        self._order = self._table.column(_CELL)
        self.dataset, self.split = dataset, "valid"
        names = [name.partition("/") for name in self._table.names]
        self._known = [metric for task, _, metric in names if task == dataset]
        if not self._known:
            raise BenchmarkError(f"{path} has no trainings for {dataset}")
        self.fingerprint = self._table.fingerprint
        self.budgets = (max(self._figures_of(metric).shape[1] for metric in self._known),)
        self.provenance = (
            f"Each cell was trained once for {self.budgets[0]} epochs on Taskonomy's images for "
            f"{dataset}; figures of the last epoch from TransNAS-Bench-101, {self.fingerprint}, "
            f"converted to {self.path}."
        )

    def _figures_of(self, metric: str) -> NDArray[np.float64]:
        """Return a metric after each epoch, cells x epochs; of a cost, cells x 1."""
        figures = self._table.column(f"{self.dataset}/{metric}")
        return figures.reshape(len(self._order), -1)

    def _direction(self, metric: str) -> Direction:
        return METRICS[metric].direction if metric in METRICS else "minimize"  # a cost

    def _seeds(self, row: int, epochs: int) -> list[int]:
        trained = any(np.isfinite(self._figures_of(metric)[row, -1]) for metric in self._known)
        return [0] if trained else []

    def _figures(
        self, row: int, metrics: Sequence[str], seed: int | None, epochs: int, after: int | None
    ) -> list[float]:
        figures = (self._figures_of(metric)[row] for metric in metrics)
        return [figure.item(min(after or epochs, len(figure)) - 1) for figure in figures]

    def _column(self, metric: str, epochs: int) -> NDArray[np.float64]:
        return self._figures_of(metric)[:, -1].copy()

    def _curve(self, row: int, metric: str, seed: int | None, epochs: int) -> NDArray[np.float64]:
        curve: NDArray[np.float64] = self._figures_of(metric)[row]
        if len(curve) < epochs:
            raise BenchmarkError(f"{metric} has no curve: it does not change while training")
        return curve


def convert_tasks(title: str, file: Path, table: Path, on_progress: OnProgress) -> Conversion:
    """Write the micro cells of ``transnas-bench_v10141024.pth``.

    The file is loaded as a whole, plain values only. ``time_elapsed`` is left out: it is a clock's
    text, of which the file does not say whether pauses are in it.
    """
    import pyarrow as pa

    from zc_search.benchmarks.files.official import load_official

    content = load_official(file)
    try:
        cells = dict(content["data"]["micro"])
        order = [MicroCell.from_string(text).index for text in cells]
        columns: dict[str, Any] = {_CELL: pa.array(order, "int32")}
        for done, task in enumerate(TASKS, start=1):
            trainings = [training.get(task) for training in cells.values()]
            columns |= {
                f"{task}/{name}": _column(figures) for name, figures in _of_task(trainings).items()
            }
            on_progress("converting", done, len(TASKS))
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        why = f"{type(error).__name__}: {error}"[:200]
        raise BenchmarkError(
            f"{file} is not as TransNAS-Bench-101 writes it ({why})", given=str(file)
        ) from error
    with replacing(table) as part:
        write_table(part, About(file.name, title), columns)
    known = [training.get(task) for training in cells.values() for task in TASKS]
    return Conversion(table, None, len(cells), sum(training is not None for training in known))


def _of_task(trainings: Sequence[Mapping[str, Any] | None]) -> dict[str, NDArray[np.float64]]:
    """Return by metric a task's figures: cells x epochs, of a cost cells; NaN where unknown."""
    found: dict[str, list[tuple[int, Any]]] = {}
    for row, training in enumerate(trainings):
        if training is not None:
            for name, figures in training["metrics"].items():
                if (ours := _metric(name)) is not None:
                    found.setdefault(ours, []).append((row, figures))
            for name, figure in training["model_info"].items():
                if isinstance(figure, (int, float)):
                    ours = "latency_seconds" if name == "inference_time" else name.lower()
                    found.setdefault(ours, []).append((row, [figure]))
    columns = {}
    for name, rows in found.items():
        filled = np.full((len(trainings), max(len(figures) for _, figures in rows)), np.nan)
        for row, figures in rows:
            filled[row, : len(figures)] = figures
        columns[name] = filled
    return columns


def _metric(theirs: str) -> str | None:
    """Return our name of a metric of the file's; None of the clock's."""
    split, _, what = theirs.partition("_")
    return f"{_SPLITS[split]}_{_OURS.get(what, what)}" if split in _SPLITS else None


def _column(figures: NDArray[np.float64]) -> Any:
    import pyarrow as pa

    return pa.FixedSizeListArray.from_arrays(pa.array(figures.ravel()), figures.shape[1])
