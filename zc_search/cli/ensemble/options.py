"""Arguments and options that several subcommands of ``zc-search ensemble`` share."""

from pathlib import Path
from typing import Annotated

import typer

Source = Annotated[
    Path,
    typer.Argument(help="A run's folder, or what `zc-search score` wrote.", show_default=False),
]
File = Annotated[Path, typer.Argument(help="An ensemble.toml or .json.", show_default=False)]
Proxies = Annotated[
    str | None, typer.Option("--proxies", help="Only these, such as snip,zico; by default all.")
]
Dataset = Annotated[
    str | None, typer.Option("--dataset", help="Whose accuracies; by default the scores' own.")
]
JudgeOn = Annotated[
    Path | None,
    typer.Option("--judge-on", help="Scores of architectures to judge on, if not fitted to."),
]


def names(text: str | None) -> tuple[str, ...] | None:
    """Split an option at its commas; None where it is not given."""
    if text is None:
        return None
    from zc_search.errors import EnsembleError
    from zc_search.proxies.catalogue import split_names

    found = tuple(split_names(text))
    if not found:
        raise EnsembleError(f"{text!r} names none; names are separated by commas: snip,zico")
    return found
