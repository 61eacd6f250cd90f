"""The sweep: hand out jobs, save what comes back, survive the death of workers and of itself."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import pandas as pd
import torch

from zc_search._utils.cores import available_cores
from zc_search.config import Config
from zc_search.errors import ScoresError
from zc_search.scoring.scorer import Scores
from zc_search.scoring.sweep.jobs import Job, Scoring, make_jobs
from zc_search.scoring.sweep.pools import Pool, WorkerDiedError, open_pool
from zc_search.scoring.sweep.store import Store
from zc_search.scoring.sweep.table import about, scores_of
from zc_search.spaces import AnyArchitecture, read_architecture

_DEADLY = 3
"""Jobs in succession that kill their workers, after which it is not the jobs' fault."""

_Finished = tuple[Job, list[Scores]]


@dataclass(frozen=True)
class Progress:
    """Where a sweep stands.

    Attributes:
        total: Architectures asked for.
        done: Those that have scores.
        new: Those scored since this call began.
        failed: Those of them with a value that is not finite.
        share: Part of this call's expected work that is done, 0 to 1.
        seconds: Since the first job was handed out.
    """

    total: int
    done: int
    new: int = 0
    failed: int = 0
    share: float = 0.0
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Architectures a second."""
        return self.new / self.seconds if self.seconds else 0.0

    @property
    def remaining(self) -> float | None:
        """Expected seconds until the end; None before the first result."""
        return self.seconds * (1 - self.share) / self.share if self.share else None


def score_space(
    architectures: Iterable[AnyArchitecture | str],
    config: Config,
    out: str | PathLike[str],
    *,
    workers: int | None = None,
    dask: str | None = None,
    save_every: float = 30.0,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> pd.DataFrame:
    """Score architectures into a Parquet file, or go on where an earlier call was cut off.

    Architectures with one `Architecture.function_key` share the passes of all proxies but those
    that count dead edges. Scores are saved beside the file as they come and merged into it at the
    end, so a call that is killed loses what the last `save_every` seconds gave. Values do not
    depend on the number of workers, as each of them uses one thread.

    A proxy that takes longer than ``proxies.timeout`` has no value for that architecture and for
    others of its function; the other proxies have theirs. The next call tries it again, as it
    does with what killed its worker.

    Args:
        architectures: Architectures or their strings.
        config: Space, data and proxies are used; params and flops are always computed.
        out: The file; if it is there, it must have the same settings, and it grows.
        workers: Processes; by default one a core, or one in all where the device is a GPU.
        dask: Address of a Dask scheduler, to use its cluster instead of processes.
        save_every: Seconds between two savings.
        on_progress: Called about once a second, and in the end.

    Returns:
        A row each architecture, in the order given, indexed by its string: ``function_key``, a
        column a proxy, ``seconds`` of a worker (the first architecture of a function pays for the
        shared passes), and ``failures``, where a value is not finite: JSON, proxy to reason.

    Raises:
        ArchitectureError: A string that is no architecture.
        ScoresError: The file cannot be written, is damaged, or has other settings; the workers
            cannot be had; several architectures in succession killed theirs; ``proxies.timeout``
            is set, and `dask` is given.
        ZcSearchError: Something in the configuration cannot be had.

    Warns:
        ScoresWarning: A part of an earlier call is damaged; it is computed again.
    """
    if workers is not None and workers < 1:
        raise ScoresError(f"workers={workers!r} must be at least 1")
    if dask is not None and config.proxies.timeout is not None:
        raise ScoresError(
            f"proxies.timeout = {config.proxies.timeout:g}: the workers of a Dask cluster cannot "
            f"be held to a time limit; leave it out, or do without dask={dask!r}"
        )
    wanted = {str(a): read_architecture(a) if isinstance(a, str) else a for a in architectures}
    scoring = Scoring.of(config)
    store = Store(Path(out), about(config, scoring))
    with store.locked():
        known = scores_of(store.read(), [p.name for p in scoring.proxies])
        jobs = make_jobs(
            (a for string, a in wanted.items() if string not in known),
            {s.architecture.function_key: s for s in known.values()},
            scoring.at_once,
        )
        if jobs:
            missing = sum(len(job.architectures) + len(job.later) for job in jobs)
            begun = Progress(len(wanted), len(wanted) - missing)
            on_progress(begun)
            with open_pool(scoring, workers or _default_workers(config), dask) as pool:
                _run(jobs, pool, store, begun, save_every, on_progress)
        table = store.finish()
    if lost := len(wanted.keys() - set(table.index)):
        raise ScoresError(
            f"{lost} scores were damaged on their way to {str(out)!r} and back; the same command "
            "computes them again"
        )
    return table.loc[list(wanted)]


def _default_workers(config: Config) -> int:
    device = config.proxies.device
    on_gpu = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
    return 1 if on_gpu else available_cores()


def _run(
    jobs: list[Job],
    pool: Pool,
    store: Store,
    begun: Progress,
    save_every: float,
    on_progress: Callable[[Progress], None],
) -> None:
    """Do all jobs, saving what they give every few seconds, and once more however this ends."""
    start = saved = time.monotonic()
    work = sum(job.cost_with_later for job in jobs)
    done = failed = 0
    share = 0.0
    unsaved: list[Scores] = []
    try:
        for finished in _finished(deque(jobs), pool):
            if finished is not None:
                job, scores = finished
                unsaved += scores
                done += len(scores)
                failed += sum(bool(s.failures) for s in scores)
                share += job.cost / work
            now = time.monotonic()
            if unsaved and now - saved >= save_every:
                store.append(unsaved)
                unsaved, saved = [], now
            on_progress(
                Progress(begun.total, begun.done + done, done, failed, min(share, 1.0), now - start)
            )
    finally:
        if unsaved:
            store.append(unsaved)


def _finished(queue: deque[Job], pool: Pool) -> Iterator[_Finished | None]:
    """Yield each job with its scores, and None when a second has passed without one.

    When a worker dies, any of the jobs that were handed out may have been the reason. Each is
    tried once more, alone, so that the one that kills its worker again is the one to give up.
    """
    running: dict[Future[list[Scores]], Job] = {}
    trial = _Trial(pool)

    def followed(job: Job, scores: list[Scores]) -> _Finished:
        if following := job.next(scores):
            queue.appendleft(following)
        return job, scores

    while queue or running:
        broken = False
        try:
            while queue and len(running) < pool.window:
                running[pool.submit(queue[0])] = queue[0]
                queue.popleft()
        except WorkerDiedError:
            broken = True
        ready = [*running] if broken else [*wait(running, 1, FIRST_COMPLETED).done]
        if not ready and not broken:
            yield None
        suspects = []
        while ready:
            future = ready.pop()
            job = running.pop(future)
            try:
                scores = pool.outcome(job, future)
            except WorkerDiedError:
                broken = True
                suspects.append(job)
            else:
                yield followed(job, scores)
            if broken and not ready:
                ready = [*running]  # they are over as well, with or without scores
        if broken:
            pool.restart()
        for job in suspects:
            yield followed(job, trial.of(job))


class _Trial:
    """Finds out which jobs kill their workers, and whether it is the jobs."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._guilty = 0

    def of(self, job: Job) -> list[Scores]:
        """Do a job alone; give up one that kills its worker again."""
        try:
            scores = self._pool.outcome(job, self._pool.submit(job))
        except WorkerDiedError:
            self._guilty += 1
            if self._guilty == _DEADLY:
                raise ScoresError(
                    f"{_DEADLY} architectures in succession killed their worker, the last is "
                    f"{job.architectures[0]}; if the machine runs out of memory, take fewer "
                    "workers or a smaller data.batch_size. What is done is kept"
                ) from None
            self._pool.restart()
            return self._pool.given_up(job)
        self._guilty = 0
        return scores
