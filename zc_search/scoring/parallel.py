"""Scoring in this process, or in several that share the cores, may hang, and may die."""

import math
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any, Generic, TypeVar

import torch

from zc_search._utils.cores import available_cores
from zc_search.proxies import Probe, Proxy, Scalar
from zc_search.scoring.scorer import Scorer, Scores
from zc_search.scoring.workers import Crew, TaskTimeoutError, WorkerDiedError, note
from zc_search.spaces import AnyArchitecture

WORKER_DIED = "the worker process died with it, twice"
"""The reason for a value that is missing because its worker was killed."""

T = TypeVar("T")

_LIMIT = "which is proxies.timeout"

Group = tuple[AnyArchitecture, ...]
"""Architectures of one function, whose passes are shared."""

SubmitGroup = Callable[[Group, Scores | None], Future[list[Scores]]]
"""Called with a group, and the scores of another one of its function if they are known."""

Submit = Callable[[AnyArchitecture, Scores | None], Future[Scores]]
"""The same for one architecture."""


def too_long(seconds: float) -> str:
    """Return the reason for a value that is missing because of ``proxies.timeout``."""
    return f"no value within {seconds:g} s, {_LIMIT}"


def worker_died(reason: str) -> bool:
    """Tell whether a value is missing because its worker was killed, one of Dask's among them."""
    return WORKER_DIED in reason or reason.startswith("KilledWorker")


def worth_another_try(reason: str) -> bool:
    """Tell whether a value is missing for a reason that need not be there the next time."""
    return worker_died(reason) or reason.endswith(_LIMIT)


@contextmanager
def scoring(scorer: Scorer, workers: int, timeout: float | None = None) -> Iterator[Submit]:
    """Yield a function that scores an architecture and returns a future of its scores.

    With one worker and no time limit the scoring happens in the call, on all cores; else in
    processes that get an equal share of the cores each; see `scoring_processes`.
    """

    def score_now(architecture: AnyArchitecture, known: Scores | None) -> Future[Scores]:
        future: Future[Scores] = Future()
        future.set_result(scorer.score(architecture))
        return future

    if workers == 1 and timeout is None:
        yield score_now
        return
    with Crew(workers, _prepare, scorer, max(1, available_cores() // workers)) as crew:
        yield (
            lambda architecture, known: (
                _Attempt(crew, scorer, (architecture,), known, timeout, itemgetter(0)).outcome
            )
        )


@contextmanager
def scoring_processes(
    scorer: Scorer, workers: int, threads: int, timeout: float | None = None
) -> Iterator[SubmitGroup]:
    """Yield a function that scores architectures of one function in one of several processes.

    A proxy that takes longer than `timeout` seconds, or with which the process dies twice, has no
    value for these architectures, with the reason; the others are computed all the same.
    """
    with Crew(workers, _prepare, scorer, threads) as crew:
        yield lambda group, known: _Attempt(crew, scorer, group, known, timeout, list).outcome


def without_values(scorer: Scorer, architecture: AnyArchitecture, reason: str) -> Scores:
    """Return the scores of an architecture that has no value, all for one reason."""
    names = [p.name for p in scorer.proxies]
    return Scores(architecture, dict.fromkeys(names, math.nan), dict.fromkeys(names, reason))


class _Attempt(Generic[T]):
    """A task of a crew, tried until all that is left of its proxies has been computed."""

    def __init__(
        self,
        crew: Crew,
        scorer: Scorer,
        group: Group,
        known: Scores | None,
        timeout: float | None,
        answer: Callable[[list[Scores]], T],
    ) -> None:
        self.outcome: Future[T] = Future()
        self._answer = answer
        self._crew = crew
        self._scorer = scorer
        self._group = group
        self._known = known
        self._timeout = timeout
        self._given_up: dict[str, str] = {}
        self._died_with: set[str | None] = set()
        self._try()

    def _try(self) -> None:
        limit = None if self._timeout is None else self._timeout * len(self._group)
        task = (self._group, self._known, dict(self._given_up))
        future = self._crew.submit(_score, *task, timeout=limit, tries=1)
        future.add_done_callback(self._tried)

    def _tried(self, done: Future[list[Scores]]) -> None:
        try:
            result = done.result()
        except CancelledError:
            self.outcome.cancel()
        except TaskTimeoutError as error:
            self._give_up(error.note, too_long(self._timeout or 0.0))
        except WorkerDiedError as error:
            if error.note in self._died_with:
                self._give_up(error.note, f"{WORKER_DIED} ({error})")
            else:
                self._died_with.add(error.note)
                self._try()
        except BaseException as error:
            self.outcome.set_exception(error)
        else:
            self.outcome.set_result(self._answer(result))

    def _give_up(self, name: str | None, reason: str) -> None:
        """Go on without the proxy in hand, or without all where it was none of them."""
        if name is None:
            nothing = [without_values(self._scorer, a, reason) for a in self._group]
            self.outcome.set_result(self._answer(nothing))
        else:
            self._given_up[name] = reason
            self._try()


# In a process -------------------------------------------------------------------------------------

_scorer: Scorer  # set once, by `_prepare`


def _prepare(scorer: Scorer, threads: int) -> None:
    global _scorer
    _scorer = scorer
    torch.set_num_threads(threads)  # the process is ours


def _score(group: Group, known: Scores | None, given_up: Mapping[str, str]) -> list[Scores]:
    return score_group(_scorer, group, known, given_up, watch=_Noted)


def score_group(
    scorer: Scorer,
    group: Group,
    known: Scores | None = None,
    given_up: Mapping[str, str] | None = None,
    watch: Callable[[Proxy], Callable[..., Scalar]] | None = None,
) -> list[Scores]:
    """Score a group, without the proxies given up; nothing is remembered, so memory stays flat."""
    given_up = given_up or {}
    names = [p.name for p in scorer.proxies]
    proxies = [p for p in scorer.proxies if p.name not in given_up]
    fresh = scorer.fresh(replace(p, function=watch(p)) if watch else p for p in proxies)
    if known is not None:
        fresh.remember(known)
    found = [fresh.score(architecture) for architecture in group]
    if not given_up:
        return found
    return [
        replace(
            s,
            values={name: s.values.get(name, math.nan) for name in names},
            failures={**s.failures, **given_up},
        )
        for s in found
    ]


@dataclass(frozen=True)
class _Noted:
    """The function of a proxy, which notes that it is in hand before it begins."""

    proxy: Proxy

    def __call__(self, probe: Probe, **options: Any) -> Scalar:
        note(self.proxy.name)
        return self.proxy.function(probe, **options)
