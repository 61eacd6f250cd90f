"""What commands print with: a console that takes text as it is, tables, and progress."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

Update = Callable[[int, int, str], None]
"""Called with what is done, of how many, and what to say beside it."""


def plain_console() -> "Console":
    """Return a console that reads no markup in what it prints, paths with brackets among it."""
    from rich.console import Console

    return Console(markup=False, highlight=False)


@contextmanager
def progress_line(console: "Console", what: str, every: float = 60.0) -> Iterator[Update]:
    """Yield what shows progress: a bar in a terminal, elsewhere a line a minute, and the last.

    Args:
        console: Where it is drawn.
        what: Is being done, such as ``scoring``.
        every: Seconds between two lines.
    """
    printed = -every

    def show(done: int, total: int, status: str) -> None:
        nonlocal printed
        update(done, total, status)
        if not console.is_terminal and (time.monotonic() - printed >= every or done == total):
            printed = time.monotonic()
            line = f"{what}: {done:,} of {total:,}"
            console.print(f"{line}, {status}" if status else line, soft_wrap=True)

    with counting_bar(console, what) as update:
        yield show


@contextmanager
def counting_bar(console: "Console", what: str) -> Iterator[Update]:
    """Yield what moves a bar; without a terminal it does nothing."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    bar = Progress(
        TextColumn(what),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[status]}"),
        console=console,
        disable=not console.is_terminal,
    )
    task = bar.add_task(what, total=None, status="")
    with bar:
        yield lambda done, total, status: bar.update(
            task, completed=done, total=total, status=status
        )


def clock(seconds: float) -> str:
    """Return a time as hours, minutes and seconds."""
    return str(timedelta(seconds=round(seconds)))
