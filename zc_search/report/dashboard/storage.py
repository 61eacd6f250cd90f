"""A storage as the dashboard shows it: what is known of a trial in columns, not in JSON."""

import copy
import math
from collections.abc import Container
from typing import Any, cast

from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from zc_search.errors import StudyError
from zc_search.spaces import compact
from zc_search.study import RECORD, TrialRecord
from zc_search.study.storage import StorageProxy


class _ReadableStorage(StorageProxy):
    """See `readable_storage`; everything is read from and written to the storage given."""

    def __init__(self, storage: BaseStorage) -> None:
        super().__init__(storage)
        self._readable: dict[int, tuple[Any, dict[str, Any]]] = {}

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """See `BaseStorage`."""
        return self._shown(self.storage.get_trial(trial_id))

    def get_all_trials(
        self,
        study_id: int,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
    ) -> list[FrozenTrial]:
        """See `BaseStorage`."""
        return [self._shown(t) for t in self.storage.get_all_trials(study_id, deepcopy, states)]

    def _shown(self, trial: FrozenTrial) -> FrozenTrial:
        record = trial.user_attrs.get(RECORD)
        if record is None:
            return trial
        # A storage gives the number of a trial that was deleted to another.
        before, parts = self._readable.get(trial._trial_id, (None, {}))
        if before != record:
            try:
                found = TrialRecord.of(trial)
            except StudyError:  # it is shown as its writer left it
                return trial
            if found is None:
                return trial
            parts = readable(found)
            self._readable[trial._trial_id] = record, parts
        others = {key: value for key, value in trial.user_attrs.items() if key != RECORD}
        shown = copy.copy(trial)
        shown.user_attrs = {**parts, **others}
        return shown


def readable_storage(storage: BaseStorage) -> BaseStorage:
    """Return the same storage, its trials with a user attribute for each thing known of them.

    A trial is stored with one attribute, since each costs about as much as drawing a parameter.
    In a table, and to sort by, its parts are wanted one by one.
    """
    return cast("BaseStorage", _ReadableStorage(storage))


def readable(record: TrialRecord) -> dict[str, Any]:
    """Return what is known of a trial by name: cell, accuracies and proxies, of six digits each."""
    parts: dict[str, Any] = {"cell": compact(record.architecture)}
    if record.infeasible is not None:
        parts["infeasible"] = record.infeasible
    if record.repeat_of is not None:
        parts["repeat of"] = record.repeat_of
    for name, value in {**record.benchmark, **record.proxies}.items():
        parts[name] = float(f"{value:.6g}") if math.isfinite(value) else str(value)
    return parts | {"architecture": record.architecture}
