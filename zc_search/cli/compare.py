"""``zc-search compare``: search algorithms side by side on the tabular benchmark."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zc_search.cli.printing import clock, counting_bar, plain_console

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console
    from rich.table import Table

    from zc_search.compare import Comparison, Outcomes

_CAPTION = (
    "mean, sd: of the best at the end over the seeds, validation accuracy in percent. optimum: "
    "share of the seeds that found it. 99.9 %: median number of accuracies until the best was "
    "99.9 % of the optimum; - if half the seeds never got there."
)


def compare(
    config: Annotated[
        Path,
        typer.Option("--config", "-c", help="What is compared (TOML); see configs/compare.toml."),
    ],
    seeds: Annotated[
        int | None, typer.Option("--seeds", min=1, help="Instead of the file's compare.seeds.")
    ] = None,
    accuracies: Annotated[
        int | None,
        typer.Option("--accuracies", min=1, help="Instead of the file's compare.accuracies."),
    ] = None,
    dataset: Annotated[
        list[str] | None,
        typer.Option("--dataset", help="Instead of the file's compare.datasets. May be repeated."),
    ] = None,
    scores: Annotated[
        str | None, typer.Option("--scores", help="Instead of the file's compare.scores.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Processes; by default one a core.")
    ] = None,
    png: Annotated[
        bool, typer.Option("--png", help="Write the figures as pictures too, to its folder.")
    ] = False,
) -> None:
    """Compare search algorithms on a tabular benchmark: what do they find, and for what price?

    Each algorithm runs with many seeds on each data set. Stop it at any time: searches that have
    been run are not run again, and seeds may be added later.
    """
    import optuna

    from zc_search.compare import compare as run
    from zc_search.compare import folder_of, load_comparison, write_tables

    given = {
        "seeds": seeds,
        "accuracies": accuracies,
        "datasets": dataset,
        "scores": scores,
        "workers": workers,
    }
    changes = {key: value for key, value in given.items() if value is not None}
    comparison = load_comparison(config, changes)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    console = plain_console()
    begun = time.perf_counter()
    with _progress_line(console) as on_progress:
        outcomes = run(comparison, on_progress)
    folder = folder_of(comparison)
    write_tables(outcomes, folder)
    page = _write_page(comparison, outcomes, folder)
    for name in comparison.compare.datasets:
        console.print(_table(outcomes.summary, name))
        console.print()
    console.print(_CAPTION)
    said = f"wrote {page} and its tables beside it after {time.perf_counter() - begun:.0f} s"
    if png:
        from zc_search.compare.figures import search_drawings
        from zc_search.report.drawings import write_pictures

        files = write_pictures(search_drawings(outcomes), folder / "figures")
        said += f", {len(files)} pictures in {folder / 'figures'}"
    console.print(said, soft_wrap=True)


def _write_page(comparison: "Comparison", outcomes: "Outcomes", folder: Path) -> Path:
    from zc_search._utils.files import write_atomically
    from zc_search.compare import rules
    from zc_search.compare.page import render_searches
    from zc_search.errors import ZcSearchError

    settings = {
        "Every search": {key: _written(value) for key, value in comparison.compare},
        "Algorithms": {
            label: ", ".join(f"{key} = {value}" for key, value in options.items()) or "defaults"
            for label, options in comparison.algorithms.items()
        },
    }
    page = render_searches(
        outcomes, name=comparison.compare.name, rules=rules(comparison), settings=settings
    )
    try:
        return write_atomically(folder / "report.html", page)
    except OSError as error:
        raise ZcSearchError(f"{str(folder)!r} cannot be written to: {error.strerror}") from error


def _written(value: object) -> str:
    if value is None:
        return "none"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


@contextmanager
def _progress_line(console: "Console") -> Iterator[Callable[[int, int], None]]:
    """Yield what shows the progress: a bar in a terminal, elsewhere a line a minute."""
    told, begun = -60.0, time.monotonic()
    already: int | None = None  # those of an earlier run took no time

    def show(done: int, total: int) -> None:
        nonlocal told, already
        already = done if already is None else already
        seconds = (time.monotonic() - begun) / max(1, done - already) * (total - done)
        update(done, total, f"{clock(seconds)} left" if done > already else "starting")
        if not console.is_terminal and (time.monotonic() - told >= 60 or done == total):
            told = time.monotonic()
            console.print(f"{done:,} of {total:,} searches")

    with counting_bar(console, "searching") as update:
        yield show


def _table(summary: "pd.DataFrame", dataset: str) -> "Table":
    from rich.table import Table
    from rich.text import Text

    own = summary[summary["dataset"] == dataset].sort_values("mean", ascending=False)
    seeds = int(own["seeds"].iloc[0])
    marks = [name for name in own.columns if name.startswith("at ") and not name.endswith(" s")]
    table = Table(
        title=f"{dataset}, {seeds} seed{'s' * (seeds != 1)}",
        title_justify="left",
        box=None,
        padding=(0, 2, 0, 0),
        pad_edge=False,
    )
    table.add_column("algorithm", overflow="fold", max_width=22)
    for heading in (*marks, "mean", "sd", "opti-\nmum", "99.9\n%"):
        table.add_column(Text(heading), justify="right", no_wrap=True)
    for _, row in own.iterrows():
        table.add_row(
            Text(str(row["algorithm"])),
            *(_percent(row[mark]) for mark in marks),
            _percent(row["mean"]),
            _percent(row["sd"]),
            f"{100 * row['optimum']:.0f} %",
            "-"
            if row["nearly_accuracies"] != row["nearly_accuracies"]
            else f"{row['nearly_accuracies']:.0f}",
        )
    return table


def _percent(value: float) -> str:
    return "-" if value != value else f"{value:.2f}"
