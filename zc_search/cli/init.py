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
    images: Annotated[
        Path | None,
        typer.Option(help="A file for these images: a folder, a CSV file of labels, an .npz file."),
    ] = None,
) -> None:
    """Write a commented search file to start from; `zc-search examples` has more."""
    from zc_search.errors import UsageError

    room, kind = ("compare", "compare") if compare else ("config", "search")
    path = path or Path(f"{kind}.toml")
    if path.exists():
        message = f"{path} is there already; name another: zc-search init FILE"
        raise UsageError(message, key="PATH", given=str(path))
    if images is not None:
        if compare:
            raise UsageError("--images is for a search, and --compare for algorithms on benchmarks")
        from zc_search.cli.printing import plain_console
        from zc_search.deploy.proposal import search_file_for
        from zc_search.report.text import notes

        toml, advice = search_file_for(images)
        save(path, toml.replace("--config FILE", f"--config {path}"))
        notes(plain_console(), advice)
        typer.echo(f"wrote {path}; next: zc-search --config {path}")
        return
    save(path, files(f"zc_search.{room}").joinpath(f"{kind}.toml").read_text(encoding="utf-8"))
    typer.echo(f"wrote {path}; next: zc-search {'compare ' * compare}--config {path}")
