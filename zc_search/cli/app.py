"""The command ``zc-search``: which subcommands there are, and how it ends."""

import os
import signal
import sys
import warnings
from collections.abc import Callable
from functools import wraps
from io import TextIOWrapper
from types import FrameType
from typing import Any

import typer
from typer.core import TyperGroup

from zc_search._utils.text import without_passwords
from zc_search.cli.benchmark import benchmark_app, query
from zc_search.cli.compare import compare
from zc_search.cli.ensemble import ensemble_app
from zc_search.cli.evaluate import agreement, evaluate
from zc_search.cli.proxies import proxies
from zc_search.cli.run import dashboard, export, predict, report, train
from zc_search.cli.score import cache_app, score
from zc_search.cli.search import search, worker
from zc_search.cli.start import data_app, examples, init
from zc_search.errors import UsageError, ZcSearchError, nearest


class TerminatedError(KeyboardInterrupt):
    """SIGTERM came: the command ends as after Ctrl-C, what it has being written down first."""


def _terminate(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough, and the tables shall be whole
    raise TerminatedError


def _resumable(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command that is interrupted or terminated say how to go on."""

    @wraps(command)
    def interruptible(*args: Any, **kwargs: Any) -> None:
        before = signal.signal(signal.SIGTERM, _terminate)
        try:
            command(*args, **kwargs)
        except KeyboardInterrupt as interrupt:
            typer.echo("\nstopped; the same command goes on from here", err=True)
            terminated = isinstance(interrupt, TerminatedError)
            raise typer.Exit(128 + (signal.SIGTERM if terminated else signal.SIGINT)) from None
        finally:
            signal.signal(signal.SIGTERM, before)

    return interruptible


def _without_subcommand(command: Callable[..., None]) -> Callable[..., None]:
    """Refuse options of the main command before a subcommand, which would not see them."""

    @wraps(command)
    def checked(context: typer.Context, **options: Any) -> None:
        name = context.invoked_subcommand
        if name is None:
            return command(context, **options)
        for parameter in context.command.params:
            source = context.get_parameter_source(str(parameter.name))
            if source is not None and source.name == "COMMANDLINE":
                option = parameter.opts[0]
                raise UsageError(
                    f"{option} stands before {name!r}, which does not see it; "
                    f"write it behind, if `zc-search {name} --help` lists it",
                    key=option,
                    given=name,
                    hint=f"zc-search {name} {option}",
                )
        return None

    return checked


class _Commands(TyperGroup):
    """The subcommands; the search itself is none of them."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the subcommand of a name, or say which is near."""
        if args and args[0] not in self.commands:
            near = nearest(args[0], [*self.commands, "search"])
            hint = f"zc-search {near}" if near else "zc-search --help"
            if near == "search":
                hint = "zc-search --config FILE"
            message = f"there is no command {args[0]!r}; `{hint}`"
            raise UsageError(message, key="command", given=args[0], hint=hint)
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=_Commands,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.callback(invoke_without_command=True)(_without_subcommand(_resumable(search)))
for _command in (init, examples, proxies, _resumable(score), evaluate, agreement, query):
    app.command()(_command)
app.command()(_resumable(worker))
for _command in (_resumable(compare), report, _resumable(train), export, predict, dashboard):
    app.command()(_command)
_groups = {"data": data_app, "benchmark": benchmark_app, "ensemble": ensemble_app}
for _name, _group in (_groups | {"cache": cache_app}).items():
    app.add_typer(_group, name=_name)


def main() -> None:
    """Run the command; a user's mistake ends in a sentence and exit code 2."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # torch reads it once, when loaded
    warnings.showwarning = _show_warning
    if isinstance(sys.stdout, TextIOWrapper):
        # What a terminal has no letter for is a question mark there, and no reason to end.
        sys.stdout.reconfigure(errors="replace")
    try:
        app()
    except ZcSearchError as error:
        typer.echo(f"zc-search: {without_passwords(str(error))}", err=True)
        sys.exit(2)


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    typer.echo(f"warning: {message}", err=True)
