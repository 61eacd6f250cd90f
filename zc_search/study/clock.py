"""What a search has spent of its three budgets: accuracies, simulated and real seconds."""

import math
import time

from zc_search.config import Config
from zc_search.study.record import TrialRecord

TRAINING = "train_seconds"
"""The benchmark's metric that says how long an architecture was trained."""


class Clock:
    """Counts what looking at accuracies would have cost.

    An architecture that is looked at again costs nothing: its accuracy is known. An isomorph was
    trained on its own and costs its own time, by the benchmark, of one training seed.
    """

    def __init__(self) -> None:
        self.accuracies = 0
        self.simulated_seconds = 0.0
        self._begun = time.monotonic()
        self._known: set[str] = set()

    def count(self, record: TrialRecord) -> None:
        """Count a trial."""
        if record.benchmark and record.architecture not in self._known:
            self._known.add(record.architecture)
            self.accuracies += 1
            self.simulated_seconds += record.benchmark.get(TRAINING, 0.0)

    def left(self, config: Config, most: int) -> int:
        """Return how many trials, at most `most`, may be going on beside those counted.

        Real seconds count from this clock's making: a resumed search has its time again.
        """
        study = config.study
        real = time.monotonic() - self._begun
        if real >= (study.timeout or math.inf):
            return 0
        if self.simulated_seconds >= (study.max_simulated_seconds or math.inf):
            return 0
        if study.max_accuracies is None:
            return most
        return max(0, min(most, study.max_accuracies - self.accuracies))
