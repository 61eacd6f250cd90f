"""``zc-search --config FILE``: the main job."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from zc_search.config import Config as Loaded

Config = Annotated[
    Path | None, typer.Option("--config", "-c", help="Search file (TOML); see `zc-search init`.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="Replace a setting: --set study.n_trials=20. May be repeated."),
]


def config_or_starter(file: Path | None, settings: list[str] | None) -> "Loaded":
    """Return the settings of a file, or those of `zc-search init` where none is given."""
    from zc_search.config import load_config, parse_config, starter

    if file:
        return load_config(file, settings or ())
    return parse_config(starter(), settings or (), source="settings")


def _show_version(value: bool) -> None:
    if value:
        from zc_search._utils.text import VERSION

        typer.echo(f"zc-search {VERSION}")
        raise typer.Exit


def search(
    context: typer.Context,
    config: Config = None,
    settings: Settings = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Set an earlier run of this name aside, start over.")
    ] = False,
    join: Annotated[
        bool, typer.Option("--join", help="Help a run of this name that is going on.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Processes that score architectures.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON, and nothing else there.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print no plan, progress or tables.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show the log as well, on standard error.")
    ] = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Search neural architectures without training them.

    The search runs as the file says, or goes on where an earlier run of it was cut off.
    """
    from zc_search.config import load_config
    from zc_search.errors import UsageError

    if config is None:
        raise UsageError("name a search file: zc-search --config search.toml", key="--config")

    more = [] if workers is None else [f"study.workers={workers}"]
    chosen = load_config(config, [*(settings or ()), *more])
    import optuna  # only now, so that a wrong setting is said at once
    from rich.console import Console

    from zc_search.report.text import TerminalListener, logged_to, print_result, result_document
    from zc_search.search import run_search

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if join:
        from zc_search.cli.worker import help_run

        help_run(chosen)
        return
    out, err = Console(), Console(stderr=True)
    with logged_to(err, verbose=verbose):
        if quiet:
            result = run_search(chosen, fresh=fresh)
        else:
            with TerminalListener(err if as_json else out, err) as shown:
                result = run_search(
                    chosen, fresh=fresh, on_plan=shown.planned, on_progress=shown.progressed
                )
    if as_json:
        typer.echo(result_document(result))
    elif not quiet:
        print_result(out, result)
