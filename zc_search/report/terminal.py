"""The search in a terminal: what will be done, how far it is, what it found."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as ProgressBar
from rich.table import Column, Table
from rich.text import Text

from zc_search.report.terminal_tables import pareto, quality, weights
from zc_search.study.result import Best, Progress, SearchResult

_NARROW = 64
"""Columns below which a bar and its numbers leave no room to say more."""


class TerminalListener:
    """Shows the plan, then a progress bar; a context manager, so that the bar is put away.

    Args:
        console: Where the plan goes.
        progress: Where the bar goes, if it is a terminal.
    """

    def __init__(self, console: Console, progress: Console) -> None:
        self._console = console
        # Cropped and not shortened: the dots for what is missing are not in every encoding.
        status = Column(no_wrap=True, overflow="crop")
        self._bar = ProgressBar(
            TextColumn("searching"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[status]}", table_column=status),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=progress,
            disable=not progress.is_terminal,
        )
        self._task = self._bar.add_task("search", total=None, status="", visible=False)
        self._narrow = progress.width < _NARROW
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
        self._console.print(_listed(plan))
        self._console.print()
        self._bar.start()

    def progressed(self, progress: Progress) -> None:
        """See `Listener`."""
        if self._before is None:
            self._before = progress.done
            self._bar.reset(self._task, total=progress.total, completed=progress.done, visible=True)
        if self._narrow:
            self._bar.update(self._task, completed=progress.done)
            return
        new = progress.done - self._before
        said = [f"{len(progress.functions):,} distinct"]
        if progress.feasible < progress.done:
            said.append(f"{progress.done - progress.feasible:,} infeasible")
        if new:
            said.append(f"{progress.seconds / new:.2f} s each")
        self._bar.update(self._task, completed=progress.done, status=", ".join(said))


@contextmanager
def logged_to(console: Console, *, verbose: bool) -> Iterator[None]:
    """Show warnings of zc-search, a line each; if verbose, all of its log."""

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            console.print(self.format(record), markup=False, highlight=False, soft_wrap=True)

    handler = Lines(logging.INFO if verbose else logging.WARNING)
    written = "%(asctime)s %(levelname)s %(message)s" if verbose else "zc-search: %(message)s"
    handler.setFormatter(logging.Formatter(written))
    logger = logging.getLogger("zc_search")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def print_result(console: Console, result: SearchResult, rows: int = 15) -> None:
    """Print the Pareto front, the ensemble, the best architecture, and where the files are."""
    if not result.pareto.empty:
        console.print(pareto(result, rows, console.width))
        console.print()
    if result.ensemble is not None:
        console.print(weights(result.ensemble))
        console.print()
        if not result.ensemble.quality.empty:
            console.print(quality(result.ensemble.quality))
            console.print()
    if result.notes:
        grid = Table.grid(padding=(0, 1))
        for sentence in result.notes:
            grid.add_row(Text("note", "yellow"), Text(sentence, overflow="fold"))
        console.print(grid)
        console.print()
    if result.best is not None:
        _print_best(console, result.best)
        console.print()
    report = result.folder / "report.html"
    if report.exists():
        console.print(
            Text("look at        ", "bold").append(str(report), "default"), soft_wrap=True
        )
    console.print(
        Text("everything in  ", "bold").append(f"{result.folder}/", "default"), soft_wrap=True
    )


def _print_best(console: Console, best: Best) -> None:
    console.print(Text("best by prediction", "bold"))
    # Broken between nodes and nowhere else, so that it can be read where it does not fit.
    fits = len(best.architecture) + 2 <= console.width
    nodes = [best.architecture] if fits else best.architecture.replace("+", "+\n").splitlines()
    for node in nodes:
        console.print(Text(f"  {node}"), soft_wrap=True)
    line = f"predicted {best.predicted:.2f} % (90 %: {best.low:.2f} to {best.high:.2f})"
    if best.true is not None and best.rank is not None:
        line += f", true {best.true:.2f} %, rank {best.rank:,} of {best.out_of:,}"
    console.print(Text(line))
    if best.in_sample:
        console.print(Text("in-sample: its true accuracy is one that the ensemble was fitted to"))


def _listed(facts: Mapping[str, str]) -> Table:
    grid = Table.grid(padding=(0, 2))
    for key, value in facts.items():
        grid.add_row(Text(key, "bold"), Text(value))
    return grid
