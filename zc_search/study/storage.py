"""Where a run is kept: its folder, and its study in an Optuna storage that may be away a while."""

import errno
import json
import logging
import mmap
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Protocol, cast
from urllib.parse import urlsplit

import optuna
import pandas as pd
from filelock import FileLock, Timeout
from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage, RDBStorage
from optuna.study import Study
from pydantic import TypeAdapter
from sqlalchemy import URL, exc
from sqlalchemy.engine import make_url

from zc_search._utils.files import write_atomically
from zc_search._utils.text import install_hint, versions, without_passwords
from zc_search.config import SAMPLERS, Config, config_differences, config_to_toml, parse_config
from zc_search.config.sections import StudyName
from zc_search.errors import ConfigError, StudyError
from zc_search.proxies.catalogue import Direction
from zc_search.study.record import ACCURACIES, DATA, DEFINITIONS, ENSEMBLES, NETWORKS

# The keys of the study's user attributes that hold
CONFIG = "zc_search_config"  # the settings
VERSIONS = "zc_search_versions"  # by package, which versions it was begun with

_OTHER = {
    DATA: "other images",
    DEFINITIONS: "another proxy",
    ENSEMBLES: "another ensemble",
    ACCURACIES: "accuracies of another table",
    NETWORKS: "another builder of networks",
}
_INSTEAD = "choose another study.name, or start over with --fresh"

logger = logging.getLogger("zc_search")

# The folder: who may write to it, its files whole or not there, its log ---------------------------


def storage_url(config: Config, folder: Path) -> str:
    """Return a study's storage: the configured one, or an SQLite file in the run's folder."""
    file = URL.create("sqlite", database=str(folder / "study.db"))
    return config.study.storage or file.render_as_string()


def run_path(config: Config) -> Path:
    """Return the folder of a run: ``<output.folder>/<study.name>``."""
    return Path(config.output.folder) / config.study.name


class RunFolder:
    """The folder ``<output.folder>/<study.name>`` of a run; it is created."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=path):
                pass
        except OSError as error:
            message = f"output.folder: cannot write to {str(path)!r} ({error.strerror}); "
            message += "choose another with --set output.folder=FOLDER"
            raise StudyError(message, key="output.folder", given=str(path)) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other process out; the lock goes with this process, however it ends."""
        try:
            lock = FileLock(self.path / ".lock").acquire(timeout=0)
        except Timeout as error:
            message = f"another process is working in {str(self.path)!r}; "
            message += "wait for it, help it with --join, or choose another study.name"
            raise StudyError(message, key="output.folder", given=str(self.path)) from error
        with lock:
            yield

    @contextmanager
    def logging(self) -> Iterator[None]:
        """Write the log of zc-search to ``run.log`` as well."""
        handler = _RunLog(self.path / "run.log", encoding="utf-8")
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        level = logger.level
        logger.setLevel(logging.INFO)
        logger.addHandler(handler)
        try:
            yield
        finally:
            logger.removeHandler(handler)
            logger.setLevel(level)
            with suppress(OSError):  # what could not be written before cannot be written now
                handler.close()

    def set_aside(self) -> Path | None:
        """Move what is in the folder to a numbered folder beside it; return that one."""
        contents = [entry for entry in self.path.iterdir() if entry.name != ".lock"]
        if not contents:
            return None
        names = (self.path.with_name(f"{self.path.name}.old-{number}") for number in count(1))
        aside = next(name for name in names if not name.exists())
        aside.mkdir()
        for entry in contents:
            shutil.move(entry, aside / entry.name)
        return aside

    def write_text(self, name: str, text: str) -> Path:
        """Write a text file."""
        return write_atomically(self.path / name, text)

    def write_table(self, name: str, table: pd.DataFrame) -> Path:
        """Write a table as CSV, numbers with all their digits."""
        return self.write_text(name, table.to_csv(index=False))

    def write_json(self, name: str, value: Mapping[str, Any]) -> Path:
        """Write JSON."""
        return self.write_text(name, json.dumps(value, indent=2, default=str) + "\n")


class _RunLog(logging.FileHandler):
    """A log without passwords, and never the reason for the end of a run."""

    def format(self, record: logging.LogRecord) -> str:
        return without_passwords(super().format(record))

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  the base's name
        """Say nothing: a disk that is full is said once, by what matters more than the log."""


# The study ----------------------------------------------------------------------------------------


class Asked(Protocol):
    """What tells one `Objective` from another, of which a study is."""

    config: Config

    @property
    def directions(self) -> list[Direction]: ...  # noqa: D102  all as of `Objective`
    @property
    def metric_names(self) -> list[str]: ...  # noqa: D102
    @property
    def conditions(self) -> dict[str, str | dict[str, str]]: ...  # noqa: D102


