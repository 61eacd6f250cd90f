"""``zc-search cache``: what scores are kept for other searches, and how to be rid of them."""

from typing import TYPE_CHECKING, Annotated

import typer

from zc_search._utils.text import counted

if TYPE_CHECKING:
    from zc_search.scoring.cache import ScoreCache

cache_app = typer.Typer(
    no_args_is_help=True,
    help="Show or clear the scores that are kept for other searches.",
)

Folder = Annotated[str, typer.Option(help="The cache's folder, as in proxies.cache.")]


@cache_app.command()
def info(folder: Folder = "user") -> None:
    """Show where the cache is and what is in it; every entry is checked."""
    if cache := _open(folder):
        found = cache.info()
        typer.echo(
            f"{cache.folder}\n{counted(found.entries, 'architecture')}, "
            f"{counted(found.values, 'value')}, "
            f"{found.bytes / 1e6:.1f} MB, {found.damaged:,} damaged"
        )


@cache_app.command()
def clear(folder: Folder = "user") -> None:
    """Remove every score in the cache, and nothing else."""
    if cache := _open(folder):
        typer.echo(f"{counted(cache.clear(), 'architecture')} removed from {cache.folder}")


def _open(folder: str) -> "ScoreCache | None":
    from zc_search.scoring.cache import open_cache

    cache = open_cache(folder)
    if cache is None:
        typer.echo("the cache is off")
    return cache
