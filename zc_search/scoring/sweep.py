"""The whole space scored: many architectures into one Parquet file, in processes that may die."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from os import PathLike
from pathlib import Path

import pandas as pd
import torch
from joblib import cpu_count

from zc_search.config import Config
from zc_search.errors import ScoresError, ZcSearchError
from zc_search.evaluation import BASELINES
from zc_search.proxies import resolve_proxies
from zc_search.scoring.cache import open_cache
from zc_search.scoring.parallel import (
    score_group,
    scoring_processes,
    without_values,
    worker_died,
    worth_another_try,
)
from zc_search.scoring.scorer import Group, Scorer, Scores, Submit, batch_and_task, torch_device
from zc_search.scoring.store import Store, about, scores_of
from zc_search.spaces import AnyArchitecture, read_architecture

AT_ONCE = 32
"""Most architectures of one job: some functions have 460, and what is not done can be lost."""

_DEADLY = 3
"""Jobs in succession that kill their workers, after which it is not the jobs' fault."""

_WINDOW = 32  # workers that an executor is supposed to have


@dataclass(frozen=True)
class Progress:
    """Where a sweep stands: all asked for and those done; of this call those new and failed."""

    total: int
    done: int
    new: int = 0
    failed: int = 0
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Architectures a second."""
        return self.new / self.seconds if self.seconds else 0.0

    @property
    def remaining(self) -> float | None:
        """Expected seconds until the end; None before the first result."""
        return (self.total - self.done) / self.rate if self.rate else None


def score_space(
    architectures: Iterable[AnyArchitecture | str],
    config: Config,
    out: str | PathLike[str],
    *,
    workers: int | None = None,
    executor: Executor | None = None,
    save_every: float = 30.0,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> pd.DataFrame:
    """Score architectures into a Parquet file, or go on where an earlier call was cut off.

    Architectures of one function share the passes of all proxies but those that count dead edges.
    Scores are saved beside the file as they come and merged into it at the end, so a call that is
    killed loses what the last `save_every` seconds gave. Values do not depend on the number of
    workers, as each of them uses one thread.

    A proxy that takes longer than ``proxies.timeout``, or with which its process dies twice, has
    no value for that architecture and for others of its function; the next call tries it again.

    Args:
        architectures: Architectures or their strings.
        config: Space, data and proxies are used; params and flops are always computed.
        out: The file; if it is there, it must have the same settings, and it grows.
        workers: Processes; by default one a core, or one in all where the device is a GPU.
        executor: Any other place to compute, such as ``Client(address).get_executor()`` of a Dask
            cluster, whose workers have zc-search installed; `workers` says how many it has.
        save_every: Seconds between two savings.
        on_progress: Called about once a second, and in the end.

    Returns:
        A row each architecture, in the order given, indexed by its string: ``function_key``, a
        column a proxy, ``seconds`` of a worker (the first architecture of a function pays for the
        shared passes), and ``failures``, where a value is not finite: JSON, proxy to reason.

    Raises:
        ScoresError: The file cannot be written, is damaged, or has other settings; several
            architectures in succession killed their workers; the executor is gone, or cannot
            keep ``proxies.timeout``.
        ZcSearchError: An architecture or something in the configuration cannot be had.

    Warns:
        ScoresWarning: A part of an earlier call is damaged; it is computed again.
    """
    if workers is not None and workers < 1:
        raise ScoresError(f"workers={workers!r} must be at least 1", key="workers", given=workers)
    if executor is not None and config.proxies.timeout is not None:
        message = "workers of an executor, as of Dask, cannot be held to a time limit"
        key = "proxies.timeout"
        raise ScoresError(f"{key}: {message}", key=key, given=config.proxies.timeout)
    wanted = {str(a): read_architecture(a) if isinstance(a, str) else a for a in architectures}
    scorer = sweep_scorer(config)
    store = Store(Path(out), about(config, scorer))
    with store.locked():
        scores = scores_of(store.read(), [p.name for p in scorer.proxies])
        left = [a for text, a in wanted.items() if text not in scores]
        # A limit on each architecture makes each a job of its own.
        jobs = make_jobs(left, AT_ONCE if config.proxies.timeout is None else 1)
        if jobs:
            begun = Progress(len(wanted), len(wanted) - len(left))
            on_progress(begun)
            known = {s.architecture.function_key: s for s in scores.values()}
            with _workers(scorer, config, workers, executor) as (submit, window):
                results = finished(jobs, submit, window, scorer, known)
                _run(results, store, begun, save_every, on_progress)
        table = store.finish()
    if lost := len(wanted.keys() - set(table.index)):
        raise ScoresError(f"{lost} scores were damaged in {str(out)!r}; the same command goes on")
    return table.loc[list(wanted)]


def sweep_scorer(config: Config) -> Scorer:
    """Return the scorer of a configuration, params and flops always among its proxies."""
    proxies = resolve_proxies((*config.proxies_to_compute, *BASELINES))
    batch, task, _ = batch_and_task(config)
    return Scorer.of(config, proxies, batch, task, open_cache(config.proxies.cache))


def make_jobs(architectures: Iterable[AnyArchitecture], at_once: int = AT_ONCE) -> list[Group]:
    """Group architectures by function, at most so many; the first group of every function first."""
    functions: dict[str, list[AnyArchitecture]] = {}
    for architecture in architectures:
        functions.setdefault(architecture.function_key, []).append(architecture)
    parts = (
        (start, tuple(alike[start : start + at_once]))
        for alike in functions.values()
        for start in range(0, len(alike), at_once)
    )
    return [group for _, group in sorted(parts, key=itemgetter(0))]


def reusable(scores: Scores) -> bool:
    """Whether scores hold for the whole function: not all were lost with a worker."""
    return not all(worth_another_try(scores.failures.get(name, "")) for name in scores.values)


def finished(
    jobs: Iterable[Group],
    submit: Submit,
    window: int,
    scorer: Scorer,
    known: dict[str, Scores] | None = None,
) -> Iterator[list[Scores] | None]:
    """Yield each job's scores, and None after a second without; `known` grows, by function."""
    queue, known = deque(jobs), known or {}
    running: dict[Future[list[Scores]], Group] = {}
    deaths = 0
    while queue or running:
        while queue and len(running) < window:
            job = queue.popleft()
            running[submit(job, known.get(job[0].function_key))] = job
        done = wait(running, 1, "FIRST_COMPLETED").done
        if not done:
            yield None
        for future in done:
            job = running.pop(future)
            scores = _outcome(job, future, scorer)
            known |= {s.architecture.function_key: s for s in scores if reusable(s)}
            reasons = [reason for s in scores for reason in s.failures.values()]
            deaths = deaths + 1 if any(map(worker_died, reasons)) else 0
            if deaths == _DEADLY:
                hint = "take fewer workers or a smaller data.batch_size; what is done is kept"
                last = f"the last is {job[0]} ({reasons[0]})"
                message = f"{_DEADLY} architectures in succession killed their worker, {last}"
                raise ScoresError(f"{message}; {hint}", hint=hint)
            yield scores


