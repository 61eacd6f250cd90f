"""Asking, scoring and telling, until the study has its trials, alone or among other processes."""

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from optuna.exceptions import UpdateFinishedTrialError
from optuna.samplers import GridSampler, RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from zc_search._utils.cores import threads_each
from zc_search._utils.optuna_private import begun_trial, is_enqueued, is_stopped, stoppable
from zc_search.benchmarks.measured import Measured
from zc_search.errors import StudyError
from zc_search.scoring.parallel import Submit, scoring_here, scoring_processes
from zc_search.scoring.scorer import Scorer, Scores, raised
from zc_search.spaces import AnyArchitecture
from zc_search.study.objective import Objective
from zc_search.study.presence import Presence
from zc_search.study.record import OnTrial, TrialRecord, finished_trials, frozen, recorded
from zc_search.study.training import Epoch, Trainer

logger = logging.getLogger("zc_search")

_PAUSE = 1.0  # seconds between two looks at whether the others are done
_HOPELESS = 10  # trials in which a proxy failed, and none had values, after which a search ends
_LOOK = 5.0  # seconds between two looks for what others left behind


def run_trials(
    study: Study,
    objective: Objective,
    on_trial: OnTrial = lambda number, record: None,
    *,
    name: str | None = None,
) -> None:
    """Bring a study to its number of trials, or to the end of one of its budgets.

    Trials are told in order of their numbers, and each is asked for when the one has been told
    that is as many before it as may be in hand. So what a sampler knows when it draws a trial does
    not depend on which worker was faster, nor on where an earlier run was cut off. Other processes
    may work on the study at the same time; trials that one of them leaves behind are taken up.
    `on_trial` is called after each trial, those of others included; for `name` see `Presence`.
    """
    objective.catch_up(study)
    config = objective.config
    with (
        stoppable(study),
        Presence(study, name) as presence,
        scoring(objective.scorer, config.study.workers, config.proxies.timeout) as submit,
    ):
        queue = Queue(study, objective, presence, submit, on_trial)
        while queue.fill():
            queue.finish()


def scoring(
    scorer: Scorer, workers: int, timeout: float | None = None
) -> AbstractContextManager[Submit]:
    """Return what scores a group, in the call for one worker without a time limit."""
    if workers > 1 or timeout is not None:
        return scoring_processes(scorer, workers, threads_each(workers), timeout)
    return scoring_here(scorer)


