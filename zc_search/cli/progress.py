"""What a search shows in a terminal while it runs: its plan, a bar, and its log."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar
from rich.table import Column

from zc_search.report.text import listed
from zc_search.search import Progress

_NARROW = 64
"""Columns of a terminal below which a bar and its numbers leave no room to say more."""


class TerminalListener:
    """Shows a search's plan, then a bar if `progress` is a terminal; a context puts it away."""

    def __init__(self, console: Console, progress: Console) -> None:
        self._console = console
        # Cropped and not shortened: the dots for what is missing are not in every encoding.
        status = Column(no_wrap=True, overflow="crop")
        self._bar = ProgressBar(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[status]}", table_column=status),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=progress,
            disable=not progress.is_terminal,
            speed_estimate_period=600,  # an epoch may take minutes
        )
        self._task, self._training = (
            self._bar.add_task(name, total=None, status="", visible=False)
            for name in ("searching", "training")
        )
        self._narrow = progress.width < _NARROW
        self._before: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: object) -> None:
        self._bar.stop()

    def planned(self, plan: Mapping[str, str]) -> None:
        """See `Listener`."""
        self._console.print(listed(plan))
        self._console.print()
        self._bar.start()

    def progressed(self, progress: Progress) -> None:
        """See `Listener`."""
        if self._before is None:
            self._before = progress.done
            self._bar.reset(self._task, total=progress.total, completed=progress.done)
        parts = [f"{len(progress.functions):,} distinct"]
        if progress.feasible < progress.done:
            parts.append(f"{progress.done - progress.feasible:,} infeasible")
        if new := progress.done - self._before:
            parts.append(f"{progress.seconds / new:.2f} s each")
        self._show(self._task, progress.done, ", ".join(parts))
        if progress.epochs:
            done = progress.trainings * progress.epochs + progress.epoch
            of = f"epoch {progress.epoch} of network {progress.trainings + 1}"
            reached = f", {progress.accuracy:.1f} %" if progress.epoch else ""
            self._show(self._training, done, of + reached, total=progress.most * progress.epochs)

    def _show(self, task: Any, done: int, status: str, **more: Any) -> None:
        status = "" if self._narrow else status
        self._bar.update(task, completed=done, status=status, visible=True, **more)


@contextmanager
def logged_to(console: Console, *, verbose: bool) -> Iterator[None]:
    """Show warnings of zc-search, a line each; if verbose, all of its log."""

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            console.print(self.format(record), markup=False, highlight=False, soft_wrap=True)

    handler = Lines(logging.INFO if verbose else logging.WARNING)
    form = "%(asctime)s %(levelname)s %(message)s" if verbose else "zc-search: %(message)s"
    handler.setFormatter(logging.Formatter(form))
    logger = logging.getLogger("zc_search")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
