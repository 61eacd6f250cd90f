"""``zc-search data``: images fetched, and looked at before a search."""

from pathlib import Path
from typing import Annotated

import typer

from zc_search.cli.printing import plain_console
from zc_search.cli.search import Config, Settings

data_app = typer.Typer(
    no_args_is_help=True,
    help="Fetch and look at images.",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@data_app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="cifar10 or cifar100.", show_default=False)],
    to: Annotated[Path, typer.Option(help="Folder to unpack into.")] = Path("data"),
    url: Annotated[str | None, typer.Option(help="A mirror of the official archive.")] = None,
) -> None:
    """Download an official data set, check it and unpack it."""
    from zc_search.images.official import fetch as fetch_archive

    console = plain_console()
    with console.status(f"fetching {name}"):
        folder = fetch_archive(name, to, url)
    console.print(
        f'{folder} is there; next: [data] source = "{name}", path = "{folder}"',
        soft_wrap=True,
    )


@data_app.command()
def show(config: Config = None, settings: Settings = None) -> None:
    """Read the images that a search file names: classes, sizes, what cannot be read."""
    from zc_search.config import load_config
    from zc_search.errors import UsageError
    from zc_search.report.text import table
    from zc_search.scoring.request import open_images

    if config is None:
        message = "name a search file: zc-search data show --config search.toml"
        raise UsageError(message, key="--config")
    section = load_config(config, settings or ()).data
    images = open_images(section)
    training, held_out = images.split(section.validation, section.seed)
    console = plain_console()
    most = max(images.counts.values())
    rows = [
        (name, f"{count:,}", "\N{BLACK SQUARE}" * max(1, 30 * count // most))
        for name, count in images.counts.items()
    ]
    console.print(
        table(
            images.described(),
            [("class", "left"), ("images", "right"), ("", "left")],
            rows,
            f"{len(training):,} to train on, {len(held_out):,} to judge by",
            *images.notes,
        )
    )
