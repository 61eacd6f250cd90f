"""Storages: from the address a user writes to an Optuna storage that waits while it is away."""

import errno
import logging
import os
import time
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

import optuna
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy.engine import make_url
from sqlalchemy.exc import (
    DBAPIError,
    OperationalError,
    PendingRollbackError,
    ResourceClosedError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from zc_search._utils.passwords import without_passwords
from zc_search.errors import StudyError

logger = logging.getLogger("zc_search")

ALLOWED = (
    "an SQLAlchemy URL such as 'sqlite:///study.db' or 'postgresql+psycopg://user@host/database', "
    "a journal such as 'journal:///folder/study.journal', or a gRPC proxy, 'grpc://host:13000'"
)

_JOURNALS = (".journal", ".log")
_EXTRAS = {"psycopg": "postgresql", "grpc": "grpc", "google": "grpc"}
# What waiting does not cure: of databases, and of files.
_FOR_GOOD = ("readonly", "read-only", "is full", "no such table", "malformed", "not a database")
_FOR_GOOD_NUMBERS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES)
# What a connection that broke in the middle of something leaves behind.
_BROKEN_OFF = (PendingRollbackError, ResourceClosedError, PoolTimeoutError)
_OF_STORAGES = (StorageInternalError, SQLAlchemyError, OSError)


def open_storage(address: str, patience: float = 0.0, *, create: bool = True) -> BaseStorage:
    """Open a storage, or create one where there is none and `create` allows it.

    Args:
        address: An SQLAlchemy URL, ``journal:///path`` or the path of a ``.journal`` or ``.log``
            file, or ``grpc://host:port`` of Optuna's gRPC proxy.
        patience: Seconds for which a storage that was there may be away before a call fails.
        create: Whether files and tables may be created; else they must be there.

    Raises:
        StudyError: There is no such storage, or it cannot be reached; without its password.
    """
    try:
        storage = _connect(address) if create else _connect_existing(address)
        if not create:
            storage.get_all_studies()
        return cast("BaseStorage", PatientStorage(storage, patience))
    except Exception as error:  # each database driver raises errors of its own
        cause = error.__cause__ or error
        why = _missing(cause) if isinstance(cause, ModuleNotFoundError) else str(cause)
        lines = without_passwords(why).strip().splitlines()
        shown = without_passwords(address)
        message = f"study.storage: cannot open {shown!r}: {lines[0] if lines else 'no answer'}"
        raise StudyError(message, key="study.storage", given=shown) from None


def _missing(error: ModuleNotFoundError) -> str:
    package = str(error.name).partition(".")[0]
    extra = _EXTRAS.get(package)
    how = f"pip install 'zc-search[{extra}]'" if extra else f"pip install {package}"
    return f"it needs the package {package!r}: {how}"


def _connect(address: str) -> BaseStorage:
    if (path := journal_path(address)) is not None:
        from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock, JournalStorage

        _mend_journal(path)
        lock = JournalFileOpenLock(str(path))
        return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))
    if address.startswith("grpc:"):
        return _connect_grpc(address)
    if "://" not in address:
        raise StudyError(f"it is no storage's address; Allowed: {ALLOWED}")
    try:
        return optuna.storages.get_storage(address)
    except OperationalError as error:
        if "already exists" not in str(error):
            raise
        # Another process was faster to create the tables.
        return optuna.storages.get_storage(address)


def _connect_existing(address: str) -> BaseStorage:
    path = journal_path(address)
    if database := path is None and not address.startswith(("grpc:", "redis")):
        url = make_url(address)
        if url.get_backend_name() == "sqlite" and url.database:
            path = None if url.database.startswith((":", "file:")) else Path(url.database)
    if path is not None and not path.is_file():  # SQLite would create it
        raise StudyError(f"there is no file {str(path)!r}")
    if database:
        return optuna.storages.get_storage(RDBStorage(address, skip_table_creation=True))
    return _connect(address)


def journal_path(address: str) -> Path | None:
    """Return the file of a journal's address, absolute; None for another kind of storage."""
    if address.startswith("journal:"):
        return Path(urlsplit(address).path).absolute()
    if "://" not in address and address.endswith(_JOURNALS):
        return Path(address).expanduser().absolute()
    return None


