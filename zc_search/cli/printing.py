"""What commands share: two options, a console that takes text as it is, progress, files."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import Option

from zc_search.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

Config = Annotated[
    Path | None, Option("--config", "-c", help="Search file (TOML); see `zc-search init`.")
]
Settings = Annotated[
    list[str] | None,
    Option("--set", help="Replace a setting: --set study.n_trials=20. May be repeated."),
]
AsJson = Annotated[bool, Option("--json", help="Print one JSON document.")]

Update = Callable[[int, int, str], None]
"""Called with what is done, of how many, and what to say beside it."""


def plain_console() -> "Console":
    """Return a console that reads no markup in what it prints, paths with brackets among it."""
    from rich.console import Console

    return Console(markup=False, highlight=False)


@contextmanager
def progress_line(console: "Console", what: str, every: float = 60.0) -> Iterator[Update]:
    """Yield what shows progress: a bar in a terminal, elsewhere a line a minute, and the last."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = BarColumn(bar_width=None), MofNCompleteColumn(), TextColumn("{task.fields[status]}")
    bar = Progress(TextColumn(what), *columns, console=console, disable=not console.is_terminal)
    task = bar.add_task(what, total=None, status="")
    printed = -every

    def show(done: int, total: int, status: str) -> None:
        nonlocal printed
        bar.update(task, completed=done, total=total, status=status)
        if not console.is_terminal and (time.monotonic() - printed >= every or done == total):
            printed = time.monotonic()
            line = f"{what}: {done:,} of {total:,}"
            console.print(f"{line}, {status}" if status else line, soft_wrap=True)

    with bar:
        yield show


def save(path: Path, content: str) -> None:
    """Write a file that the user named, or say why not."""
    from zc_search._utils.files import write_atomically, writing

    with writing(str(path), UsageError):
        write_atomically(path, content)


def records(table: "pd.DataFrame") -> list[dict[str, Any]]:
    """Return the rows of a table as JSON has them; what is not a number is null."""
    rows: list[dict[str, Any]] = json.loads(table.to_json(orient="records", double_precision=15))
    return rows


def names_in(option: str | None) -> tuple[str, ...] | None:
    """Split an option at its commas; None where it is not given."""
    if option is None:
        return None
    from zc_search.proxies.catalogue import split_names

    if names := tuple(split_names(option)):
        return names
    raise UsageError(f"{option!r} names none; names are separated by commas: snip,zico")


def clock(seconds: float) -> str:
    """Return a time as hours, minutes and seconds."""
    return str(timedelta(seconds=round(seconds)))
