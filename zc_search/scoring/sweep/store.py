"""The scores file while it grows: parts that are whole or known to be damaged, then one file.

Scores go to ``<file>.parts/NNNNNN-<digest>.parquet``, each part written once and named after the
digest of its bytes. When all is done they are merged into the file and removed.
"""

import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from errno import ENOENT
from hashlib import sha256
from io import BytesIO
from os.path import samestat
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from filelock import BaseFileLock, FileLock, Timeout

from zc_search._utils.files import write_atomically
from zc_search.errors import ScoresError
from zc_search.scoring.scorer import Scores
from zc_search.scoring.scores_file import to_frame
from zc_search.scoring.sweep.errors import ScoresWarning
from zc_search.scoring.sweep.table import (
    About,
    parts_of,
    read_table,
    to_bytes,
    to_table,
    with_metadata,
)
from zc_search.spaces import read_architecture

_TRIES = 10
"""How often to make the folder of the parts, which the end of another process may take away."""


class Store:
    """A scores file that grows.

    Args:
        path: The file.
        said: What it says of itself; see `about`.
    """

    def __init__(self, path: Path, said: About) -> None:
        self._path = path
        self._parts = parts_of(path)
        self._said = said
        self._number = 0

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from the file; the lock goes with this process, however it ends.

        Raises:
            ScoresError: The folder cannot be written to, or another process has the file.
        """
        if self._path.is_dir():
            raise ScoresError(f"out={str(self._path)!r} is a folder; name a file in it")
        lock = self._acquired()
        try:
            yield
        finally:
            if not self._part_files():
                shutil.rmtree(self._parts, ignore_errors=True)
            lock.release()
            with suppress(OSError):  # Windows keeps a locked file, and with it the folder
                self._parts.rmdir()

    def read(self) -> pd.DataFrame:
        """Return all scores so far; of two of one architecture the later ones.

        Raises:
            ScoresError: They were made with other settings, or the file is damaged.
        """
        empty = to_table([], self._said)
        tables = [empty]
        if self._path.exists():
            tables.append(self._mine(self._path, self._path))
        for part in self._part_files():
            number, _, digest = part.stem.partition("-")
            self._number = int(number)
            data = part.read_bytes()
            if _digest(data) == digest:
                tables.append(self._mine(BytesIO(data), part))
            else:
                part.unlink()
                warnings.warn(
                    f"{part} is damaged; what it held is computed again",
                    ScoresWarning,
                    stacklevel=3,
                )
        whole = pa.concat_tables([table.select(empty.column_names) for table in tables])
        frame = to_frame(whole)
        return frame.loc[~frame.index.duplicated(keep="last")]

    def append(self, scores: Sequence[Scores]) -> None:
        """Save scores, whole or not at all.

        Raises:
            ScoresError: They cannot be written.
        """
        self._number += 1
        data = to_bytes(to_table(scores, self._said))
        self._write(self._parts / f"{self._number:06d}-{_digest(data)}.parquet", data)

    def finish(self) -> pd.DataFrame:
        """Merge the parts into the file, sorted by `Architecture.index`; return all of it.

        Raises:
            ScoresError: It cannot be written.
        """
        table = self.read()
        parts = self._part_files()
        if parts or not self._path.exists():
            order = np.argsort([read_architecture(string).index for string in table.index])
            table = table.iloc[order]
            columns = {name: table[name] for name in table.columns}
            whole = with_metadata({"architecture": table.index, **columns}, self._said)
            self._write(self._path, to_bytes(whole))
            for part in parts:
                part.unlink()
        return table

    def _mine(self, source: Path | BytesIO, path: Path) -> pa.Table:
        try:
            table, said = read_table(source, path)
        except ScoresError as error:
            raise ScoresError(f"{error}; move it out of the way to compute it anew") from error
        before, now = said["settings"], self._said["settings"]
        differences = [
            f"{key}: {before.get(key)!r} before, {now.get(key)!r} now"
            for key in dict.fromkeys((*before, *now))
            if before.get(key) != now.get(key)
        ]
        if differences:
            lines = "\n  ".join(differences)
            raise ScoresError(
                f"{path} holds scores of other settings:\n  {lines}\n"
                "Take those again, or name another file with --out"
            )
        return table

    def _acquired(self) -> BaseFileLock:
        path = self._parts / ".lock"
        lock = FileLock(path)
        for tries_left in reversed(range(_TRIES)):
            try:
                self._parts.mkdir(parents=True, exist_ok=True)
                path.touch()
                before = path.stat()
                lock.acquire(timeout=0)
                if not samestat(before, path.stat()):
                    raise FileNotFoundError(ENOENT, "another process removes its folder")
                break
            except Timeout as error:
                raise ScoresError(
                    f"another process is writing {str(self._path)!r}; wait for it, or name "
                    "another file"
                ) from error
            except OSError as error:
                lock.release()
                gone = isinstance(error, FileNotFoundError)  # the end of another process took it
                if not gone or not tries_left:
                    raise self._not_writable(error) from error
        return lock

    def _part_files(self) -> list[Path]:
        return sorted(self._parts.glob("[0-9]*-*.parquet"))

    def _write(self, path: Path, data: bytes) -> None:
        try:
            write_atomically(path, data)
        except OSError as error:
            raise self._not_writable(error) from error

    def _not_writable(self, error: OSError) -> ScoresError:
        return ScoresError(
            f"out={str(self._path)!r} cannot be written: {error.strerror}; what was saved before "
            "is kept"
        )


def _digest(data: bytes) -> str:
    return sha256(data).hexdigest()[:16]
