"""The log of a run: without passwords, and never the reason for its end."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zc_search._utils.passwords import without_passwords

_logger = logging.getLogger("zc_search")


class _RunLog(logging.FileHandler):
    def format(self, record: logging.LogRecord) -> str:
        return without_passwords(super().format(record))

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  the base's name
        """Say nothing: a disk that is full is said once, by what matters more than the log."""


@contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Write the log of zc-search to a file as well."""
    handler = _RunLog(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    level = _logger.level
    _logger.setLevel(logging.INFO)
    _logger.addHandler(handler)
    try:
        yield
    finally:
        _logger.removeHandler(handler)
        _logger.setLevel(level)
        try:
            handler.close()
        except OSError:  # what could not be written before cannot be written now
            _logger.debug("the end of %s is missing", path)
