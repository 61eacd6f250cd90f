"""``zc-search --config FILE``, the main job, and ``worker``: one more process for a study."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Option

from zc_search.cli.printing import Config, Settings
from zc_search.errors import UsageError

if TYPE_CHECKING:
    from zc_search.config import Config as Loaded
    from zc_search.study.worker import Local


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
        bool, Option("--fresh", help="Set an earlier run of this name aside, start over.")
    ] = False,
    join: Annotated[
        bool, Option("--join", help="Help a run of this name that is going on.")
    ] = False,
    workers: Annotated[
        int | None, Option(min=1, help="Processes that score architectures.")
    ] = None,
    as_json: Annotated[
        bool, Option("--json", help="Print the result as JSON, and nothing else there.")
    ] = False,
    quiet: Annotated[
        bool, Option("--quiet", "-q", help="Print no plan, progress or tables.")
    ] = False,
    verbose: Annotated[
        bool, Option("--verbose", "-v", help="Show the log as well, on standard error.")
    ] = False,
    version: Annotated[
        bool, Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Search neural architectures without training them.

    The search runs as the file says, or goes on where an earlier run of it was cut off.
    """
    from zc_search.config import load_config

    if config is None:
        raise UsageError("name a search file: zc-search --config search.toml", key="--config")

    more = [] if workers is None else [f"study.workers={workers}"]
    chosen = load_config(config, [*(settings or ()), *more])
    import optuna  # only now, so that a wrong setting is said at once
    from rich.console import Console

    from zc_search.cli.progress import TerminalListener, logged_to
    from zc_search.report.text import print_result, result_document
    from zc_search.search import run_search

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if join:
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


def worker(
    storage: Annotated[str | None, Option(help="Or $ZC_SEARCH_STORAGE.")] = None,
    study: Annotated[str, Option(help="Its name.")] = "search",
    workers: Annotated[int, Option(min=1, help="Processes that score architectures.")] = 1,
    device: Annotated[str | None, Option(help="Compute here: cpu, cuda, cuda:1.")] = None,
    images: Annotated[Path | None, Option(help="Where the images are here.")] = None,
    allow_code: Annotated[bool, Option("--allow-code", help="Load its code.")] = False,
) -> None:
    """Work on a study until it has its trials; start as many as you like, anywhere.

    The settings are those of the study. The process that began it writes the tables. The
    environment keeps a storage's password off the command line.
    """
    address = storage or os.environ.get("ZC_SEARCH_STORAGE")
    if not address:
        message = "name the storage: --storage URL, or $ZC_SEARCH_STORAGE"
        raise UsageError(message, key="--storage")

    from zc_search.study.worker import Local

    place = str(images) if images else None
    _work(address, study, Local(workers, device, place), allow_code, None)


def help_run(config: "Loaded") -> None:
    """Work on the study of a run that is going on, of which these are the settings."""
    from zc_search.study.storage import run_path, storage_url
    from zc_search.study.worker import Local

    folder = run_path(config)
    if config.study.storage is None and not (folder / "study.db").exists():
        message = f"--join: there is no run in {str(folder)!r} to help; begin it without --join"
        raise UsageError(message, key="--join", given=str(folder))
    local = Local(config.study.workers)
    _work(storage_url(config, folder), config.study.name, local, True, config)


def _work(address: str, name: str, local: "Local", allow_code: bool, own: "Loaded | None") -> None:
    import optuna

    from zc_search._utils.text import without_passwords
    from zc_search.samplers import sampler_of
    from zc_search.study.worker import join_study

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    told: list[int] = []

    def on_joined(config: "Loaded", trials: int) -> None:
        typer.echo(
            f"working on {name!r} in {without_passwords(address)}: {trials} trials so far, "
            f"{config.study.n_trials} in all"
        )

    finished = join_study(
        address,
        name,
        sampler_of,
        local=local,
        allow_code=allow_code,
        own=own,
        on_joined=on_joined,
        on_trial=lambda number, record: told.append(number),
    )
    since = f"{len(told)} of them since this worker came"
    typer.echo(f"{name!r} has {finished} finished trials; {since}")
