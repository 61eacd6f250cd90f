"""The search in a terminal: what will be done, how far it is, what it found."""

from collections.abc import Mapping
from types import TracebackType
from typing import Self

import pandas as pd
from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as ProgressBar
from rich.table import Table
from rich.text import Text

from zc_search.ensemble import Ensemble
from zc_search.results import Progress, SearchResult

_CODES = {
    "none": "-",
    "skip_connect": "s",
    "nor_conv_1x1": "1",
    "nor_conv_3x3": "3",
    "avg_pool_3x3": "p",
}
_LEGEND = (
    "cell: edges into node 1|2|3 from nodes 0, 1, 2; "
    "3 nor_conv_3x3, 1 nor_conv_1x1, p avg_pool_3x3, s skip_connect, - none"
)
_WIDE = 160
"""Columns from which architecture strings are printed in full."""

_HEADINGS = {
    "val_accuracy": "true %",
    "test_accuracy": "true %",
    "params": "Mparams",
    "flops": "MFLOPs",
    "latency_seconds": "ms",
}
_FACTORS = {"latency_seconds": 1000}


class TerminalListener:
    """Shows the plan, then a progress bar; a context manager, so that the bar is put away."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = ProgressBar(
            TextColumn("searching"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[status]}"),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=console,
            transient=False,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("search", total=None, status="", visible=False)
        self._before: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def planned(self, plan: Mapping[str, str]) -> None:
        """See `Listener`."""
        grid = Table.grid(padding=(0, 2))
        for key, value in plan.items():
            grid.add_row(f"[bold]{key}[/]", value)
        self._console.print(grid)
        self._console.print()
        self._bar.start()

    def progressed(self, progress: Progress) -> None:
        """See `Listener`."""
        if self._before is None:
            self._before = progress.done
            self._bar.reset(self._task, total=progress.total, completed=progress.done, visible=True)
        new = progress.done - self._before
        each = f", {progress.seconds / new:.2f} s each" if new else ""
        self._bar.update(
            self._task,
            completed=progress.done,
            status=f"{len(progress.functions)} distinct, {progress.feasible} feasible{each}",
        )


def print_result(console: Console, result: SearchResult, rows: int = 15) -> None:
    """Print the Pareto front, the ensemble, the best architecture, and where the files are."""
    if not result.pareto.empty:
        console.print(_pareto_table(result, rows, wide=console.width >= _WIDE))
        if console.width < _WIDE:
            console.print(f"[dim]{_LEGEND}[/]", highlight=False)
    if result.ensemble is not None:
        console.print()
        console.print(_weights_table(result.ensemble))
        if not result.ensemble.quality.empty:
            console.print()
            console.print(_quality_table(result.ensemble))
    console.print()
    for note in result.notes:
        console.print(Text("note ", "yellow").append(note, "default"))
    if result.best is not None:
        best = result.best
        console.print()
        console.print(Text("best by prediction  ", "bold").append(best.architecture, "default"))
        line = f"predicted {best.predicted:.2f} % (90 %: {best.low:.2f} to {best.high:.2f})"
        if best.true is not None and best.rank is not None:
            line += f", true {best.true:.2f} %, rank {best.rank:,} of {best.out_of:,}"
        console.print(Text(line))
        if best.in_sample:
            console.print(
                Text("in-sample: its true accuracy is one that the ensemble was fitted to")
            )
    console.print()
    report = result.folder / "report.html"
    console.print(Text("look at        ", "bold").append(str(report), "default"))
    console.print(Text("everything in  ", "bold").append(f"{result.folder}/", "default"))


def compact(architecture: str) -> str:
    """Write an architecture string in nine characters.

    >>> compact("|nor_conv_3x3~0|+|nor_conv_1x1~0|none~1|+|skip_connect~0|none~1|avg_pool_3x3~2|")
    '3|1-|s-p'
    """
    nodes = (
        "".join(_CODES[edge.partition("~")[0]] for edge in node.strip("|").split("|"))
        for node in architecture.split("+")
    )
    return "|".join(nodes)


def _pareto_table(result: SearchResult, rows: int, *, wide: bool) -> Table:
    pareto = result.pareto
    objectives = [o.name for o in result.config.active_objectives]
    extras = (result.config.benchmark.metric, "params", "flops", "latency_seconds")
    columns = [*objectives, *(c for c in extras if c in pareto.columns and c not in objectives)]
    more = f", the first {rows}; all in pareto.csv" if len(pareto) > rows else ""
    table = _table(f"Pareto front: {len(pareto)} distinct architectures{more}")
    table.add_column("trial", justify="right")
    table.add_column("architecture" if wide else "cell", no_wrap=True)
    for name in columns:
        table.add_column(_HEADINGS.get(name, name), justify="right")
    for _, row in pareto.head(rows).iterrows():
        architecture = str(row["architecture"])
        table.add_row(
            str(row["number"]),
            architecture if wide else compact(architecture),
            *(_number(row[name] * _FACTORS.get(name, 1)) for name in columns),
        )
    return table


def _weights_table(ensemble: Ensemble) -> Table:
    weights = ensemble.weights
    table = _table(
        f"Ensemble: {ensemble.model}, fitted to {ensemble.rows} architectures "
        f"({ensemble.fit_on}); {ensemble.unit}; 90 % intervals"
    )
    table.add_column("feature")
    for column in weights.columns[1:]:
        table.add_column(str(column).replace("_", " "), justify="right")
    for _, row in weights.iterrows():
        cells = (
            f"{row[c]:.3f}" if str(c).startswith("standard") else f"{row[c]:+.3f}"
            for c in weights.columns[1:]
        )
        table.add_row(str(row["feature"]), *cells)
    return table


def _quality_table(ensemble: Ensemble) -> Table:
    quality = ensemble.quality
    table = _table(f"Rank correlation with the true accuracy; {quality['judged'].iloc[0]}")
    table.add_column("predictor")
    table.add_column("Kendall's tau", justify="right")
    table.add_column("Spearman", justify="right")
    for _, row in quality.iterrows():
        table.add_row(str(row["predictor"]), *(_interval(row, k) for k in _CORRELATIONS))
    return table


_CORRELATIONS = ("kendall_tau", "spearman")


def _interval(row: pd.Series, name: str) -> str:
    return f"{row[name]:.3f} ({row[name + '_low']:.3f} to {row[name + '_high']:.3f})"


def _table(title: str) -> Table:
    return Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=box.SIMPLE_HEAD,
        pad_edge=False,
    )


def _number(value: float) -> str:
    return "-" if pd.isna(value) else f"{value:.4g}"
