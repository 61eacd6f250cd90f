"""``zc-search ensemble apply``: an ensemble put to use, on other scores or in a search."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zc_search.cli.ensemble.options import File
from zc_search.cli.printing import plain_console

if TYPE_CHECKING:
    from rich.console import Console

    from zc_search.ensemble import Ensemble


def apply(
    file: File,
    source: Annotated[
        Path | None, typer.Argument(help="A run's folder, or what `zc-search score` wrote.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the whole ranking to this CSV file.")
    ] = None,
    top: Annotated[int, typer.Option("--top", min=1, help="How many of the first to print.")] = 10,
    truth: Annotated[
        bool, typer.Option("--truth/--no-truth", help="Look up true accuracies too.")
    ] = True,
    write_config: Annotated[
        Path | None,
        typer.Option(
            "--write-config", help="Copy this search file to --to, with the prediction to maximize."
        ),
    ] = None,
    to: Annotated[Path | None, typer.Option("--to", help="The new search file.")] = None,
) -> None:
    """Predict the accuracy of every architecture of a scores file or run, with its interval.

    With --write-config and --to a search is made of it: its one objective is the prediction.
    """
    from zc_search.ensemble import Ensemble
    from zc_search.errors import EnsembleError

    if (write_config is None) != (to is None):
        raise EnsembleError("--write-config SEARCH.toml and --to NEW.toml go together")
    if source is None and write_config is None:
        raise EnsembleError("name what to apply it to: a scores file, a run, or --write-config")
    loaded = Ensemble.load(file)
    console = plain_console()
    if source is not None:
        _apply(console, loaded, source, out, top, truth)
    if write_config is not None and to is not None:
        from zc_search.ensemble.search_file import write_search_file
        from zc_search.report.text import notes

        notes(console, write_search_file(loaded, file, write_config, to))
        console.print(f"wrote {to}; next: zc-search --config {to}")


def _apply(
    console: "Console",
    loaded: "Ensemble",
    source: Path,
    out: Path | None,
    top: int,
    truth: bool,
) -> None:
    from zc_search.cli.ensemble.files import write_table
    from zc_search.ensemble.applying import apply_ensemble
    from zc_search.ensemble.sources import load_source
    from zc_search.report import text

    with console.status("predicting"):
        applied = apply_ensemble(loaded, load_source(source), truth=truth)
    console.print(text.ranked(applied.ranking, loaded.target, top))
    if not applied.quality.empty:
        console.print()
        console.print(text.quality(applied.quality))
    console.print()
    text.notes(console, applied.notes)
    if out is not None:
        write_table(out, applied.ranking)
        console.print(f"wrote {out}", soft_wrap=True)
