"""``zc-search score``: proxies of many architectures, or of the whole space, into one file."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zc_search._utils.text import counted
from zc_search.cli.printing import clock, plain_console, progress_line
from zc_search.cli.search import Config, Settings, config_or_starter
from zc_search.errors import UsageError

if TYPE_CHECKING:
    from concurrent.futures import Executor

    import pandas as pd
    from rich.console import Console

    from zc_search.config import Config as Loaded
    from zc_search.scoring.sweep import Progress
    from zc_search.spaces import AnyArchitecture

_PATIENCE = 30  # seconds, for the scheduler to answer and for the first worker to come


def score(
    out: Annotated[Path, typer.Option("--out", "-o", help="Parquet file.")] = Path(
        "scores.parquet"
    ),
    everything: Annotated[bool, typer.Option("--all", help="Score the whole space.")] = False,
    sample: Annotated[int | None, typer.Option(min=1, help="Score so many, at random.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the sample.")] = 0,
    file: Annotated[Path | None, typer.Option(help="A text or CSV of architectures.")] = None,
    config: Config = None,
    settings: Settings = None,
    proxies: Annotated[str | None, typer.Option(help="Instead of the file's: snip,zico.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="By default one a core.")] = None,
    dask: Annotated[str | None, typer.Option(help="Address of a Dask scheduler.")] = None,
) -> None:
    """Score the whole space, a sample of it or a list of architectures.

    Stop it or lose it at any time: the same command goes on from there. Without --config the
    settings are those of `zc-search init`; params and flops are always among the proxies.
    """
    if sum((everything, sample is not None, file is not None)) != 1:
        message = "say what to score: one of --all, --sample N and --file FILE"
        raise UsageError(message, allowed=("--all", "--sample", "--file"))

    from zc_search.proxies.catalogue import split_names
    from zc_search.scoring.request import with_proxies
    from zc_search.scoring.sweep import score_space

    chosen = config_or_starter(config, settings)
    if proxies is not None:
        chosen = with_proxies(chosen, split_names(proxies))
    architectures = _architectures(chosen, file, sample, seed)
    console = plain_console()
    start = time.perf_counter()
    with progress_line(console, "scoring") as show, _executor(dask) as (executor, threads):
        table = score_space(
            architectures,
            chosen,
            out,
            workers=workers or threads,
            executor=executor,
            on_progress=lambda now: show(now.done, now.total, _status(now)),
        )
    _print(console, table, out, time.perf_counter() - start)
    if chosen.benchmark.name != "none":
        console.print(f"next: zc-search evaluate {out}", soft_wrap=True)


def _print(console: "Console", table: "pd.DataFrame", out: Path, seconds: float) -> None:
    functions = table["function_key"].nunique()
    console.print(
        f"{counted(len(table), 'architecture')}, {counted(functions, 'function')}, "
        f"in {out} after {clock(seconds)}",
        soft_wrap=True,
    )
    failed = table["failures"].dropna()
    if len(failed):
        console.print(
            f"{len(failed):,} have a value that is not finite, such as {failed.index[0]}: "
            f"{failed.iloc[0]}",
            soft_wrap=True,
        )


def _architectures(
    config: "Loaded", file: Path | None, sample: int | None, seed: int
) -> "list[AnyArchitecture]":
    from zc_search.scoring.request import (
        open_space,
        read_architectures,
        sample_space,
        whole_space,
    )

    space = open_space(config)
    if file is not None:
        return read_architectures(file)
    if sample is not None:
        return sample_space(space, sample, seed)
    everything = whole_space(space)
    if everything is None:
        raise UsageError(
            f"--all: the space {space.name!r} cannot be listed; Allowed: --sample N, --file"
        )
    return everything


@contextmanager
def _executor(dask: str | None) -> "Iterator[tuple[Executor | None, int | None]]":
    """Yield the Dask cluster with this scheduler's address, and how many threads it has."""
    if dask is None:
        yield None, None
        return
    from zc_search._utils.text import install_hint
    from zc_search.errors import ScoresError

    try:
        from distributed import Client
    except ModuleNotFoundError as error:
        raise ScoresError(
            f"--dask={dask} needs the package {error.name!r}: {install_hint('distributed')}"
        ) from error
    with ExitStack() as stack:
        try:
            client = stack.enter_context(
                Client(dask, timeout=_PATIENCE, set_as_default=False)  # type: ignore[no-untyped-call]
            )
            client.wait_for_workers(1, timeout=_PATIENCE)
        except (OSError, ValueError) as error:  # a timeout is an OSError
            raise ScoresError(
                f"--dask={dask}: no scheduler with workers answers there within {_PATIENCE} s "
                f"({error}); start some with `dask worker ADDRESS --nthreads 1`"
            ) from error
        yield client.get_executor(pure=False), sum(client.nthreads().values())


def _status(progress: "Progress") -> str:
    status = "starting"
    if progress.remaining is not None:
        status = f"{progress.rate:.1f}/s, {clock(progress.remaining)} left"
    return status + (f", {progress.failed:,} not finite" if progress.failed else "")
