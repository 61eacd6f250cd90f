"""The files of NAS-Bench-201 and of NATS-Bench, read architecture by architecture.

All hold the same: ``meta_archs``, the architecture strings in the benchmark's order, and for each
index one state dict of ``ArchResults`` a budget of epochs. NAS-Bench-201 packs them into one file
of torch (budgets ``less`` and ``full``), NATS-Bench into one compressed pickle, or a folder of one
each. No torch: its files are pickles behind three short ones, or in a zip archive.
"""

import bz2
import hashlib
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, NamedTuple

from zc_search.benchmarks.files.stream import PickleStream
from zc_search.errors import BenchmarkError

_BUDGETS = {"less": 12, "full": 200}
_CHECKSUM = re.compile(r"-([0-9a-f]{5,6})\.(?:pth|pickle\.pbz2)$")
_TORCH_MAGIC = 0x1950A86A20F9469CFC6C
KEYS = ("meta_archs", "arch2infos", "evaluated_indexes")
"""What a file of either benchmark is a dict of."""


class Entry(NamedTuple):
    """One architecture of a file, by its number in the benchmark's order."""

    architecture: int
    results: dict[int, Any]  # the state dict of its ``ArchResults``, by budget of epochs
    done: int  # bytes of the file, or files of the folder, that have been read


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever keeps a file from being read into a sentence that names it."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise BenchmarkError(f"{path} cannot be read: {reason}", given=str(path)) from error


class Archive:
    """A benchmark file, or a folder of them; `size` is what `Entry.done` counts up to."""

    def __init__(self, path: Path, *, forget: bool = True) -> None:
        self.path = path
        self.forget = forget
        self.strings: list[str] = []  # complete when the last entry has been read
        with reading(path):
            self.size = path.stat().st_size
            self._files = sorted(path.glob("[0-9]*.pickle.pbz2")) if path.is_dir() else []
        if path.is_dir():
            self.size = len(self._files)
            if not (path / "meta.pickle.pbz2").is_file() or not self._files:
                named = path.name if path.name.startswith("NATS-") else "NATS-tss-v1_0-3ffb9-simple"
                raise BenchmarkError(
                    f"{str(path)!r} holds no meta.pickle.pbz2 or no 000000.pickle.pbz2; unpack "
                    f"{named}.tar to get such a folder"
                )
        elif path.suffix == ".tar":
            raise BenchmarkError(f"{path} is a tar archive; unpack it and give the folder")

    def check_md5(self, on_progress: Callable[[int], None] = lambda done: None) -> str | None:
        """Return the file's md5 if its name has digits of it, and refuse one that differs."""
        named = _CHECKSUM.search(self.path.name)
        if self._files or named is None:
            return None
        found = file_digest(self.path, "md5", on_progress)
        if not found.endswith(named[1]):
            raise BenchmarkError(
                f"{self.path} is damaged or another file: its md5 is {found}, which must end in "
                f"{named[1]} as its name does; download it anew"
            )
        return found

    def entries(self) -> Iterator[Entry]:
        """Yield every architecture that the file holds, in the file's order."""
        if not self._files:
            yield from self._of_file()
            return
        self._take_strings(_load(self.path / "meta.pickle.pbz2"))
        for done, file in enumerate(self._files, start=1):
            name = file.name.partition(".")[0]
            yield self._entry(int(name) if name.isdecimal() else name, _load(file), done)

    def _of_file(self) -> Iterator[Entry]:
        with ExitStack() as stack:
            with reading(self.path):
                file = stack.enter_context(self.path.open("rb"))
            packed = _pickle_in(file, self.path)
            content: Any = file if packed is None else stack.enter_context(packed)
            stream = PickleStream(content, str(self.path), forget=self.forget)
            if packed is None:  # what torch wrote first until version 1.6
                magic, _protocol, _sizes = [stream.load() for _ in range(3)]
                if magic != _TORCH_MAGIC:
                    raise BenchmarkError(f"{self.path} is not a file that torch wrote")
            for index, results in stream.entries("arch2infos"):
                if not self.strings and "meta_archs" in stream.rest:
                    self._take_strings(stream.rest)
                yield self._entry(index, results, file.tell())
            self._take_strings(stream.rest)

    def _entry(self, index: object, results: object, done: int) -> Entry:
        if type(index) is not int or not 0 <= index < 2**31:
            raise BenchmarkError(f"{self.path}: an architecture's number must be an int below 2^31")
        try:
            by_budget = {
                _BUDGETS[name] if name in _BUDGETS else int(name): state
                for name, state in results.items()  # type: ignore[attr-defined]
                if state is not None
            }
        except (AttributeError, OverflowError, TypeError, ValueError) as error:
            raise BenchmarkError(
                f"{self.path}: an architecture's results must be a dict of budgets such as "
                f"'less' and 'full', or '12' and '200', not {type(results).__name__}"
            ) from error
        return Entry(index, by_budget, done)

    def _take_strings(self, meta: object) -> None:
        strings = meta.get("meta_archs") if isinstance(meta, dict) else None
        if not isinstance(strings, list) or not all(isinstance(text, str) for text in strings):
            raise BenchmarkError(
                f"{self.path} is no file of NAS-Bench-201 or NATS-Bench: it has no list "
                f"'meta_archs' (they have {', '.join(KEYS)})"
            )
        self.strings = strings


def file_digest(
    path: Path, algorithm: str, on_progress: Callable[[int], None] = lambda done: None
) -> str:
    """Return a file's checksum in hexadecimal digits."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    done = 0
    with reading(path), path.open("rb") as file:
        while chunk := file.read(2**22):
            digest.update(chunk)
            done += len(chunk)
            on_progress(done)
    return digest.hexdigest()


def _load(path: Path) -> Any:
    with ExitStack() as stack:
        with reading(path):
            content: Any = stack.enter_context(bz2.open(path))
        return PickleStream(content, str(path)).load()


def _pickle_in(file: BinaryIO, path: Path) -> IO[bytes] | None:
    """Open the pickle in a compressed file, or in a zip archive of torch's; None of another."""
    if path.suffix == ".pbz2":
        return bz2.open(file)
    try:
        if zipfile.is_zipfile(file):
            archive = zipfile.ZipFile(file)
            (name,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
            return archive.open(name)
    except Exception as error:  # of a damaged archive zipfile raises whatever it comes upon
        raise BenchmarkError(
            f"{path} is a damaged zip archive or none of torch's ({type(error).__name__}: {error})"
        ) from error
    file.seek(0)
    return None
