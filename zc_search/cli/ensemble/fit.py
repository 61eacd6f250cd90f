"""``zc-search ensemble fit`` and ``show``: an ensemble made, and all that is in one."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zc_search.cli.ensemble.options import Dataset, File, JudgeOn, Proxies, Source, names
from zc_search.cli.printing import plain_console
from zc_search.cli.search import Config, Settings

if TYPE_CHECKING:
    from rich.console import Console

    from zc_search.ensemble import Ensemble


def fit(
    source: Source,
    config: Config = None,
    settings: Settings = None,
    fit_on: Annotated[
        str | None, typer.Option("--fit-on", help="pareto (a run's front) or all.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", help='linear, ridge, nonnegative, rank, gap, or "module:Class".'),
    ] = None,
    features: Annotated[
        str | None, typer.Option("--features", help="Such as spline+cell or rank+flow+aggregate.")
    ] = None,
    proxies: Proxies = None,
    accuracies: Annotated[
        int | None,
        typer.Option(
            "--accuracies", help="Look at so many only, drawn at random; judge on others."
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of that draw.")] = 0,
    dataset: Dataset = None,
    judge_on: JudgeOn = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Where to write it: .toml or .json.")
    ] = Path("ensemble.toml"),
) -> None:
    """Fit an ensemble to the accuracies of a run's trials or of a scores file.

    Settings are those of [ensemble] in --config, else those of the run, else the defaults.
    """
    from zc_search.ensemble.documents import suffix_of
    from zc_search.ensemble.from_source import Request, fit_source
    from zc_search.ensemble.sources import load_source, with_settings
    from zc_search.errors import EnsembleError

    if accuracies is not None and fit_on == "pareto":
        raise EnsembleError(
            "--accuracies draws at random and --fit-on pareto does not; leave one of them out"
        )
    suffix_of(out)  # complains before the work, not after it
    given = {"fit_on": fit_on, "model": model, "features": features}
    overrides = [f"ensemble.{key}={value}" for key, value in given.items() if value is not None]
    scores = load_source(source)
    chosen = with_settings(scores, config, (*(settings or ()), *overrides))
    request = Request(names(proxies), accuracies, seed, dataset, judge_on)
    console = plain_console()
    with console.status("fitting"):
        fitted = fit_source(scores, chosen, request)
    _print(console, fitted, most=30)
    try:
        fitted.save(out)
    except EnsembleError as error:
        if ":" not in fitted.model:
            raise
        console.print(f"not written: {error}")
        return
    console.print(
        f"wrote {out}; next: zc-search ensemble apply {out} SCORES",
        soft_wrap=True,
    )


def show(
    file: File,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the whole document as JSON.")
    ] = False,
) -> None:
    """Show everything in an ensemble: what it was fitted to, weights, constants, quality."""
    from zc_search.ensemble import Ensemble

    loaded = Ensemble.load(file)
    if as_json:
        typer.echo(json.dumps(loaded.to_dict(), indent=2))
        return

    from zc_search.cli.ensemble.tables import constants

    console = plain_console()
    _print(console, loaded, most=None)
    for table in constants(loaded):
        console.print()
        console.print(table)


def _print(console: "Console", fitted: "Ensemble", most: int | None) -> None:
    from zc_search.cli.ensemble.tables import facts
    from zc_search.report import text

    console.print(facts(fitted))
    console.print()
    console.print(text.weights(fitted, most))
    for rows in (fitted.quality, fitted.unseen_quality):
        if not rows.empty:
            console.print()
            console.print(text.quality(rows))
    console.print()
    text.notes(console, fitted.notes)
