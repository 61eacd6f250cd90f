"""``zc-search ensemble curve`` and ``compare``: what accuracies buy, what the front costs."""

from pathlib import Path
from typing import Annotated

import typer

from zc_search._utils.cores import available_cores
from zc_search.cli.ensemble.options import Dataset, JudgeOn, Proxies, Source, names
from zc_search.cli.printing import plain_console
from zc_search.cli.search import Config, Settings


def curve(
    source: Source,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for tables and figure.")] = Path(
        "curve"
    ),
    models: Annotated[
        str | None, typer.Option("--models", help="Such as linear,rank or module:Class.")
    ] = None,
    features: Annotated[
        str | None, typer.Option("--features", help="Such as rank,rank+flow+aggregate.")
    ] = None,
    proxies: Proxies = None,
    accuracies: Annotated[
        str | None,
        typer.Option("--accuracies", help="Such as 25,100,400; by default 10 to 800."),
    ] = None,
    draws: Annotated[int, typer.Option("--draws", min=1, help="Random draws of each.")] = 20,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the draws.")] = 0,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Processes; by default one a core.")
    ] = None,
    dataset: Dataset = None,
    config: Config = None,
    settings: Settings = None,
) -> None:
    """Show how well ensembles rank what they have not seen, by the number of accuracies seen.

    The best single proxy, params, flops and the accuracy-free aggregate are always beside them.
    """
    from zc_search.cli.ensemble.files import write_curve
    from zc_search.ensemble.curves import Draws, curve_of
    from zc_search.ensemble.sources import load_source, with_settings
    from zc_search.report import text

    scores = load_source(source)
    chosen = with_settings(scores, config, tuple(settings or ()))
    request = Draws(
        names(proxies),
        names(models),
        names(features),
        dataset,
        draws,
        seed,
        workers or available_cores(),
    )
    console = plain_console()
    with console.status("judging") as status:
        judged = curve_of(
            scores,
            chosen,
            request,
            _sizes(accuracies),
            lambda done, total: status.update(f"judged {done} of {total} draws"),
        )
    written, why_no_picture = write_curve(judged, out)
    console.print(text.curve(judged.summary))
    console.print()
    text.notes(console, filter(None, (*judged.notes, why_no_picture)))
    console.print(f"wrote {', '.join(written)} in {out}")


def compare(
    run: Annotated[Path, typer.Argument(help="A run's folder.", show_default=False)],
    proxies: Proxies = None,
    draws: Annotated[int, typer.Option("--draws", min=1, help="Random draws.")] = 20,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the draws.")] = 0,
    judge_on: JudgeOn = None,
    config: Config = None,
    settings: Settings = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write every draw to this CSV file.")
    ] = None,
) -> None:
    """Show what fitting to a run's Pareto front costs against as many random architectures."""
    from zc_search.cli.ensemble.files import write_table
    from zc_search.ensemble.curves import Draws, pareto_against_random
    from zc_search.ensemble.sources import load_source, with_settings
    from zc_search.report import text

    trials = load_source(run)
    chosen = with_settings(trials, config, tuple(settings or ()))
    other = None if judge_on is None else load_source(judge_on)
    console = plain_console()
    with console.status("judging"):
        judged = pareto_against_random(
            trials, chosen, Draws(names(proxies), number=draws, seed=seed), other
        )
    console.print(text.comparison(judged.summary))
    console.print()
    text.notes(console, judged.notes)
    if out is not None:
        write_table(out, judged.draws)
        console.print(f"wrote {out}", soft_wrap=True)


def _sizes(text: str | None) -> list[int] | None:
    if text is None:
        return None
    from zc_search.errors import EnsembleError

    try:
        sizes = [int(part) for part in text.split(",")]
    except ValueError:
        sizes = []
    if not sizes or sorted(set(sizes)) != sizes:
        raise EnsembleError(
            f"--accuracies {text!r}: Allowed: whole numbers, ascending, such as 25,100,400"
        )
    return sizes