class Queue:
    """The trials in hand, one, or twice as many as workers, told in order of their numbers."""

    def __init__(
        self, study: Study, objective: Objective, presence: Presence, submit: Submit, told: OnTrial
    ) -> None:
        self._study, self._objective, self._presence = study, objective, presence
        self._submit, self._on_trial = submit, told
        settings = objective.config.study
        self._most = 2 * settings.workers if settings.workers > 1 else 1
        self._n_trials = settings.n_trials
        if settings.sampler == "brute_force":
            self._n_trials = min(self._n_trials, objective.space.size or self._n_trials)
        if settings.distinct:  # then there is nothing else to look at
            self._n_trials = min(self._n_trials, objective.functions or self._n_trials)
        self._in_hand: deque[tuple[Trial, AnyArchitecture]] = deque()
        self._jobs: dict[str, Future[list[Scores]]] = {}
        self._functions: set[str] = set()
        self._asked = _asked([t.state for t in study.get_trials(deepcopy=False)])
        self._beside = 0
        self._were_others = False
        self._looked = -math.inf
        self._stagnation = Stagnation(settings.stagnation) if settings.stagnation else None

    def fill(self) -> bool:
        """Begin the trials that may be scored now: those that were cut off, then new ones.

        Return whether there is a trial to finish; if not, the study or one of its budgets ends.
        """
        while True:
            others = self._see_others()
            if not self._in_hand or (others and self._is_time()):
                abandoned = self._presence.abandoned()
                for trial in taken_up(self._study, abandoned, self._objective.space.is_complete):
                    self._begin(trial)
            while self._has_room():
                trial = self._study.ask()
                self._asked += 1
                if self._is_surplus(trial):
                    self._study.tell(trial, state=TrialState.FAIL)
                    break
                self._begin(trial)
            if self._in_hand:
                return True
            running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
            if is_stopped(self._study) or not self._left(self._most) or not running:
                return False
            time.sleep(_PAUSE)

    def finish(self) -> None:
        """Tell the trial that was begun first."""
        trial, architecture = self._in_hand[0]
        record = self._objective.record(trial, architecture, self._scores(architecture))
        self._objective.count(trial.number, record)
        try:
            record, values = self._objective.store(trial, architecture, record)
            state = TrialState.PRUNED if values is None else TrialState.COMPLETE
            self._study.tell(trial, values, state=state)
        except (UpdateFinishedTrialError, ValueError):
            # Optuna says either, by the moment at which another process was faster.
            if not frozen(self._study, trial.number).state.is_finished():
                raise
            logger.info("trial %d was told by another process", trial.number)
        else:
            self._on_trial(trial.number, record)
        self._in_hand.popleft()
        self._presence.hold(t.number for t, _ in self._in_hand)

    def _begin(self, trial: Trial) -> None:
        """Ask for a trial's architecture and have it scored, if it is to be scored now."""
        try:
            architecture = self._objective.space.suggest(trial)
        except UpdateFinishedTrialError:  # by somebody who was thought to be dead
            return
        except ValueError as error:
            if not is_enqueued(frozen(self._study, trial.number)):
                raise
            logger.warning("enqueued trial %d is not of the space: %s", trial.number, error)
            self._study.tell(trial, state=TrialState.FAIL)
            self._asked -= 1
            return
        self._in_hand.append((trial, architecture))
        self._presence.hold(t.number for t, _ in self._in_hand)
        if stored := TrialRecord.of(trial):  # cut off while it was told
            self._objective.remember(Scores(architecture, stored.proxies, stored.failures))
        key, known = architecture.function_key, self._objective.scorer.knows(architecture)
        # Another one of a function in hand waits for it, and is spared what they share.
        waits = key in self._functions or known
        if not waits and self._objective.limits.check(architecture).refused is None:
            self._jobs[str(architecture)] = self._submit(
                (architecture,), self._objective.known(key)
            )
            self._functions.add(key)

    def _scores(self, architecture: AnyArchitecture) -> Scores | None:
        """Wait for the scores of an architecture; None if it is refused."""
        if self._objective.limits.check(architecture).refused is not None:
            return None
        key, scorer = architecture.function_key, self._objective.scorer
        job = self._jobs.pop(str(architecture), None)
        self._functions.discard(key)
        if job is None and scorer.knows(architecture):
            return scorer.score(architecture)
        job = job or self._submit((architecture,), self._objective.known(key))
        (scores,) = job.result()
        self._objective.remember(scores)
        return scores

    def _see_others(self) -> bool:
        """Whether other processes are there; what they told, before they left as well, counts."""
        others = bool(self._presence.others())
        if others or self._were_others:
            self._objective.catch_up(self._study, self._on_trial)
            states = [t.state for t in self._study.get_trials(deepcopy=False)]
            self._asked = _asked(states)
            running = states.count(TrialState.RUNNING) - len(self._in_hand)
            self._beside = max(0, running) if others else 0
        self._were_others = others
        return others

    def _is_time(self) -> bool:
        """Whether to look again for trials of processes that died; a look costs two queries."""
        now = time.monotonic()
        if now - self._looked < _LOOK:
            return False
        self._looked = now
        return True

    def _left(self, most: int) -> int:
        return self._objective.clock.left(self._objective.config, most)

    def _has_room(self) -> bool:
        count, sampler = len(self._in_hand), self._study.sampler
        return (
            count < self._most
            # Of a budget, what others have in hand may be spent already.
            and count + self._beside < self._left(self._most + self._beside)
            and self._asked < self._n_trials
            and not is_stopped(self._study)
            and not (self._stagnation and self._stagnation.has_come(self._study))
            # A grid may have been gone through in an earlier run.
            and not (isinstance(sampler, GridSampler) and sampler.is_exhausted(self._study))
        )

    def _is_surplus(self, trial: Trial) -> bool:
        """Whether others asked for the last trials at the same moment."""
        if trial.number < self._n_trials:
            return False
        trials = self._study.get_trials(deepcopy=False)
        before = sum(t.number < trial.number and t.state != TrialState.FAIL for t in trials)
        return before >= self._n_trials


def taken_up(
    study: Study,
    trials: Iterable[FrozenTrial],
    is_complete: Callable[[Mapping[str, Any]], bool],
) -> Iterator[Trial]:
    """Yield trials that were cut off, ready to be asked for parameters and told.

    A trial whose stored parameters `is_complete` keeps them; the sampler is not asked again.
    """
    sampler = study.sampler
    for trial in trials:
        if is_complete(trial.params):
            study.sampler = RandomSampler()
        try:
            yield begun_trial(study, trial)
        finally:
            study.sampler = sampler