def _outcome(job: Group, future: Future[list[Scores]], scorer: Scorer) -> list[Scores]:
    try:
        return future.result()
    except ZcSearchError:
        raise
    except (CancelledError, OSError, BrokenExecutor) as error:
        message = f"the workers are gone ({type(error).__name__})"
        raise ScoresError(f"{message}; the same command goes on from here") from error
    except Exception as error:  # one job must not cost the work on all the others
        reason = f"{type(error).__name__}: {error}"
        return [without_values(scorer, a, reason) for a in job]


def _run(
    results: Iterator[list[Scores] | None],
    store: Store,
    begun: Progress,
    save_every: float,
    on_progress: Callable[[Progress], None],
) -> None:
    """Save results every few seconds, and once more however this ends."""
    start = saved = time.monotonic()
    done = failed = 0
    unsaved: list[Scores] = []
    try:
        for scores in results:
            unsaved += scores or ()
            done += len(scores or ())
            failed += sum(bool(s.failures) for s in scores or ())
            now = time.monotonic()
            if unsaved and now - saved >= save_every:
                store.append(unsaved)
                unsaved, saved = [], now
            on_progress(Progress(begun.total, begun.done + done, done, failed, now - start))
    finally:
        if unsaved:
            store.append(unsaved)


@contextmanager
def _workers(
    scorer: Scorer, config: Config, workers: int | None, executor: Executor | None
) -> Iterator[tuple[Submit, int]]:
    """Yield what a job is handed to, and how many it takes so that no worker waits."""
    if executor is not None:
        submit: Submit = partial(executor.submit, _score_alone, scorer)  # type: ignore[call-arg]
        yield submit, 2 * (workers or _WINDOW)
        return
    on_gpu = torch_device(config.proxies.device).type == "cuda"
    workers = workers or (1 if on_gpu else cpu_count())
    with scoring_processes(scorer, workers, 1, config.proxies.timeout) as submit:
        yield submit, 2 * workers


def _score_alone(scorer: Scorer, group: Group, known: Scores | None) -> list[Scores]:
    """Score with one thread, since an executor has one for each of its tasks."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return score_group(scorer, group, known)
    finally:
        torch.set_num_threads(threads)
