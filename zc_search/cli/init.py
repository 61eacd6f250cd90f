"""``zc-search init``: a search file to start from."""

from pathlib import Path
from typing import Annotated

import typer


def init(
    path: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("search.toml"),
) -> None:
    """Write a commented search file to start from."""
    from zc_search._utils.files import write_atomically
    from zc_search.config import starter
    from zc_search.errors import ConfigError

    if path.exists():
        raise ConfigError(f"{path} is there already; name another: zc-search init FILE")
    try:
        write_atomically(path, starter())
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error
    typer.echo(f"wrote {path}; next: zc-search --config {path}")
