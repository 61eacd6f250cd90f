"""Files that are whole or not there."""

import os
import tempfile
from pathlib import Path

from platformdirs import user_cache_path


def write_atomically(path: Path, content: str | bytes) -> Path:
    """Write a file under a temporary name beside its place, flush it to disk, and rename it.

    Args:
        path: Where the file shall be; an older one is replaced.
        content: Text is written as UTF-8.

    Raises:
        OSError: The folder cannot be written to; nothing is left behind.
    """
    data = content.encode() if isinstance(content, str) else content
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~umask())  # temporary files are private, this one need not be
        return temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def umask() -> int:
    """Return which permissions new files of this process lack."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


def cache_folder() -> Path:
    """Return where what can be made anew is kept: $ZC_SEARCH_CACHE, or the user's cache folder."""
    chosen = os.environ.get("ZC_SEARCH_CACHE")
    return Path(chosen).expanduser() if chosen else user_cache_path("zc-search")
