"""``zc-search compare``: search algorithms side by side on the tabular benchmark."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Option

from zc_search._utils.text import counted
from zc_search.cli.printing import clock, plain_console, progress_line

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console, Group

    from zc_search.compare import Comparison, Outcomes

_ENDS = ("mean", "sd", "opti-\nmum", "99.9\n%")

_CAPTION = (
    "mean, sd: of the best at the end over the seeds, validation accuracy in percent. optimum: "
    "share of the seeds that found it. 99.9 %: median number of accuracies until the best was "
    "99.9 % of the optimum; - if half the seeds never got there."
)


def compare(
    config: Annotated[
        Path,
        Option(
            "--config", "-c", help="What is compared (TOML); `zc-search init --compare` writes one."
        ),
    ],
    seeds: Annotated[int | None, Option(min=1, help="Instead of the file's compare.seeds.")] = None,
    accuracies: Annotated[
        int | None, Option(min=1, help="Instead of the file's compare.accuracies.")
    ] = None,
    dataset: Annotated[
        list[str] | None, Option(help="Instead of the file's compare.datasets. May be repeated.")
    ] = None,
    scores: Annotated[str | None, Option(help="Instead of the file's compare.scores.")] = None,
    workers: Annotated[int | None, Option(min=1, help="Processes; by default one a core.")] = None,
    png: Annotated[
        bool, Option("--png", help="Write the figures as pictures too, to its folder.")
    ] = False,
) -> None:
    """Compare search algorithms on a tabular benchmark: what do they find, and for what price?

    Each algorithm runs with many seeds on each data set. Stop it at any time: searches that have
    been run are not run again, and seeds may be added later.
    """
    import optuna

    from zc_search._utils.files import write_atomically, writing
    from zc_search.compare import folder_of, load_comparison
    from zc_search.compare.page import few_seeds, render_searches
    from zc_search.errors import ZcSearchError

    given = (seeds, accuracies, dataset, scores, workers)
    names = ("seeds", "accuracies", "datasets", "scores", "workers")
    changes = {name: value for name, value in zip(names, given, strict=True) if value is not None}
    comparison = load_comparison(config, changes)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    console, begun, folder = plain_console(), time.perf_counter(), folder_of(comparison)
    outcomes = _run(console, comparison)
    outcomes.write(folder)
    with writing(str(folder), ZcSearchError):
        page = write_atomically(folder / "report.html", render_searches(outcomes, comparison))
    for name in comparison.compare.datasets:
        console.print(_table(outcomes.summary, name))
        console.print()
    console.print(" ".join((_CAPTION, *few_seeds(comparison.compare.seeds))))
    wrote = f"wrote {page} and its tables beside it after {time.perf_counter() - begun:.0f} s"
    if png:
        from zc_search.compare.page import search_drawings
        from zc_search.report.page import write_pictures

        files = write_pictures(search_drawings(outcomes), folder / "figures")
        wrote += f", {len(files)} pictures in {folder / 'figures'}"
    typer.echo(wrote)


def _run(console: "Console", comparison: "Comparison") -> "Outcomes":
    """Run what a comparison lacks, and say how long the rest takes."""
    from zc_search.compare import compare as run

    begun, already = time.perf_counter(), None
    with progress_line(console, "searches") as update:

        def on_progress(done: int, total: int) -> None:
            nonlocal already
            already = done if already is None else already  # those of an earlier run took no time
            seconds = (time.perf_counter() - begun) / max(1, done - already) * (total - done)
            update(done, total, f"{clock(seconds)} left" if done > already else "starting")

        return run(comparison, on_progress)


def _table(summary: "pd.DataFrame", dataset: str) -> "Group":
    from zc_search.report.text import percent, table

    own = summary[summary["dataset"] == dataset].sort_values("mean", ascending=False)
    marks = [name for name in own.columns if name.startswith("at ") and not name.endswith(" s")]
    headings = ["algorithm", *(f">{name}" for name in (*marks, *_ENDS))]
    rows = [
        (
            row["algorithm"],
            *(percent(row[column]) for column in (*marks, "mean", "sd")),
            f"{100 * row['optimum']:.0f} %",
            "-" if (count := row["nearly_accuracies"]) != count else f"{count:.0f}",
        )
        for _, row in own.iterrows()
    ]
    return table(f"{dataset}, {counted(int(own['seeds'].iloc[0]), 'seed')}", headings, rows)
