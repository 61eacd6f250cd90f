"""Scoring in this process, or in several that share the cores, may hang, and may die."""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

from zc_search._utils.cores import available_cores
from zc_search.errors import StudyError
from zc_search.proxies import Proxy
from zc_search.scoring.crew import Crew, WorkerDiedError, WorkerNeverBeganError
from zc_search.scoring.scorer import Scorer, Scores
from zc_search.scoring.sweep.watching import WORKER_DIED, Attempt, Watch, too_long
from zc_search.spaces import AnyArchitecture

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
    threads = max(1, available_cores() // workers)
    with (
        TemporaryDirectory(prefix="zc-search-") as folder,
        Crew(workers, threads, _prepare, scorer) as crew,
    ):
        yield (
            lambda architecture, known: (
                _Attempt(
                    crew,
                    Path(folder) / uuid4().hex,
                    _score,
                    (architecture, known),
                    timeout=timeout,
                    reason=too_long(timeout or 0.0),
                    lost=partial(_without_values, scorer, architecture),
                ).outcome
            )
        )


def _without_values(scorer: Scorer, architecture: AnyArchitecture, reason: str) -> Scores:
    names = [p.name for p in scorer.proxies]
    return Scores(architecture, dict.fromkeys(names, math.nan), dict.fromkeys(names, reason))


class _Attempt(Attempt[Scores]):
    """Here a proxy is given up too if its process dies with it twice."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._deaths: Counter[str] = Counter()
        super().__init__(*args, **options)

    def _failed(self, error: Exception) -> None:
        if isinstance(error, WorkerDiedError):
            name = self._watch.in_hand()
            self._deaths[name] += 1
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
            super()._failed(error)
