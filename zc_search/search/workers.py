"""Scoring in this process, or in several that share the cores between them."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from os import cpu_count

from zc_search.scoring import Scorer, Scores
from zc_search.spaces import Architecture
from zc_search.workers import process_pool

Submit = Callable[[Architecture], Future[Scores]]

_scorer: Scorer  # of a worker process; set once by `_prepare`


def _prepare(scorer: Scorer) -> None:
    global _scorer
    _scorer = scorer


def _score(architecture: Architecture) -> Scores:
    return _scorer.score(architecture)


@contextmanager
def scoring(scorer: Scorer, workers: int) -> Iterator[Submit]:
    """Yield a function that scores an architecture and returns a future of its scores.

    With one worker the scoring happens in the call, on all cores; with more, in processes that
    get an equal share of the cores each.
    """
    if workers == 1:

        def score_now(architecture: Architecture) -> Future[Scores]:
            future: Future[Scores] = Future()
            future.set_result(scorer.score(architecture))
            return future

        yield score_now
        return
    threads = max(1, (cpu_count() or 1) // workers)
    with process_pool(workers, threads, _prepare, scorer) as pool:
        yield lambda architecture: pool.submit(_score, architecture)
