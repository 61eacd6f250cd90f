"""Where a search stands: its trials and trainings, and whether it still gains anything."""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from optuna.study import Study
from optuna.trial import FrozenTrial

from zc_search.benchmarks.measured import Measured
from zc_search.errors import StudyError
from zc_search.scoring.scorer import raised
from zc_search.study.objective import Objective
from zc_search.study.record import TrialRecord, finished_trials, recorded
from zc_search.study.training import Epoch, Trainer

logger = logging.getLogger("zc_search")


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


_HOPELESS = 10  # trials in which a proxy failed, and none had values, after which a search ends


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
