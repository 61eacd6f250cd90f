"""``zc-search examples``: the search files and notebooks that come with it."""

import json
from pathlib import Path
from typing import Annotated

import typer

import zc_search
from zc_search.errors import UsageError

_KINDS = {"configs": "*.toml", "notebooks": "*.ipynb"}


def examples(
    to: Annotated[
        Path | None, typer.Option(help="Folder to copy all of them to; a new one, or your own.")
    ] = None,
) -> None:
    """List the search files and notebooks that come with zc-search, or copy them out.

    A search file is used by `zc-search --config FILE`, a notebook is opened with Jupyter.
    """
    there = {file.relative_to(home).as_posix(): file for home in [_home()] for file in _files(home)}
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


def _home() -> Path:
    """Return where they lie: in an installed package, or beside it in a checkout."""
    package = Path(zc_search.__file__).parent
    installed = package / "_examples"
    return installed if installed.is_dir() else package.parent


def _files(home: Path) -> list[Path]:
    files = [f for kind, pattern in _KINDS.items() for f in sorted((home / kind).glob(pattern))]
    if not files:
        raise UsageError("this installation has no examples; install it again", key="examples")
    return files


def _about(file: Path) -> str:
    """Return the first sentence of a search file, or the title of a notebook."""
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".ipynb":
        return str("".join(json.loads(text)["cells"][0]["source"]).splitlines()[0].lstrip("# "))
    comment = text.partition("\n#\n")[0].partition("\n\n")[0].replace("\n#", "").lstrip("# ")
    return comment.partition(". ")[0].removesuffix(".")
