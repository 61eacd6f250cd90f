"""One run, one folder: who may write to it, its files whole or not there, its log."""

import json
import logging
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock, Timeout
from sqlalchemy import URL

from zc_search._utils.files import write_atomically
from zc_search._utils.text import without_passwords
from zc_search.config import Config
from zc_search.errors import StudyError

_logger = logging.getLogger("zc_search")


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
        level = _logger.level
        _logger.setLevel(logging.INFO)
        _logger.addHandler(handler)
        try:
            yield
        finally:
            _logger.removeHandler(handler)
            _logger.setLevel(level)
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
