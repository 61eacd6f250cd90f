"""Scoring in this process, or in several that share the cores, may hang, and may die."""

import math
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from os import cpu_count
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

from zc_search.crew import Crew, WorkerDiedError, WorkerNeverBeganError
from zc_search.errors import StudyError
from zc_search.proxies import Proxy
from zc_search.scoring import Scorer, Scores
from zc_search.spaces import AnyArchitecture
from zc_search.sweep.watching import WORKER_DIED, Watch, too_long

Submit = Callable[[AnyArchitecture, Scores | None], Future[Scores]]
"""Called with an architecture, and the scores of another one of its function if they are known."""

_scorer: Scorer  # of a worker process; set once by `_prepare`, as the other
_proxies: tuple[Proxy, ...]


def _prepare(scorer: Scorer) -> None:
    global _scorer, _proxies
    _scorer, _proxies = scorer, scorer.proxies


def _score(architecture: AnyArchitecture, known: Scores | None, watch: Watch) -> Scores:
    _scorer.proxies = tuple(map(watch.over, _proxies))
    if known is not None:
        _scorer.remember(known)
    return _scorer.score(architecture)


@contextmanager
def scoring(scorer: Scorer, workers: int, timeout: float | None = None) -> Iterator[Submit]:
    """Yield a function that scores an architecture and returns a future of its scores.

    With one worker and no time limit the scoring happens in the call, on all cores; else in
    processes that get an equal share of the cores each. There a proxy that takes too long, or
    with which the process dies twice, has no value for the architecture, with the reason; the
    other proxies are computed all the same.

    Args:
        scorer: What computes the scores.
        workers: Processes.
        timeout: Seconds that an architecture may take before the proxy in hand is given up.

    Raises:
        StudyError: The processes do not start.
    """
    if workers == 1 and timeout is None:

        def score_now(architecture: AnyArchitecture, known: Scores | None) -> Future[Scores]:
            future: Future[Scores] = Future()
            future.set_result(scorer.score(architecture))
            return future

        yield score_now
        return
    threads = max(1, (cpu_count() or 1) // workers)
    with (
        TemporaryDirectory(prefix="zc-search-") as folder,
        Crew(workers, threads, _prepare, scorer) as crew,
    ):
        yield (
            lambda architecture, known: (
                _Attempt(crew, scorer, architecture, known, timeout, Path(folder)).outcome
            )
        )


class _Attempt:
    """One architecture, tried until all that is left of its proxies has been computed."""

    def __init__(
        self,
        crew: Crew,
        scorer: Scorer,
        architecture: AnyArchitecture,
        known: Scores | None,
        timeout: float | None,
        folder: Path,
    ) -> None:
        self.outcome: Future[Scores] = Future()
        self._crew = crew
        self._names = [p.name for p in scorer.proxies]
        self._architecture = architecture
        self._known = known
        self._timeout = timeout
        self._watch = Watch(folder / uuid4().hex, {})
        self._deaths: dict[str, int] = {}
        self._try()

    def _try(self) -> None:
        self._watch.begin()
        self._crew.submit(
            _score, self._architecture, self._known, self._watch, timeout=self._timeout
        ).add_done_callback(self._tried)

    def _tried(self, done: Future[Scores]) -> None:
        error = done.exception()
        if error is None:
            self._watch.note.unlink(missing_ok=True)
            self.outcome.set_result(done.result())
        elif isinstance(error, TimeoutError):
            self._give_up(too_long(self._timeout or 0.0))
        elif isinstance(error, WorkerDiedError):
            name = self._watch.in_hand()
            self._deaths[name] = self._deaths.get(name, 0) + 1
            if self._deaths[name] > 1:
                self._give_up(f"{WORKER_DIED} ({error})")
            else:
                self._try()
        elif isinstance(error, WorkerNeverBeganError):
            self.outcome.set_exception(
                StudyError(
                    "the worker processes end before they begin (their messages are above); a "
                    'script that searches must do so under `if __name__ == "__main__":`'
                )
            )
        else:
            self.outcome.set_exception(error)

    def _give_up(self, reason: str) -> None:
        """Go on without the proxy in hand, or without all where it was none of them."""
        name = self._watch.in_hand()
        if name in self._names and name not in self._watch.given_up:
            self._watch = Watch(self._watch.note, {**self._watch.given_up, name: reason})
            self._try()
            return
        self.outcome.set_result(
            Scores(
                self._architecture,
                dict.fromkeys(self._names, math.nan),
                dict.fromkeys(self._names, reason),
            )
        )
