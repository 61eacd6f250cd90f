"""A storage as the dashboard shows it: what is known of a trial in columns, not in JSON."""

import copy
import math
from pathlib import Path
from typing import Any, cast

import optuna
from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import FrozenTrial
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from zc_search._utils.passwords import without_passwords
from zc_search.errors import StudyError
from zc_search.spaces.nasbench201.notation import compact
from zc_search.study import RECORD, TrialRecord
from zc_search.study import open_storage as connect_storage
from zc_search.study.storage import journal_path


def open_storage(url: str) -> BaseStorage:
    """Open a storage that is there, without creating anything in it.

    Args:
        url: As Optuna takes it.

    Raises:
        StudyError: There is none, it is of another version of Optuna, or it cannot be reached.
    """
    shown = without_passwords(url)
    try:
        if url.startswith("redis"):
            storage = optuna.storages.get_storage(url)
        elif (path := journal_path(url)) is not None or url.startswith("grpc:"):
            if path is not None and not path.is_file():
                raise StudyError(f"there is no file {str(path)!r}")
            storage = connect_storage(url)
        else:
            _refuse_missing_file(url)
            database = RDBStorage(url, skip_table_creation=True)
            storage = optuna.storages.get_storage(database)
        storage.get_all_studies()
    except (
        ArgumentError,
        ImportError,
        OSError,
        RuntimeError,
        SQLAlchemyError,
        optuna.exceptions.OptunaError,
    ) as error:
        said = without_passwords(str(error.__cause__ or error)).strip().splitlines()
        raise StudyError(
            f"cannot open the storage {shown!r}: {said[0] if said else type(error).__name__}"
        ) from None
    return storage


def _refuse_missing_file(url: str) -> None:
    """Keep SQLite from creating a file that is not there."""
    address = make_url(url)
    path = address.database
    if address.get_backend_name() != "sqlite" or not path or path.startswith((":", "file:")):
        return
    if not Path(path).is_file():
        raise StudyError(f"there is no file {path!r}")


class ReadableStorage:
    """The same storage, its trials with a user attribute for each thing known of them.

    A trial is stored with one attribute, since each costs about as much as drawing a parameter.
    In a table, and to sort by, its parts are wanted one by one.
    """

    def __init__(self, storage: BaseStorage) -> None:
        self._storage = storage
        self._readable: dict[int, tuple[Any, dict[str, Any]]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """See `BaseStorage`."""
        return self._shown(self._storage.get_trial(trial_id))

    def get_all_trials(self, *args: Any, **kwargs: Any) -> list[FrozenTrial]:
        """See `BaseStorage`."""
        return [self._shown(trial) for trial in self._storage.get_all_trials(*args, **kwargs)]

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


BaseStorage.register(ReadableStorage)  # everything else is the other storage's


def readable_storage(storage: BaseStorage) -> BaseStorage:
    """Return `ReadableStorage` of a storage, as what it stands in for."""
    return cast("BaseStorage", ReadableStorage(storage))


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
