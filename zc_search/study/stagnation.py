"""When a study has stopped to gain anything."""

from threading import Lock
from weakref import ref

import numpy as np
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from zc_search.study.record import finished_trials


class Stagnation:
    """Whether the hypervolume, of one objective the best value, has not grown for some trials.

    With a reference point that is worse than every trial, it grows exactly with a feasible trial
    that no earlier one is at least as good as in every objective, so no volume is computed. A
    callback for `Study.optimize` too, which stops the study.

    >>> study.optimize(objective, n_trials=1000, callbacks=[Stagnation(50)])  # doctest: +SKIP
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self._forget()

    def _forget(self) -> None:
        self._study: ref[Study] | None = None
        self._seen: set[int] = set()
        self._since = 0
        self._front = np.empty((0, 0))
        self._lock = Lock()

    def __getstate__(self) -> dict[str, int]:
        return {"patience": self.patience}

    def __setstate__(self, state: dict[str, int]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def __call__(self, study: Study, trial: FrozenTrial) -> None:
        """Stop a study that stagnates."""
        if self.trials_without_gain(study) >= self.patience:
            study.stop()

    def trials_without_gain(self, study: Study) -> int:
        """Return how many trials were told since the last one with a gain, in order of numbers."""
        with self._lock:
            if self._study is None or self._study() is not study:
                lock = self._lock
                self._forget()
                self._lock, self._study = lock, ref(study)
            signs = [-1.0 if d == StudyDirection.MAXIMIZE else 1.0 for d in study.directions]
            for trial in finished_trials(study):
                if trial.number not in self._seen:
                    self._seen.add(trial.number)
                    self._since = 0 if self._gains(trial, signs) else self._since + 1
            return self._since

    def _gains(self, trial: FrozenTrial, signs: list[float]) -> bool:
        feasible = all(value <= 0 for value in trial.constraints.values())
        if trial.state != TrialState.COMPLETE or not feasible:
            return False
        losses = np.multiply(signs, trial.values)
        front = self._front.reshape(-1, len(losses))
        if (front <= losses).all(axis=1).any():
            return False
        self._front = np.vstack([front[(front < losses).any(axis=1)], losses])
        return True
