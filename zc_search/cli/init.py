"""``zc-search init``: a search file to start from."""

from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from zc_search.cli.printing import save


def init(
    path: Annotated[
        Path | None, typer.Argument(help="Where to write it; by default search.toml.")
    ] = None,
    compare: Annotated[
        bool,
        typer.Option("--compare", help="A file for `zc-search compare` instead, compare.toml."),
    ] = False,
) -> None:
    """Write a commented search file to start from."""
    from zc_search.errors import UsageError

    room, kind = ("compare", "compare") if compare else ("config", "search")
    path = path or Path(f"{kind}.toml")
    if path.exists():
        message = f"{path} is there already; name another: zc-search init FILE"
        raise UsageError(message, key="PATH", given=str(path))
    save(path, files(f"zc_search.{room}").joinpath(f"{kind}.toml").read_text(encoding="utf-8"))
    typer.echo(f"wrote {path}; next: zc-search {'compare ' * compare}--config {path}")