def _mend_journal(path: Path) -> None:
    """Drop a last line that was cut off; Optuna would never again read what comes behind it."""
    if not path.exists():
        return
    from optuna.storages.journal import JournalFileOpenLock

    lock = JournalFileOpenLock(str(path))
    lock.acquire()
    with ExitStack() as stack:
        stack.callback(lock.release)
        file = stack.enter_context(path.open("rb+"))
        whole = _end_of_last_line(file)
        if whole < file.seek(0, os.SEEK_END):
            logger.warning("%s ends in half a line, which is dropped", path)
            file.truncate(whole)


def _end_of_last_line(file: BinaryIO, block: int = 2**16) -> int:
    """Return the place behind the last line break, looked for from the end."""
    place = file.seek(0, os.SEEK_END)
    while place:
        start = max(0, place - block)
        file.seek(start)
        if found := file.read(place - start).rfind(b"\n") + 1:
            return start + found
        place = start
    return 0


def _connect_grpc(address: str) -> BaseStorage:
    import grpc  # noqa: F401  Optuna would say later and less clearly that it is missing

    place = urlsplit(address)
    if not place.hostname:
        raise StudyError("it names no host; Allowed: such as 'grpc://host:13000'")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        proxy = optuna.storages.GrpcStorageProxy(host=place.hostname, port=place.port or 13000)
    proxy.wait_server_ready(timeout=10)
    return proxy


class StorageProxy:
    """A storage that hands every call on to another one; what it does otherwise it defines."""

    def __init__(self, storage: BaseStorage) -> None:
        self.storage = storage

    def __getattr__(self, name: str) -> Any:
        if name == "storage":  # not made yet, as in a copy
            raise AttributeError(name)
        return getattr(self.storage, name)


BaseStorage.register(StorageProxy)  # what is abstract there is the other storage's


class PatientStorage(StorageProxy):
    """A storage whose calls are repeated, for `patience` seconds, when it does not answer."""

    def __init__(self, storage: BaseStorage, patience: float) -> None:
        super().__init__(storage)
        self._patience = patience

    def __getattr__(self, name: str) -> Any:
        found = super().__getattr__(name)
        return partial(self._call, name, found) if callable(found) else found

    def _call(self, name: str, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        end = time.monotonic() + self._patience
        pause = 0.1
        tried = False
        while True:
            try:
                return call(*args, **kwargs)
            except UpdateFinishedTrialError:
                # The answer to the first try may have been lost on its way.
                if tried and name == "set_trial_state_values" and self._is_told(*args, **kwargs):
                    return True
                raise
            except Exception as error:
                away = is_away(error)
                if not away and not isinstance(error, _OF_STORAGES):
                    raise
                if not away or time.monotonic() + pause > end:
                    raise _gone(error, self._patience if away else 0) from error
                if not tried:
                    logger.warning(
                        "the storage does not answer (%s); trying for %g s",
                        _first_line(error),
                        self._patience,
                    )
                tried = True
                time.sleep(pause)
                pause = min(2 * pause, 2.0)

    def _is_told(self, trial_id: int, state: Any, values: Any = None) -> bool:
        trial = self.storage.get_trial(trial_id)
        return bool((trial.state, trial.values) == (state, values and list(values)))


def is_away(error: BaseException) -> bool:
    """Whether an error of a storage says that it is away now, and may be back soon."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    if isinstance(cause, DBAPIError):
        text = str(cause).lower()
        return not any(words in text for words in _FOR_GOOD)
    if isinstance(cause, _BROKEN_OFF):
        return True
    if isinstance(cause, OSError):
        return cause.errno not in _FOR_GOOD_NUMBERS
    code = getattr(cause, "code", None)  # of gRPC, which is not always installed
    return callable(code) and getattr(code(), "name", "") in ("UNAVAILABLE", "UNKNOWN")


def _gone(error: BaseException, waited: float) -> StudyError:
    how_long = f" for {waited:g} s, which is study.patience" if waited else ""
    message = (
        f"study.storage: it failed{how_long} ({_first_line(error)}); the trials that were told "
        "are kept, and the same command goes on from there"
    )
    return StudyError(message, key="study.storage")


def _first_line(error: BaseException) -> str:
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    if isinstance(cause, DBAPIError) and cause.orig is not None:
        cause = cause.orig
    lines = without_passwords(str(cause)).strip().splitlines()
    return lines[0] if lines else type(cause).__name__
