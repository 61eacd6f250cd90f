"""``zc-search init``, ``examples`` and ``data``: what a search begins with."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

import zc_search
from zc_search.cli.printing import Config, Settings, plain_console, save
from zc_search.errors import UsageError

_KINDS = {"configs": "*.toml", "notebooks": "*.ipynb"}


def init(
    path: Annotated[
        Path | None, Argument(help="Where to write it; by default search.toml.")
    ] = None,
    compare: Annotated[
        bool, Option("--compare", help="A file for `zc-search compare` instead, compare.toml.")
    ] = False,
    images: Annotated[
        Path | None,
        Option(help="A file for these images: a folder, a CSV file of labels, an .npz file."),
    ] = None,
) -> None:
    """Write a commented search file to start from; `zc-search examples` has more."""
    room, kind = ("compare", "compare") if compare else ("config", "search")
    path = path or Path(f"{kind}.toml")
    if path.exists():
        message = f"{path} is there already; name another: zc-search init FILE"
        raise UsageError(message, key="PATH", given=str(path))
    if images is None:
        save(path, files(f"zc_search.{room}").joinpath(f"{kind}.toml").read_text(encoding="utf-8"))
    else:
        if compare:
            raise UsageError("--images is for a search, and --compare for algorithms on benchmarks")
        from zc_search.deploy.proposal import search_file_for
        from zc_search.report.text import notes

        toml, advice = search_file_for(images)
        save(path, toml.replace("--config FILE", f"--config {path}"))
        notes(plain_console(), advice)
    typer.echo(f"wrote {path}; next: zc-search {'compare ' * compare}--config {path}")


# Examples -----------------------------------------------------------------------------------------


def examples(
    to: Annotated[
        Path | None, Option(help="Folder to copy all of them to; a new one, or your own.")
    ] = None,
) -> None:
    """List the search files and notebooks that come with zc-search, or copy them out.

    A search file is used by `zc-search --config FILE`, a notebook is opened with Jupyter.
    """
    package = Path(zc_search.__file__).parent
    installed = package / "_examples"
    home = installed if installed.is_dir() else package.parent  # in a checkout, beside the package
    paths = [f for kind, pattern in _KINDS.items() for f in sorted((home / kind).glob(pattern))]
    there = {file.relative_to(home).as_posix(): file for file in paths}
    if not there:
        raise UsageError("this installation has no examples; install it again", key="examples")
    if to is None:
        width = max(map(len, there))
        for name, file in there.items():
            typer.echo(f"{name:{width}}  {_about(file)}")
        typer.echo("copy them out: zc-search examples --to FOLDER")
        return
    from zc_search._utils.files import write_atomically, writing

    if taken := [name for name in there if (to / name).exists()]:
        message = f"{to / taken[0]} is there already; name another folder with --to"
        raise UsageError(message, key="--to", given=str(to))
    with writing(str(to), UsageError):
        for name, file in there.items():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            write_atomically(to / name, file.read_bytes())
    first = to / "configs" / "search.toml"
    typer.echo(f"wrote {len(there)} files to {to}; next: zc-search --config {first}")


def _about(file: Path) -> str:
    """Return the first sentence of a search file, or the title of a notebook."""
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".ipynb":
        return str("".join(json.loads(text)["cells"][0]["source"]).splitlines()[0].lstrip("# "))
    comment = text.partition("\n#\n")[0].partition("\n\n")[0].replace("\n#", "").lstrip("# ")
    return comment.partition(". ")[0].removesuffix(".")


# Images -------------------------------------------------------------------------------------------

data_app = typer.Typer(no_args_is_help=True, help="Fetch and look at images.")


@data_app.command()
def fetch(
    name: Annotated[str, Argument(help="cifar10 or cifar100.", show_default=False)],
    to: Annotated[Path, Option(help="Folder to unpack into.")] = Path("data"),
    url: Annotated[str | None, Option(help="A mirror of the official archive.")] = None,
) -> None:
    """Download an official data set, check it and unpack it."""
    from zc_search.images.official import fetch as fetch_archive

    with plain_console().status(f"fetching {name}"):
        folder = fetch_archive(name, to, url)
    typer.echo(f'{folder} is there; next: [data] source = "{name}", path = "{folder}"')


@data_app.command()
def show(config: Config = None, settings: Settings = None) -> None:
    """Read the images that a search file names: classes, sizes, what cannot be read."""
    from zc_search.config import load_config
    from zc_search.report.text import table
    from zc_search.scoring.scorer import open_images

    if config is None:
        message = "name a search file: zc-search data show --config search.toml"
        raise UsageError(message, key="--config")
    section = load_config(config, settings or ()).data
    images = open_images(section)
    training, held_out = images.split(section.validation, section.seed)
    most = max(images.counts.values())
    rows = [
        (name, f"{count:,}", "\N{BLACK SQUARE}" * max(1, 30 * count // most))
        for name, count in images.counts.items()
    ]
    split = f"{len(training):,} to train on, {len(held_out):,} to judge by"
    headings = ["class", ">images", ""]
    plain_console().print(table(images.described(), headings, rows, split, *images.notes))
