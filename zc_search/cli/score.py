"""``zc-search score``: proxies of many architectures, in one file; ``cache``: what is kept."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Option

from zc_search._utils.text import counted
from zc_search.cli.printing import Config, Settings, clock, plain_console, progress_line
from zc_search.errors import UsageError

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from zc_search.config import Config as Loaded
    from zc_search.scoring.cache import ScoreCache
    from zc_search.scoring.sweep import Progress
    from zc_search.spaces import AnyArchitecture

_PATIENCE = 30  # seconds, for the scheduler to answer and for the first worker to come


def score(
    out: Annotated[Path, Option("--out", "-o", help="Parquet file.")] = Path("scores.parquet"),
    everything: Annotated[bool, Option("--all", help="Score the whole space.")] = False,
    sample: Annotated[int | None, Option(min=1, help="Score so many, at random.")] = None,
    seed: Annotated[int, Option(min=0, help="Of the sample.")] = 0,
    file: Annotated[Path | None, Option(help="A text or CSV of architectures.")] = None,
    config: Config = None,
    settings: Settings = None,
    proxies: Annotated[str | None, Option(help="Instead of the file's: snip,zico.")] = None,
    workers: Annotated[int | None, Option(min=1, help="By default one a core.")] = None,
    dask: Annotated[str | None, Option(help="Address of a Dask scheduler.")] = None,
) -> None:
    """Score the whole space, a sample of it or a list of architectures.

    Stop it or lose it at any time: the same command goes on from there. Without --config the
    settings are those of `zc-search init`; params and flops are always among the proxies.
    """
    if sum((everything, sample is not None, file is not None)) != 1:
        message = "say what to score: one of --all, --sample N and --file FILE"
        raise UsageError(message, allowed=("--all", "--sample", "--file"))
    if out.suffix != ".parquet":
        message = f"--out {str(out)!r}: scores are kept as Parquet; Allowed: a name in .parquet"
        raise UsageError(message, key="--out", given=str(out), hint=f"{out.stem}.parquet")

    from zc_search.proxies.catalogue import split_names
    from zc_search.scoring.architectures import with_proxies
    from zc_search.scoring.sweep import score_space

    chosen = config_or_starter(config, settings)
    if proxies is not None:
        chosen = with_proxies(chosen, split_names(proxies))
    architectures = _architectures(chosen, file, sample, seed)
    start = time.perf_counter()
    with progress_line(plain_console(), "scoring") as show, _executor(dask) as (executor, threads):
        table = score_space(
            architectures,
            chosen,
            out,
            workers=workers or threads,
            executor=executor,
            on_progress=lambda now: show(now.done, now.total, _status(now)),
        )
    functions = counted(table["function_key"].nunique(), "function")
    took = clock(time.perf_counter() - start)
    typer.echo(f"{counted(len(table), 'architecture')}, {functions}, in {out} after {took}")
    failed = table["failures"].dropna()
    if len(failed):
        first = f"{failed.index[0]}: {failed.iloc[0]}"
        typer.echo(f"without a finite value: {len(failed):,}, such as {first}")
    if chosen.benchmark.name != "none":
        typer.echo(f"next: zc-search evaluate {out}")


def config_or_starter(file: Path | None, settings: list[str] | None) -> "Loaded":
    """Return the settings of a file, or those of `zc-search init` where none is given."""
    from zc_search.config import load_config, parse_config, starter

    if file:
        return load_config(file, settings or ())
    return parse_config(starter(), settings or (), source="settings")


def _architectures(
    config: "Loaded", file: Path | None, sample: int | None, seed: int
) -> "list[AnyArchitecture]":
    from zc_search.scoring import architectures

    space = architectures.open_space(config)
    if file is not None:
        return architectures.read_architectures(file)
    if sample is not None:
        return architectures.sample_space(space, sample, seed)
    if (everything := architectures.whole_space(space)) is not None:
        return everything
    raise UsageError(
        f"--all: the space {space.name!r} cannot be listed; Allowed: --sample N, --file"
    )


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


# The cache ----------------------------------------------------------------------------------------

cache_app = typer.Typer(
    no_args_is_help=True, help="Show or clear the scores that are kept for other searches."
)

Folder = Annotated[str, Option(help="The cache's folder, as in proxies.cache.")]


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

    if (cache := open_cache(folder)) is None:
        typer.echo("the cache is off")
    return cache
