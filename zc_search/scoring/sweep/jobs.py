"""What one worker does at a time: score the architectures of one function."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from zc_search.config import Config
from zc_search.images import Batch
from zc_search.images.datasets import Task
from zc_search.proxies import Proxy, resolve_proxies
from zc_search.scoring.cache import OFF, open_cache
from zc_search.scoring.images import batch_and_task
from zc_search.scoring.scorer import Scorer, Scores
from zc_search.scoring.sweep.watching import Watch, worth_another_try
from zc_search.spaces import AnyArchitecture, Architecture

AT_ONCE = 32
"""Most architectures of one job: some functions have 460, and what is not done can be lost."""

# Worker seconds of the usual proxies, batch 32, in hundredths; only their ratios matter here.
_SECONDS = {"nor_conv_3x3": 50, "nor_conv_1x1": 22, "avg_pool_3x3": 11}
_PASS, _BUILD = 16, 4


@dataclass(frozen=True)
class Scoring:
    """All that a worker must know to score; it is sent to each worker once."""

    proxies: tuple[Proxy, ...]
    batch: Batch
    dataset: Task
    channels: int | None
    cells: int | None
    repeats: int
    seed: int
    device: str
    cache: str = OFF
    timeout: float | None = None

    @classmethod
    def of(cls, config: Config) -> "Scoring":
        """Take from a configuration what matters; params and flops are always among the proxies.

        Raises:
            ZcSearchError: Proxies, images or a device that cannot be had.
        """
        # Not above, because SciPy takes a second to start, in every worker.
        from zc_search.evaluation import BASELINES

        proxies = resolve_proxies((*config.proxies_to_compute, *BASELINES))
        batch, task, _ = batch_and_task(config)
        scoring = cls(
            proxies,
            batch,
            task,
            config.space.channels,
            config.space.cells,
            config.proxies.repeats,
            config.proxies.seed,
            config.proxies.device,
            config.proxies.cache,
            config.proxies.timeout,
        )
        scoring.scorer()  # complains here, not in every worker
        return scoring

    @property
    def at_once(self) -> int:
        """Most architectures of one job; a limit on each of them makes each a job of its own."""
        return AT_ONCE if self.timeout is None else 1

    def scorer(self) -> Scorer:
        """Return a scorer whose cache is empty."""
        return Scorer(
            self.proxies,
            self.batch,
            dataset=self.dataset,
            channels=self.channels,
            cells=self.cells,
            repeats=self.repeats,
            seed=self.seed,
            device=self.device,
            cache=open_cache(self.cache),
        )

    def failed(self, architecture: AnyArchitecture, reason: str) -> Scores:
        """Return scores without a value, all for one reason."""
        names = [p.name for p in self.proxies]
        return Scores(architecture, dict.fromkeys(names, math.nan), dict.fromkeys(names, reason))


@dataclass(frozen=True)
class Job:
    """Architectures of one function, whose passes are shared.

    Attributes:
        architectures: What is to be scored now.
        later: More of the same function, for the next job.
        known: Scores of another one of the same function, so that its passes are not repeated.
        at_once: Most architectures to be scored now.
    """

    architectures: tuple[AnyArchitecture, ...]
    later: tuple[AnyArchitecture, ...] = ()
    known: Scores | None = None
    at_once: int = AT_ONCE

    @classmethod
    def of(
        cls,
        architectures: tuple[AnyArchitecture, ...],
        known: Scores | None,
        at_once: int = AT_ONCE,
    ) -> "Job":
        """Make a job of the first ones and leave the others for later."""
        return cls(architectures[:at_once], architectures[at_once:], known, at_once)

    def next(self, scores: list[Scores]) -> "Job | None":
        """Return the job for those left for later, given what this one found."""
        if not self.later:
            return None
        return Job.of(self.later, reusable(scores) or self.known, self.at_once)

    @cached_property
    def cost(self) -> float:
        """Expected work now, in units of its own."""
        of_function = 0
        if self.known is None:
            scored = self.architectures[0].representative()
            operations = scored.ops if isinstance(scored, Architecture) else ("nor_conv_3x3",)
            of_function = _PASS + sum(_SECONDS.get(operation, 0) for operation in operations)
        return float(of_function + _BUILD * len(self.architectures))

    @property
    def cost_with_later(self) -> float:
        """Expected work for all, in the same units."""
        return self.cost + _BUILD * len(self.later)


def reusable(candidates: Iterable[Scores]) -> Scores | None:
    """Return the first scores that hold for the whole function: not all were lost with a worker.

    A single proxy that took too long would do so for the others of the function as well.
    """
    return next(
        (
            s
            for s in candidates
            if not all(worth_another_try(s.failures.get(name, "")) for name in s.values)
        ),
        None,
    )


def make_jobs(
    architectures: Iterable[AnyArchitecture], known: Mapping[str, Scores], at_once: int = AT_ONCE
) -> list[Job]:
    """Group architectures by function, the dearest first, so that the last ones are short.

    Args:
        architectures: What is to be scored.
        known: Scores by function key, where there are some.
        at_once: Most architectures of one job.
    """
    groups: dict[str, list[AnyArchitecture]] = {}
    for architecture in architectures:
        groups.setdefault(architecture.function_key, []).append(architecture)
    jobs = [Job.of(tuple(group), known.get(key), at_once) for key, group in groups.items()]
    return sorted(jobs, key=lambda job: -job.cost)


_prepared: dict[str, Scoring] = {}  # of a worker process, by sweep


def prepare(sweep: str, scoring: Scoring) -> None:
    """Make a process ready to `run` the jobs of a sweep."""
    _prepared[sweep] = scoring


def forget(sweep: str) -> None:
    """Undo `prepare`."""
    _prepared.pop(sweep, None)


def run(sweep: str, job: Job, watch: Watch | None = None) -> list[Scores]:
    """Do a job in a prepared process; a failure becomes scores without a value."""
    scoring = _prepared[sweep]
    scorer = scoring.scorer()  # its cache goes when the job is done, so that memory stays flat
    if watch is not None:
        scorer.proxies = tuple(map(watch.over, scorer.proxies))
    if job.known is not None:
        scorer.remember(job.known)
    return [_score(scoring, scorer, architecture) for architecture in job.architectures]


def _score(scoring: Scoring, scorer: Scorer, architecture: AnyArchitecture) -> Scores:
    try:
        return scorer.score(architecture)
    except Exception as error:  # one architecture must not cost the work on all the others
        return scoring.failed(architecture, f"{type(error).__name__}: {error}")