def open_study(
    objective: Asked,
    storage: str | BaseStorage,
    sampler: BaseSampler | None = None,
    config: Config | None = None,
) -> Study:
    """Create the study of an objective, or load it if it was begun.

    Args:
        objective: What its trials are asked; its settings name the study.
        storage: An Optuna storage, or its address.
        sampler: What draws trials.
        config: The settings that must be those of the study; by default the objective's.

    Raises:
        StudyError: The storage cannot be reached; the study there was begun with other settings,
            images, proxies, ensembles or accuracies, or by another tool.
    """
    config = config or objective.config
    if isinstance(storage, str):
        storage = open_storage(storage, config.study.patience)
    study = optuna.create_study(
        study_name=config.study.name,
        storage=storage,
        sampler=sampler,
        directions=objective.directions,
        load_if_exists=True,
    )
    if CONFIG in study.user_attrs:
        _refuse_others(config, study, objective)
        return study
    if study.get_trials(deepcopy=False):
        name = config.study.name
        message = f"the storage has a study {name!r} that zc-search did not make"
        raise StudyError(f"{message}; choose another study.name", key="study.name", given=name)
    _describe(study, objective, config)
    return study


def adopt(study: Study, objective: Asked) -> None:
    """Let a study that a user made know its objective, so that `open_study` can go on with it.

    A StudyError is raised if it has other directions or names of values, or another objective's
    settings, images, proxies, ensembles or accuracies; who samples it is of no matter.
    """
    directions = [direction.name.lower() for direction in study.directions]
    names = study.metric_names or objective.metric_names
    for what, has, wanted in (
        ("directions", directions, [*map(str, objective.directions)]),
        ("metric names", names, objective.metric_names),
    ):
        if has != wanted:
            message = f"study {study.study_name!r} has the {what} {', '.join(has)}"
            message += f"; the objective's are {', '.join(wanted)}"
            raise StudyError(message, key="study", given=has, allowed=wanted)
    config = objective.config
    if CONFIG not in study.user_attrs:
        with suppress(ValueError):  # a name that no folder may have is the study's alone
            name = TypeAdapter(StudyName).validate_python(study.study_name)
            config = _with_study(config, name=name)
        _describe(study, objective, config)
        return
    before = begun_with(study.study_name, study.user_attrs)
    theirs = config.model_copy(update={"study": before.study})
    summed = _with_study(theirs, sum_objectives=config.study.sum_objectives)
    _refuse_others(summed, study, objective)


def _describe(study: Study, objective: Asked, config: Config) -> None:
    _name_values(study, objective.metric_names)
    for key, value in objective.conditions.items():
        study.set_user_attr(key, value)
    study.set_user_attr(VERSIONS, versions("torch"))
    # The storage's address is not the same from everywhere.
    study.set_user_attr(CONFIG, config_to_toml(_with_study(config, storage=None)))


def copy_study(study: Study, config: Config, storage: str) -> None:
    """Copy a study's finished trials to a storage, as a study of these settings."""
    copy = optuna.create_study(
        study_name=config.study.name, storage=open_storage(storage), directions=study.directions
    )
    if study.metric_names:
        _name_values(copy, study.metric_names)
    told = config_to_toml(_with_study(config, storage=None))
    for key, value in {**study.user_attrs, CONFIG: told}.items():
        copy.set_user_attr(key, value)
    copy.add_trials([trial for trial in study.get_trials() if trial.state.is_finished()])


def sampler_of_optuna(study: Study | None) -> dict[str, Any]:
    """Return the settings of a study's sampler where it is one of Optuna's that has a name."""
    kind = type(study.sampler) if study is not None else object
    names = [name for name, place in SAMPLERS.items() if place.endswith(f":{kind.__name__}")]
    named = bool(names) and kind.__module__.startswith("optuna.")
    return {"sampler": names[0], "sampler_options": {}} if named else {}


