"""``zc-search train``: the best few of a search trained, against random ones."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zc_search.cli.printing import counting_bar, plain_console

if TYPE_CHECKING:
    from rich.console import Console

    from zc_search.deploy.training import Outcome, Step


def train(
    run: Annotated[Path, typer.Argument(help="Folder of a finished search.", show_default=False)],
    top: Annotated[
        int, typer.Option("--top", min=1, help="How many of the first; as many at random.")
    ] = 5,
    epochs: Annotated[
        int | None,
        typer.Option(
            "--epochs", min=1, help="By default the run's training.epochs.", show_default=False
        ),
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Trainings of each.")] = 1,
    device: Annotated[
        str | None,
        typer.Option(
            "--device", help="cpu, cuda, cuda:N or auto; by default the run's.", show_default=False
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Replace a setting: --set training.learning_rate=0.05."),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Set earlier trainings aside.")] = False,
) -> None:
    """Train the best few of a search on its images, and as many random architectures.

    Stop it or lose it at any time: the same command goes on from there.
    """
    from zc_search.config import load_config
    from zc_search.deploy.training import train_run
    from zc_search.errors import ConfigError
    from zc_search.report.run import load_result

    load_result(run)  # says what is missing before anything else does
    given = [*(settings or ()), *([] if epochs is None else [f"training.epochs={epochs}"])]
    if wrong := [text for text in given if not text.strip().startswith("training.")]:
        raise ConfigError(
            f"--set {wrong[0]!r}: a finished search keeps its settings; Allowed: training.KEY=value"
        )
    recipe = load_config(run / "config.toml", given).training
    console = plain_console()
    with _progress(console, recipe.epochs) as on_step:
        outcome = train_run(
            run,
            top=top,
            seeds=seeds,
            recipe=recipe,
            device=device,
            fresh=fresh,
            on_step=on_step,
        )
    _print(console, outcome)


@contextmanager
def _progress(console: "Console", epochs: int) -> "Iterator[Callable[[Step], None]]":
    """Yield what shows the progress: a bar in a terminal, elsewhere a line a training."""
    from rich.text import Text

    told = -1

    def show(step: "Step") -> None:
        nonlocal told
        status = f"{step.group}, epoch {step.epoch}: {step.accuracy:.1f} %" if step.group else ""
        update(step.done, step.total, status)
        if not console.is_terminal and step.done > told:
            if told >= 0 or step.done:
                line = f"{step.done} of {step.total} trained"
                console.print(Text(f"{line}, {status}" if status else line), soft_wrap=True)
            told = step.done

    with counting_bar(console, "training") as update:
        yield show


def _print(console: "Console", outcome: "Outcome") -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title="Validation accuracy, %", title_justify="left", title_style="bold", box=None
    )
    for name, justify in (
        ("", "left"),
        ("mean", "right"),
        ("\N{PLUS-MINUS SIGN}", "right"),
        ("lowest", "right"),
        ("highest", "right"),
        ("architectures", "right"),
    ):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    for row in outcome.groups.to_dict("records"):
        error = row["standard_error"]
        table.add_row(
            str(row["group"]),
            f"{row['mean']:.2f}",
            f"{error:.2f}" if error == error else "",
            f"{row['lowest']:.2f}",
            f"{row['highest']:.2f}",
            str(row["architectures"]),
        )
    console.print(table)
    console.print()
    notes = Table.grid(padding=(0, 1))
    for sentence in outcome.notes:
        notes.add_row(Text("note", "yellow"), Text(sentence))
    console.print(notes)
    console.print()
    if not outcome.ranking.empty:
        console.print(Text("first of the updated ranking", "bold"))
        for text in str(outcome.ranking["architecture"].iloc[0]).replace("+", "+\n").splitlines():
            console.print(Text(f"  {text}"), soft_wrap=True)
    console.print(
        Text("everything in  ", "bold").append(f"{outcome.folder}/", "default"), soft_wrap=True
    )
    if not outcome.results["architecture"].str.startswith("|").all():
        return  # only cells of NAS-Bench-201 are exported
    console.print(
        Text("next           ", "bold").append(
            f"zc-search export {outcome.folder.parent} --to DIR", "default"
        ),
        soft_wrap=True,
    )
