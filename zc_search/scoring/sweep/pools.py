"""Where jobs are done: in processes of this machine, or on a Dask cluster. Either may lose some."""

from abc import ABC, abstractmethod
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self
from uuid import uuid4

from zc_search.errors import ScoresError
from zc_search.scoring import crew
from zc_search.scoring.crew import Crew, WorkerNeverBeganError
from zc_search.scoring.scorer import Scores
from zc_search.scoring.sweep.jobs import Job, Scoring, prepare, run
from zc_search.scoring.sweep.watching import WORKER_DIED, Attempt, too_long


class WorkerDiedError(Exception):
    """A worker died with a job, perhaps not through the job's fault."""


class Pool(ABC):
    """Workers that know how to score; a context manager.

    Args:
        scoring: What each worker is told when it starts.
    """

    def __init__(self, scoring: Scoring) -> None:
        self.scoring = scoring
        self.sweep = uuid4().hex
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, traceback)

    @property
    @abstractmethod
    def window(self) -> int:
        """How many jobs to hand out at once: enough that no worker waits, and no more."""

    @abstractmethod
    def _start(self) -> None:
        """Start the workers.

        Raises:
            ScoresError: They do not start.
        """

    @abstractmethod
    def submit(self, job: Job) -> Future[list[Scores]]:
        """Hand a job out.

        Raises:
            WorkerDiedError: The pool must be restarted first.
        """

    @abstractmethod
    def outcome(self, job: Job, future: Future[list[Scores]]) -> list[Scores]:
        """Wait for a job's scores.

        Raises:
            WorkerDiedError: A worker died, and the pool must be restarted.
            ScoresError: The workers are gone for good.
        """

    def restart(self) -> None:
        """Start all workers anew, after one died."""
        self._stack.close()
        self._start()

    def given_up(self, job: Job) -> list[Scores]:
        """Return scores without a value for a job that kills its workers."""
        return [self.scoring.failed(a, WORKER_DIED) for a in job.architectures]


class Processes(Pool):
    """Processes of this machine, one thread each, so that they do not fight for the cores."""

    def __init__(self, scoring: Scoring, workers: int) -> None:
        super().__init__(scoring)
        self._workers = workers

    @property
    def window(self) -> int:
        """Two jobs a worker."""
        return 2 * self._workers

    def _start(self) -> None:
        self._notes = Path(self._stack.enter_context(TemporaryDirectory(prefix="zc-search-")))
        self._crew = self._stack.enter_context(
            Crew(self._workers, 1, prepare, self.sweep, self.scoring)
        )
        try:
            self._crew.submit(int).result()
        except WorkerNeverBeganError as error:
            raise ScoresError(
                "the worker processes end before they begin (their messages are above); a script "
                'that scores must do so under `if __name__ == "__main__":`'
            ) from error

    def submit(self, job: Job) -> Future[list[Scores]]:
        """See `Pool`; a proxy that takes too long is left out of what the job gives."""
        if self.scoring.timeout is None:
            return self._crew.submit(run, self.sweep, job)
        limit = self.scoring.timeout
        return Attempt(
            self._crew,
            self._notes / uuid4().hex,
            run,
            (self.sweep, job),
            timeout=limit * len(job.architectures),
            reason=too_long(limit),
            lost=lambda reason: [self.scoring.failed(a, reason) for a in job.architectures],
        ).outcome

    def outcome(self, job: Job, future: Future[list[Scores]]) -> list[Scores]:
        """See `Pool`."""
        try:
            return future.result()
        except crew.WorkerDiedError as error:
            raise WorkerDiedError from error

    def restart(self) -> None:
        """Do nothing: who died is replaced, and the others go on."""


def open_pool(scoring: Scoring, workers: int, dask: str | None) -> Pool:
    """Return processes of this machine, or the Dask cluster whose scheduler has this address.

    Raises:
        ScoresError: `dask` is given, and the package distributed is not installed.
    """
    if dask is None:
        return Processes(scoring, workers)
    try:
        from zc_search.scoring.sweep.cluster import Cluster
    except ModuleNotFoundError as error:
        raise ScoresError(
            f"dask={dask!r} needs the package {error.name!r}: pip install 'zc-search[distributed]'"
        ) from error
    return Cluster(scoring, dask)