def _name_values(study: Study, names: list[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names(names)


def set_aside(name: str, storage: str, patience: float = 0.0) -> str | None:
    """Keep a study under another name, and return that; None where there is no such study."""
    opened = open_storage(storage, patience)
    names = optuna.get_all_study_names(opened)
    if name not in names:
        return None
    new = next(n for k in count(1) if (n := f"{name}.old-{k}") not in names)
    optuna.copy_study(
        from_study_name=name, from_storage=opened, to_storage=opened, to_study_name=new
    )
    optuna.delete_study(study_name=name, storage=opened)
    return new


def _with_study(config: Config, **changes: Any) -> Config:
    return config.model_copy(update={"study": config.study.model_copy(update=changes)})


def begun_with(name: str, attributes: Mapping[str, Any]) -> Config:
    """Return the settings that a study was begun with, from its attributes."""
    try:
        return parse_config(attributes[CONFIG], source=f"the settings in study {name!r}")
    except ConfigError as error:
        raise StudyError(f"study {name!r} was begun by another version: {error}") from error


def _refuse_others(config: Config, study: Study, objective: Asked) -> None:
    """Refuse settings, images, proxies and so on that are not those of a study."""
    name = study.study_name
    before = begun_with(name, study.user_attrs)
    if differences := config_differences(before, _with_study(config, storage=None)):
        listed = "\n  ".join((f"study {name!r} was begun with other settings:", *differences))
        message = f"{listed}\ngo on with the old ones, {_INSTEAD}"
        raise StudyError(message, key="study.name", given=name, hint=_INSTEAD)
    for key, value in objective.conditions.items():
        known = study.user_attrs.get(key) or {}  # none of an earlier version's study
        was, now = (c if isinstance(c, dict) else {"": str(c)} for c in (known, value))
        for what in now:
            if what != "provenance" and was.get(what, now[what]) != now[what]:
                about = f" {what!r}" if key in (DEFINITIONS, ENSEMBLES) else ""
                shown = "provenance" if key == ACCURACIES else what
                message = (
                    f"study {name!r} was begun with {_OTHER[key]}{about} "
                    f"({was.get(shown)!r}, now {now[shown]!r}); go on with the same, {_INSTEAD}"
                )
                raise StudyError(message, key=key, given=now[what], allowed=(str(was[what]),))


# The storage --------------------------------------------------------------------------------------

ALLOWED = (
    "an SQLAlchemy URL such as 'sqlite:///study.db' or 'postgresql+psycopg://user@host/database', "
    "a journal such as 'journal:///folder/study.journal', or a gRPC proxy, 'grpc://host:13000'"
)

_JOURNALS = (".journal", ".log")
_EXTRAS = {"psycopg": "postgresql", "grpc": "grpc", "google": "grpc"}
_PACKAGES = {"MySQLdb": "mysqlclient", "psycopg2": "psycopg2-binary", "cx_Oracle": "oracledb"}
# What waiting does not cure: of databases, and of files.
_FOR_GOOD = ("readonly", "read-only", "is full", "no such table", "malformed", "not a database")
_FOR_GOOD_NUMBERS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES)
# What a connection that broke in the middle of something leaves behind.
_BROKEN_OFF = (exc.PendingRollbackError, exc.ResourceClosedError, exc.TimeoutError)
_OF_STORAGES = (StorageInternalError, exc.SQLAlchemyError, OSError)


def open_storage(address: str, patience: float = 0.0, *, create: bool = True) -> BaseStorage:
    """Open a storage, or create one where there is none and `create` allows it.

    Args:
        address: An SQLAlchemy URL, ``journal:///path`` or the path of a ``.journal`` or ``.log``
            file, or ``grpc://host:port`` of Optuna's gRPC proxy; no error shows its password.
        patience: Seconds for which a storage that was there may be away before a call fails.
        create: Whether files and tables may be created; else they must be there.
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
    extra, wanted = _EXTRAS.get(package), _PACKAGES.get(package, package)
    command = install_hint(extra) if extra else f"pip install {wanted}"
    return f"it needs the package {package!r}: {command}"


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
    except exc.OperationalError as error:
        if "already exists" not in str(error):  # else another process was faster to create tables
            raise
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
    if not path.exists() or not path.stat().st_size:
        return
    from optuna.storages.journal import JournalFileOpenLock

    lock = JournalFileOpenLock(str(path))
    lock.acquire()
    try:
        with path.open("rb+") as file:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                whole = content.rfind(b"\n") + 1
            if whole < file.seek(0, os.SEEK_END):
                logger.warning("%s ends in half a line, which is dropped", path)
                file.truncate(whole)
    finally:
        lock.release()


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
    """A storage that hands on to another one every call that it does not define."""

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
                    message = "the storage does not answer (%s); trying for %g s"
                    logger.warning(message, _first_line(error), self._patience)
                tried = True
                time.sleep(pause)
                pause = min(2 * pause, 2.0)

    def _is_told(self, trial_id: int, state: Any, values: Any = None) -> bool:
        trial = self.storage.get_trial(trial_id)
        return bool((trial.state, trial.values) == (state, values and list(values)))


def is_away(error: BaseException) -> bool:
    """Whether an error of a storage says that it is away now, and may be back soon."""
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    if isinstance(cause, exc.DBAPIError):
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
    kept = "the trials that were told are kept, and the same command goes on from there"
    message = f"study.storage: it failed{how_long} ({_first_line(error)}); {kept}"
    return StudyError(message, key="study.storage")


def _first_line(error: BaseException) -> str:
    cause = error.__cause__ if isinstance(error, StorageInternalError) else error
    if isinstance(cause, exc.DBAPIError) and cause.orig is not None:
        cause = cause.orig
    lines = without_passwords(str(cause)).strip().splitlines()
    return lines[0] if lines else type(cause).__name__
