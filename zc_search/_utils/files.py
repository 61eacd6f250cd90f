"""Files that are whole or not there, one writer at a time."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex

from filelock import FileLock
from platformdirs import user_cache_path

from zc_search.errors import ZcSearchError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`, which becomes `path` when the block ends well.

    Raises:
        OSError: The folder cannot be written to; nothing is left behind.
    """
    temporary = path.with_name(f".{path.name}.{token_hex(4)}")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename == str(temporary):
            error.filename = str(path)  # which is what a user knows
        raise


def write_atomically(path: Path, content: str | bytes) -> Path:
    """Write a file, text as UTF-8, whole or not at all; an older one is replaced."""
    with replacing(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@contextmanager
def writing(what: str, error: type[ZcSearchError]) -> Iterator[None]:
    """Turn whatever keeps a file from being written into a sentence that names it."""
    try:
        yield
    except BrokenPipeError:  # the terminal's, not the file's
        raise
    except OSError as problem:
        place = problem.filename or what
        raise error(
            f"{place}: cannot be written ({problem.strerror or problem})", given=str(place)
        ) from problem


def lock_beside(path: Path, timeout: float = -1) -> FileLock:
    """Return the lock of a file or folder: a hidden file beside it, which stays there."""
    return FileLock(path.with_name(f".{path.name}.lock"), timeout)


def cache_folder() -> Path:
    """Return where what can be made anew is kept: $ZC_SEARCH_CACHE, or the user's cache folder."""
    chosen = os.environ.get("ZC_SEARCH_CACHE")
    return Path(chosen).expanduser() if chosen else user_cache_path("zc-search")