def _asked(states: list[TrialState]) -> int:
    """Return how many trials count towards the number of trials; those enqueued when asked for."""
    return len(states) - states.count(TrialState.FAIL) - states.count(TrialState.WAITING)


# Where a search stands --------------------------------------------------------------------------


@dataclass
class Progress:
    """Where the search stands."""

    total: int
    done: int = 0
    feasible: int = 0
    functions: set[str] = field(default_factory=set)
    seconds: float = 0.0
    trainings: int = 0  # finished, where a search trains, of at most `most`
    most: int = 0
    epoch: int = 0  # of the one going on, of `epochs`, and what it reached, in percent
    epochs: int = 0
    accuracy: float = math.nan

    def count(self, record: TrialRecord) -> None:
        """Count one more trial."""
        self.done += 1
        if record.benchmark and record.function_key not in self.functions:
            self.trainings, self.epoch = self.trainings + 1, 0
        self.feasible += record.infeasible is None
        self.functions.add(record.function_key)


class Watch:
    """Counts the trials of a search while it runs, and says so.

    A search ends when so many trials failed by a proxy's error, and none had values, that the next
    would too.
    """

    def __init__(
        self, study: Study, objective: Objective, on_progress: Callable[[Progress], None]
    ) -> None:
        self._study, self._objective, self._say = study, objective, on_progress
        self._begun, self._failed, self._reason, self._hope = time.perf_counter(), 0, "", False
        most, total = objective.config.study.max_accuracies, objective.config.study.n_trials
        self._progress = Progress(total)
        measure = objective.benchmark.measure if isinstance(objective.benchmark, Measured) else None
        if isinstance(measure, Trainer):
            self._progress.most = min(most or total, total)
            self._progress.epochs = measure.recipe.epochs
            measure.on_epoch = self._on_epoch
        for _, record in recorded(study):
            self._count(record)
        on_progress(self._progress)

    def on_trial(self, number: int, record: TrialRecord) -> None:
        """Count one more trial; stop the study where no other one can have values."""
        logger.info("trial %d: %s", number, record)
        self._count(record)
        self._progress.seconds = time.perf_counter() - self._begun
        self._say(self._progress)
        if self._failed >= _HOPELESS and not self._hope:
            self._study.stop()

    def refuse_if_lost(self, log: str) -> None:
        """Raise `StudyError` where no trial has a value; `log` is where to read more."""
        if self._reason and not self._hope:
            raise StudyError(
                f"none of the {self._progress.done} trials has a value, as a proxy failed: "
                f"{self._reason}; {log} has all of it, and --fresh starts over",
                given=self._reason,
            )

    def _count(self, record: TrialRecord) -> None:
        self._progress.count(record)
        reason = self._failure(record)
        self._hope |= record.infeasible is None or (reason is None and bool(record.proxies))
        self._failed, self._reason = self._failed + (reason is not None), reason or self._reason

    def _failure(self, record: TrialRecord) -> str | None:
        """Return why a trial has no values, where a proxy that is an objective raised."""
        for name in (objective.name for objective in self._objective.config.active_objectives):
            if name in record.proxies and raised(reason := record.failures.get(name, "")):
                return f"{name}: {reason}"
        return None

    def _on_epoch(self, epoch: Epoch) -> None:
        self._progress.epoch, self._progress.accuracy = epoch.number, epoch.accuracy
        self._say(self._progress)


@dataclass(frozen=True)
class Stagnation:
    """Whether the hypervolume, of one objective the best value, has not grown for some trials.

    With a reference point that is worse than every trial, it grows exactly with a feasible trial
    that no earlier one is at least as good as in every objective, so no volume is computed. A
    callback for `Study.optimize` too, which stops the study.

    >>> study.optimize(objective, n_trials=1000, callbacks=[Stagnation(50)])  # doctest: +SKIP
    """

    patience: int

    def __call__(self, study: Study, trial: FrozenTrial) -> None:
        """Stop a study that stagnates."""
        if self.has_come(study):
            study.stop()

    def has_come(self, study: Study) -> bool:
        """Whether that many trials were told since the last one with a gain."""
        return self.trials_without_gain(study) >= self.patience

    def trials_without_gain(self, study: Study) -> int:
        """Return how many trials were told since the last one with a gain, in order of numbers."""
        # The last one with a gain is on the front, the first there of its values.
        front: dict[tuple[float, ...], int] = {}
        for trial in sorted(study.best_trials, key=lambda trial: trial.number):
            front.setdefault(tuple(trial.values), trial.number)
        last = max(front.values(), default=-1)
        return sum(trial.number > last for trial in finished_trials(study))
