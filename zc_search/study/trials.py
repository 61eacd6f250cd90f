"""Asking, scoring and telling, until the study has its trials, alone or among other processes."""

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from platform import node
from threading import Event, Thread
from typing import Any, Self
from uuid import uuid4

import psutil
from optuna.exceptions import OptunaError, UpdateFinishedTrialError
from optuna.samplers import GridSampler, RandomSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from zc_search._utils.optuna_private import begun_trial, is_enqueued, is_stopped, stoppable
from zc_search.errors import StudyError
from zc_search.scoring.parallel import scoring_processes
from zc_search.scoring.scorer import Scorer, Scores, Submit, scoring_here, threads_each
from zc_search.spaces import AnyArchitecture
from zc_search.study.objective import Objective
from zc_search.study.record import OnTrial, TrialRecord, finished_trials, frozen

logger = logging.getLogger("zc_search")

_PAUSE = 1.0  # seconds between two looks at whether the others are done
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
        self,
        study: Study,
        objective: Objective,
        presence: "Presence",
        submit: Submit,
        told: OnTrial,
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
        """Begin the trials that may be scored now; say whether there is one to finish."""
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
    study: Study, trials: Iterable[FrozenTrial], is_complete: Callable[[Mapping[str, Any]], bool]
) -> Iterator[Trial]:
    """Yield trials that were cut off; one whose parameters are complete keeps what was drawn."""
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


# Who works on a study, and which of its trials are nobody's any more ------------------------------
#
# Optuna has heartbeats for databases alone, and one that dies between asking for a trial and its
# first beat leaves that trial running for ever. Here each process writes an attribute of the study
# that says how often it has beaten and what it has in hand; who looks on compares two of these by a
# clock of its own. Who is alone needs none of this: every trial that runs is its own.

WORKER = "zc_search_worker:"
"""What the keys of the study's attributes begin with that say who works on it."""


class Presence:
    """Shows a study that this process works on it; a context manager.

    Optuna deletes no attribute, so who leaves or is dead leaves its key, empty, to the next one.
    Who can be there once only has a `name`, and comes in place of what it was before a kill. Beats
    come `every` so many seconds; after `grace` seconds without one a process counts as dead.
    """

    def __init__(
        self, study: Study, name: str | None = None, *, every: float = 10.0, grace: float = 45.0
    ) -> None:
        self.key = WORKER + (name or uuid4().hex[:8])
        self._named = name is not None
        self._id = uuid4().hex
        self._study = study
        self._every, self._grace = every, grace
        self._held: tuple[int, ...] = ()
        self._beats = 0
        self._seen: dict[str, tuple[object, float]] = {}
        self._loose_since: dict[int, float] = {}
        self._others: list[dict[str, Any]] = []
        self._looked = -float("inf")
        self._over = Event()
        self._thread = Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Self:
        if not self._named:
            self.others()  # which frees the keys of the dead
            free = [k for k, v in self._study.user_attrs.items() if k.startswith(WORKER) and not v]
            self.key = free[0] if free else self.key
        self._write()
        self._thread.start()
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self._over.set()
        self._thread.join(1.0)
        if isinstance(error, StudyError):
            return  # the storage is away, and was waited for
        try:
            self._study.set_user_attr(self.key, None)
        except (OptunaError, StudyError) as failure:
            logger.warning("the storage was not told that this process leaves: %s", failure)

    def _beat(self) -> None:
        while not self._over.wait(self._every):
            try:
                self._write()
            except Exception as error:  # the next beat may succeed; the search itself decides
                logger.warning("a heartbeat failed: %s", error)

    def _write(self) -> None:
        there = self._study.user_attrs.get(self.key)
        if not self._named and there and there.get("id") != self._id:  # another took it as well
            self.key = WORKER + uuid4().hex[:8]
        self._beats += 1
        beat = {"id": self._id, "beat": self._beats, "trials": [*self._held]}
        self._study.set_user_attr(self.key, {**beat, "process": this_process()})

    def hold(self, numbers: Iterable[int]) -> None:
        """Say which trials this process has in hand from now on; the next beat writes it down."""
        self._held = tuple(numbers)

    def others(self, within: float = 2.0) -> list[dict[str, Any]]:
        """Return what the other processes wrote that are alive, as of so many seconds ago."""
        now = time.monotonic()
        if now - self._looked > within:
            self._looked = now
            self._others = [
                beat
                for key, beat in self._study.user_attrs.items()
                if key.startswith(WORKER) and key != self.key and self._is_alive(key, beat, now)
            ]
        return self._others

    def _is_alive(self, key: str, beat: Any, now: float) -> bool:
        if not isinstance(beat, dict):
            return False
        mark = (beat.get("id"), beat.get("beat"))
        before, since = self._seen.get(key, (None, now))
        self._seen[key] = mark, (since if before in (None, mark) else now)
        if now - self._seen[key][1] <= self._grace and not has_ended(beat.get("process")):
            return True
        # Its next beat takes this back, if it was only slow.
        self._study.set_user_attr(key, None)
        del self._seen[key]
        return False

    def abandoned(self) -> list[FrozenTrial]:
        """Return the trials begun that, as far as is written down, no process has in hand."""
        running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        loose = [trial for trial in running if trial.number not in self._held]
        others, now = self.others(within=0.0) if loose else [], time.monotonic()
        if not others:
            return loose
        held = {number for beat in others for number in beat.get("trials", ())}
        loose = [trial for trial in loose if trial.number not in held]
        self._loose_since = {t.number: self._loose_since.get(t.number, now) for t in loose}
        return [t for t in loose if now - self._loose_since[t.number] > self._grace]


def this_process() -> dict[str, str | int | float]:
    """Return what tells this process from all others: its machine, number and start."""
    process = psutil.Process()
    return {"host": _place(), "pid": process.pid, "started": _started(process)}


def has_ended(other: object) -> bool:
    """Whether a process is known to have ended; of one on another machine that is never known."""
    if not isinstance(other, dict) or other.get("host") != _place():
        return False
    try:
        process = psutil.Process(int(other["pid"]))
        if process.status() == psutil.STATUS_ZOMBIE:
            return True
        return abs(_started(process) - float(other["started"])) > 1.0  # another of that number
    except (psutil.Error, KeyError, TypeError, ValueError) as error:
        return isinstance(error, psutil.NoSuchProcess)


def _place() -> str:
    """Return the machine, or the container: two of these may share a name, not process numbers."""
    namespace = ""
    with suppress(OSError, NotImplementedError):  # of Linux alone
        namespace = str(Path("/proc/self/ns/pid").readlink())
    return f"{node()} {namespace}".strip()


def _started(process: psutil.Process) -> float:
    """Return seconds between the machine's start and the process's; no clock is set back by."""
    return round(float(process.create_time() - psutil.boot_time()), 2)
