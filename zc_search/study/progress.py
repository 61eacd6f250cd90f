"""Where a search stands: its trials and trainings, and whether any of it can still have values."""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from optuna.study import Study

from zc_search.errors import StudyError
from zc_search.study.objective import Objective
from zc_search.study.record import TrialRecord, recorded
from zc_search.study.training import Epoch

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


_HOPELESS = 10  # trials from the first on in which a proxy failed, after which a search ends


class Hope:
    """Whether any trial has had values, or all that had a network failed by a proxy's error."""

    def __init__(self, objective: Objective) -> None:
        self._objective, self._failed, self._reason = objective, 0, ""
        self._any = False

    def count(self, record: TrialRecord) -> None:
        """Take one more trial into account."""
        reason = self._objective.hopeless(record)
        self._any |= record.infeasible is None or (reason is None and bool(record.proxies))
        self._failed, self._reason = self._failed + (reason is not None), reason or self._reason

    def is_lost(self) -> bool:
        """Whether so many failed, and nothing else happened, that the next would too."""
        return self.lost is not None and self._failed >= _HOPELESS

    @property
    def lost(self) -> str | None:
        """The last reason, where all failed."""
        return None if self._any else self._reason or None


class Watch:
    """Counts the trials of a search while it runs, and says so."""

    def __init__(
        self, study: Study, objective: Objective, on_progress: Callable[[Progress], None]
    ) -> None:
        self._study, self._say, self._begun = study, on_progress, time.perf_counter()
        self._hope = Hope(objective)
        most, total = objective.config.study.max_accuracies, objective.config.study.n_trials
        self._progress = Progress(total)
        if (trainer := objective.trainer) is not None:
            self._progress.most = min(most or total, total)
            self._progress.epochs = trainer.recipe.epochs
            trainer.on_epoch = self._on_epoch
        for _, record in recorded(study):
            self._count(record)
        on_progress(self._progress)

    def on_trial(self, number: int, record: TrialRecord) -> None:
        """Count one more trial; stop the study where no other one can have values."""
        logger.info("trial %d: %s", number, record)
        self._count(record)
        self._progress.seconds = time.perf_counter() - self._begun
        self._say(self._progress)
        if self._hope.is_lost():
            self._study.stop()

    def refuse_if_lost(self, log: str) -> None:
        """Raise `StudyError` where no trial has a value; `log` is where to read more."""
        if reason := self._hope.lost:
            raise StudyError(
                f"none of the {self._progress.done} trials has a value, as a proxy failed: "
                f"{reason}; {log} has all of it, and --fresh starts over",
                given=reason,
            )

    def _count(self, record: TrialRecord) -> None:
        self._progress.count(record)
        self._hope.count(record)

    def _on_epoch(self, epoch: Epoch) -> None:
        self._progress.epoch, self._progress.accuracy = epoch.number, epoch.accuracy
        self._say(self._progress)
