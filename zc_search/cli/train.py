"""``zc-search train``: the best few of a search trained, against random ones."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zc_search.cli.printing import plain_console, progress_line

if TYPE_CHECKING:
    from rich.console import Console

    from zc_search.deploy.training import Outcome, Step


def train(
    run: Annotated[Path, typer.Argument(help="Folder of a finished search.", show_default=False)],
    top: Annotated[
        int | None,
        typer.Option(min=1, help="How many of the first; as many at random. [default: 5]"),
    ] = None,
    architecture: Annotated[
        list[str] | None,
        typer.Option(help="Train this one, without others to compare; may be repeated."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="By default the run's.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each.")] = 1,
    device: Annotated[str | None, typer.Option(help="By default the run's.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="Set training.KEY=value.")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Set earlier trainings aside.")] = False,
) -> None:
    """Train the best few of a search on its images, and as many random architectures.

    Stop it or lose it at any time: the same command goes on from there.
    """
    from zc_search.config import load_config
    from zc_search.deploy.training import train_run
    from zc_search.errors import UsageError
    from zc_search.report.run import load_result

    load_result(run)  # says what is missing before anything else does
    given = [*(settings or ()), *([] if epochs is None else [f"training.epochs={epochs}"])]
    if wrong := [text for text in given if not text.strip().startswith("training.")]:
        raise UsageError(
            f"--set {wrong[0]!r}: a finished search keeps its settings; Allowed: training.KEY=value"
        )
    if top is not None and architecture:
        raise UsageError("--top takes the first of the ranking, and --architecture names others")
    recipe = load_config(run / "config.toml", given).training
    console = plain_console()
    with progress_line(console, "training") as show:
        outcome = train_run(
            run,
            top=top or 5,
            architectures=architecture or (),
            seeds=seeds,
            recipe=recipe,
            device=device,
            fresh=fresh,
            on_step=lambda step: show(step.done, step.total, _status(step)),
        )
    from zc_search.report.text import trained

    console.print(trained(load_result(run)))
    console.print()
    _print(console, outcome)


def _status(step: "Step") -> str:
    return f"{step.group}, epoch {step.epoch}: {step.accuracy:.1f} %" if step.group else ""


def _print(console: "Console", outcome: "Outcome") -> None:
    from zc_search.report.text import listed, notes, table

    names = ["group", "mean", "standard_error", "lowest", "highest", "architectures"]
    shown = {"group": "", "standard_error": "\N{PLUS-MINUS SIGN}"}
    columns = [(shown.get(name, name), "right" if name != "group" else "left") for name in names]
    rows = outcome.groups[names].round(2).astype(str).replace("nan", "").to_numpy().tolist()
    if len(rows) > 1:
        console.print(table("Validation accuracy, %", columns, rows))
        console.print()
    notes(console, outcome.notes)
    console.print()
    lines: dict[str, object] = {}
    if not outcome.ranking.empty:
        lines["first of the updated ranking"] = str(outcome.ranking["architecture"].iloc[0])
    lines["everything in"] = f"{outcome.folder}/"
    lines["next"] = f"zc-search export {outcome.folder.parent} --to DIR"
    console.print(listed(lines))
