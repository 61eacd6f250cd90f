"""``zc-search worker``: one more process, on any machine, for a study that was begun elsewhere."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zc_search.errors import UsageError

if TYPE_CHECKING:
    from zc_search.config import Config
    from zc_search.study.worker import Local


def worker(
    storage: Annotated[str | None, typer.Option(help="Or $ZC_SEARCH_STORAGE.")] = None,
    study: Annotated[str, typer.Option(help="Its name.")] = "search",
    workers: Annotated[int, typer.Option(min=1, help="Processes that score architectures.")] = 1,
    device: Annotated[str | None, typer.Option(help="Compute here: cpu, cuda, cuda:1.")] = None,
    images: Annotated[Path | None, typer.Option(help="Where the images are here.")] = None,
    allow_code: Annotated[bool, typer.Option("--allow-code", help="Load its code.")] = False,
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


def help_run(config: "Config") -> None:
    """Work on the study of a run that is going on, of which these are the settings."""
    from zc_search.study.run_folder import run_path, storage_url
    from zc_search.study.worker import Local

    address, folder = storage_url(config, run_path(config)), run_path(config)
    if config.study.storage is None and not (folder / "study.db").exists():
        message = f"--join: there is no run in {str(folder)!r} to help; begin it without --join"
        raise UsageError(message, key="--join", given=str(folder))
    _work(address, config.study.name, Local(config.study.workers), True, config)


def _work(address: str, name: str, local: "Local", allow_code: bool, own: "Config | None") -> None:
    import optuna

    from zc_search._utils.text import without_passwords
    from zc_search.samplers import sampler_of
    from zc_search.study.worker import join_study

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    told: list[int] = []

    def on_joined(config: "Config", trials: int) -> None:
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
