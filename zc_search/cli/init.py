"""``zc-search init``: a search file to start from."""

from pathlib import Path
from typing import Annotated

import typer

from zc_search.cli.printing import save


def init(
    path: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("search.toml"),
) -> None:
    """Write a commented search file to start from."""
    from zc_search.config import starter
    from zc_search.errors import UsageError

    if path.exists():
        message = f"{path} is there already; name another: zc-search init FILE"
        raise UsageError(message, key="PATH", given=str(path))
    save(path, starter())
    typer.echo(f"wrote {path}; next: zc-search --config {path}")
