"""The command ``zc-search``: which subcommands there are, and how it ends."""

import sys
import warnings

import typer

from zc_search.commands.init import init
from zc_search.commands.search import search
from zc_search.errors import ZcSearchError

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.callback(invoke_without_command=True)(search)
app.command()(init)


def main() -> None:
    """Run the command; a user's mistake ends in a sentence and exit code 2."""
    warnings.showwarning = _show_warning
    try:
        app()
    except ZcSearchError as error:
        typer.echo(f"zc-search: {error}", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        typer.echo("\nstopped; the same command goes on from here", err=True)
        sys.exit(130)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: object = None,
    line: str | None = None,
) -> None:
    typer.echo(f"warning: {message}", err=True)
