"""Scoring in processes that share the cores, may hang, and may die."""

import math
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch

from zc_search.proxies import Probe, Proxy, Scalar
from zc_search.scoring.scorer import Group, Scorer, Scores, Submit
from zc_search.scoring.workers import Crew, TaskTimeoutError, WorkerDiedError, note
from zc_search.spaces import AnyArchitecture

WORKER_DIED = "the worker process died with it, twice"


def too_long(seconds: float) -> str:
    """Say why a value is missing because of ``proxies.timeout``."""
    return f"no value within {seconds:g} s, which is proxies.timeout"


def worker_died(reason: str) -> bool:
    """Tell whether a value is missing because its worker was killed, one of Dask's among them."""
    return WORKER_DIED in reason or reason.startswith("KilledWorker")


def worth_another_try(reason: str) -> bool:
    """Tell whether a value is missing for a reason that need not be there the next time."""
    return worker_died(reason) or reason.endswith("which is proxies.timeout")


@contextmanager
def scoring_processes(
    scorer: Scorer, workers: int, threads: int, timeout: float | None = None
) -> Iterator[Submit]:
    """Yield what scores a group in one of several processes, without proxies that hang or kill."""
    with Crew(workers, _prepare, scorer, threads) as crew:
        yield lambda group, known: Attempt(crew, scorer, group, known, timeout).begin()


def without_values(scorer: Scorer, architecture: AnyArchitecture, reason: str) -> Scores:
    """Return the scores of an architecture that has no value, all for one reason."""
    names = [p.name for p in scorer.proxies]
    return Scores(architecture, dict.fromkeys(names, math.nan), dict.fromkeys(names, reason))


@dataclass
class Attempt:
    """A task of a crew, tried until all that is left of its proxies has been computed."""

    crew: Crew
    scorer: Scorer
    group: Group
    known: Scores | None
    timeout: float | None
    given_up: dict[str, str] = field(default_factory=dict)
    died_with: set[str | None] = field(default_factory=set)
    outcome: Future[list[Scores]] = field(default_factory=Future)

    def begin(self) -> Future[list[Scores]]:
        """Hand the task out, without the proxies given up; return what it will come to."""
        limit = None if self.timeout is None else self.timeout * len(self.group)
        task = (self.group, self.known, dict(self.given_up))
        future = self.crew.submit(_score, *task, timeout=limit, tries=1)
        future.add_done_callback(self._tried)
        return self.outcome

    def _tried(self, done: Future[list[Scores]]) -> None:
        try:
            self.outcome.set_result(done.result())
        except CancelledError:
            self.outcome.cancel()
        except TaskTimeoutError as error:
            self._give_up(error.note, too_long(self.timeout or 0.0))
        except WorkerDiedError as error:
            if error.note in self.died_with:
                self._give_up(error.note, f"{WORKER_DIED} ({error})")
            else:
                self.died_with.add(error.note)
                self.begin()
        except BaseException as error:
            self.outcome.set_exception(error)

    def _give_up(self, name: str | None, reason: str) -> None:
        """Go on without the proxy in hand, or without all where it was none of them."""
        if name is None:
            nothing = [without_values(self.scorer, a, reason) for a in self.group]
            self.outcome.set_result(nothing)
        else:
            self.given_up[name] = reason
            self.begin()


_scorer: Scorer  # set once, by `_prepare`


def _prepare(scorer: Scorer, threads: int) -> None:
    global _scorer
    _scorer = scorer
    torch.set_num_threads(threads)  # the process is ours


def _score(group: Group, known: Scores | None, given_up: Mapping[str, str]) -> list[Scores]:
    return score_group(_scorer, group, known, given_up, watch=_noted)


def score_group(
    scorer: Scorer,
    group: Group,
    known: Scores | None = None,
    given_up: Mapping[str, str] | None = None,
    watch: Callable[..., Scalar] | None = None,
) -> list[Scores]:
    """Score a group, without the proxies given up; nothing is remembered, so memory stays flat."""
    given_up = given_up or {}
    proxies = [p for p in scorer.proxies if p.name not in given_up]
    fresh = scorer.fresh(replace(p, function=partial(watch, p)) if watch else p for p in proxies)
    if known is not None:
        fresh.remember(known)
    nothing = dict.fromkeys((p.name for p in scorer.proxies), math.nan)  # in the order asked for
    return [
        replace(s, values={**nothing, **s.values}, failures={**s.failures, **given_up})
        for s in map(fresh.score, group)
    ]


def _noted(proxy: Proxy, probe: Probe, **options: Any) -> Scalar:
    """Compute a proxy, and note before that it is in hand."""
    note(proxy.name)
    return proxy.function(probe, **options)
