"""A Dask cluster as a pool; needs the package ``distributed``, so it is imported when asked for."""

from concurrent.futures import CancelledError, Future
from contextlib import suppress

import torch
from distributed import Client, KilledWorker, Worker, WorkerPlugin

from zc_search.errors import ScoresError
from zc_search.scoring.scorer import Scores
from zc_search.scoring.sweep.jobs import Job, Scoring, forget, prepare, run
from zc_search.scoring.sweep.pools import Pool

_PATIENCE = 30  # seconds, for the scheduler to answer and for the first worker to come


class Preparation(WorkerPlugin):
    """Prepares every worker of a cluster, those that join later or come back included."""

    def __init__(self, sweep: str, scoring: Scoring) -> None:
        self.name = f"zc-search-{sweep}"
        self._sweep = sweep
        self._scoring = scoring
        self._threads = 1

    def setup(self, worker: Worker) -> None:
        """Take the worker's cores from torch, since Dask gives it as many jobs at once."""
        self._threads = torch.get_num_threads()
        torch.set_num_threads(1)
        prepare(self._sweep, self._scoring)

    def teardown(self, worker: Worker) -> None:
        """Leave the worker as it was."""
        forget(self._sweep)
        torch.set_num_threads(self._threads)


class Cluster(Pool):
    """The workers of a scheduler, which itself hands the jobs of a dead worker to another one."""

    def __init__(self, scoring: Scoring, address: str) -> None:
        super().__init__(scoring)
        self._address = address

    @property
    def window(self) -> int:
        """Two jobs a thread of the cluster as it is now."""
        return 2 * max(1, int(sum(self._client.nthreads().values())))

    def _start(self) -> None:
        try:
            self._client = self._stack.enter_context(
                Client(self._address, timeout=_PATIENCE, set_as_default=False)  # type: ignore[no-untyped-call]
            )
        except (OSError, ValueError) as error:
            raise ScoresError(
                f"dask={self._address!r}: no scheduler answers there ({error})"
            ) from error
        try:
            self._client.wait_for_workers(1, timeout=_PATIENCE)
        except TimeoutError as error:
            raise ScoresError(
                f"dask={self._address!r}: the scheduler has no worker after {_PATIENCE} s; "
                "start some with `dask worker ADDRESS --nthreads 1`"
            ) from error
        preparation = Preparation(self.sweep, self.scoring)
        try:
            self._client.register_plugin(preparation)
        except Exception as error:  # whatever the workers ran into comes back as it was
            raise ScoresError(
                f"dask={self._address!r}: the workers cannot score, perhaps because zc-search is "
                f"not installed there ({type(error).__name__}: {error})"
            ) from error
        self._executor = self._client.get_executor(pure=False)
        self._stack.callback(self._leave, preparation.name)

    def _leave(self, preparation: str) -> None:
        # The workers may have been lost before, which is said elsewhere.
        with suppress(OSError, CancelledError):
            self._executor.shutdown(wait=False)
            self._client.unregister_worker_plugin(preparation)

    def submit(self, job: Job) -> Future[list[Scores]]:
        """See `Pool`."""
        future: Future[list[Scores]] = self._executor.submit(run, self.sweep, job)
        return future

    def outcome(self, job: Job, future: Future[list[Scores]]) -> list[Scores]:
        """See `Pool`; a job that killed worker after worker has been tried often enough."""
        try:
            return future.result()
        except KilledWorker:
            return self.given_up(job)
        except (CancelledError, OSError) as error:
            raise ScoresError(
                f"dask={self._address!r}: the scheduler is gone; what is done is kept, and the "
                "same command goes on from here"
            ) from error
