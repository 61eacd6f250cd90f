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
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, NamedTuple

from zc_search._utils.pickles.limits import shown
from zc_search._utils.pickles.stream import PickleStream
from zc_search.errors import BenchmarkError

Results = dict[int, dict[str, Any]]
"""The state dict of ``ArchResults`` of one architecture, by budget of epochs."""

_BUDGETS = {"less": 12, "full": 200}
_CHECKSUM = re.compile(r"-([0-9a-f]{5,6})\.(?:pth|pickle\.pbz2)$")
_TORCH_MAGIC = 0x1950A86A20F9469CFC6C
_KEYS = ("meta_archs", "arch2infos", "evaluated_indexes")
_NUMBERS = range(2**31)


class Entry(NamedTuple):
    """One architecture of a file.

    Attributes:
        architecture: Its number in the benchmark's order.
        results: Of its training, by budget.
        done: Bytes of the file, or files of the folder, that have been read.
    """

    architecture: int
    results: Results
    done: int


class Archive:
    """A benchmark file, or a folder of them.

    Args:
        path: ``NAS-Bench-201-v1_1-096897.pth``, ``NATS-tss-v1_0-3ffb9.pickle.pbz2`` or the folder
            ``NATS-tss-v1_0-3ffb9-simple``.
        forget: See `PickleStream`.

    Attributes:
        strings: ``meta_archs``; complete when the last entry has been read.
        size: What `Entry.done` counts up to.

    Raises:
        BenchmarkError: There is no such file, or it is no benchmark's.
    """

    def __init__(self, path: Path, *, forget: bool = True) -> None:
        if not path.exists():
            raise BenchmarkError(f"{str(path)!r}: there is no such file or folder")
        self.path = path
        self.forget = forget
        self.strings: list[str] = []
        if path.is_dir():
            self._files = sorted(path.glob("[0-9]*.pickle.pbz2"))
            if not (path / "meta.pickle.pbz2").is_file() or not self._files:
                raise BenchmarkError(
                    f"{str(path)!r} holds no meta.pickle.pbz2 or no 000000.pickle.pbz2; unpack "
                    "NATS-tss-v1_0-3ffb9-simple.tar to get such a folder"
                )
            self.size = len(self._files)
        else:
            self.size = path.stat().st_size

    def check_md5(self, on_progress: Callable[[int], None] = lambda done: None) -> str | None:
        """Compare the file's md5 with the digits at the end of its name.

        Returns:
            The md5, or None where the name has no digits, or for a folder, which has none.

        Raises:
            BenchmarkError: They differ.
        """
        named = _CHECKSUM.search(self.path.name)
        if self.path.is_dir() or named is None:
            return None
        digest = hashlib.md5(usedforsecurity=False)
        done = 0
        with self.path.open("rb") as file:
            while chunk := file.read(2**22):
                digest.update(chunk)
                done += len(chunk)
                on_progress(done)
        found = digest.hexdigest()
        if not found.endswith(named[1]):
            raise BenchmarkError(
                f"{self.path} is damaged or another file: its md5 is {found}, which must end in "
                f"{named[1]} as its name does; download it anew"
            )
        return found

    def entries(self) -> Iterator[Entry]:
        """Yield every architecture that the file holds, in the file's order.

        Raises:
            BenchmarkError: The file is no benchmark's.
            DataError: It is damaged, or asks for more than data.
            ForgottenError: See `PickleStream`.
        """
        yield from self._of_folder() if self.path.is_dir() else self._of_file()

    def _of_folder(self) -> Iterator[Entry]:
        meta = _load(self.path / "meta.pickle.pbz2")
        self._take_strings(meta)
        for done, file in enumerate(self._files, start=1):
            yield self._entry(_number(file), _load(file), done)

    def _of_file(self) -> Iterator[Entry]:
        with _opened(self.path) as (file, position):
            stream = PickleStream(file, str(self.path), forget=self.forget)
            if self.path.suffix == ".pth" and not _is_zip(self.path):
                _skip_torch_header(stream, self.path)
            for index, results in stream.entries("arch2infos"):
                if not self.strings and "meta_archs" in stream.rest:
                    self._take_strings(stream.rest)
                yield self._entry(index, results, position())
            self._take_strings(stream.rest)

    def _entry(self, index: object, results: object, done: int) -> Entry:
        if type(index) is not int or index not in _NUMBERS:
            raise BenchmarkError(
                f"{self.path}: an architecture's number must be an int below {_NUMBERS.stop:,}, "
                f"not {shown(index)}"
            )
        return Entry(index, self._budgets(results), done)

    def _take_strings(self, meta: object) -> None:
        strings = meta.get("meta_archs") if isinstance(meta, dict) else None
        if not isinstance(strings, list) or not all(isinstance(text, str) for text in strings):
            raise BenchmarkError(
                f"{self.path} is no file of NAS-Bench-201 or NATS-Bench: it has no list "
                f"'meta_archs' (they have {', '.join(_KEYS)})"
            )
        self.strings = strings

    def _budgets(self, results: object) -> Results:
        try:
            return {
                _BUDGETS[name] if name in _BUDGETS else int(name): state
                for name, state in results.items()  # type: ignore[attr-defined]
                if state is not None
            }
        except (AttributeError, OverflowError, TypeError, ValueError) as error:
            raise BenchmarkError(
                f"{self.path}: an architecture's results must be a dict of budgets such as "
                f"'less' and 'full', or '12' and '200', not {type(results).__name__}"
            ) from error


def _load(file: Path) -> Any:
    with bz2.open(file) as content:
        return PickleStream(content, str(file)).load()  # type: ignore[arg-type]


def _number(file: Path) -> object:
    name = file.name.partition(".")[0]
    return int(name) if name.isdecimal() else name


@contextmanager
def _opened(path: Path) -> Iterator[tuple[BinaryIO, Callable[[], int]]]:
    """Open the pickle that a file is or holds, and yield with it what tells the place in the file.

    That is ahead of the pickle's by what is buffered.
    """
    if path.suffix == ".pbz2":
        with path.open("rb") as file, bz2.open(file) as content:
            yield content, file.tell  # type: ignore[misc]
    elif _is_zip(path):
        with path.open("rb") as file, _pickle_in_zip(file, path) as member:
            yield member, file.tell  # type: ignore[misc]
    else:
        with path.open("rb") as file:
            yield file, file.tell


def _is_zip(path: Path) -> bool:
    try:
        return zipfile.is_zipfile(path)
    except zipfile.BadZipFile:
        return True  # a damaged one


def _pickle_in_zip(file: BinaryIO, path: Path) -> IO[bytes]:
    try:
        archive = zipfile.ZipFile(file)
        names = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(names) == 1:
            return archive.open(names[0])
    except Exception as error:  # of a damaged archive zipfile raises whatever it comes upon
        raise BenchmarkError(
            f"{path} is a damaged zip archive ({type(error).__name__}: {error}); download it anew"
        ) from error
    raise BenchmarkError(f"{path} is a zip archive, but not one that torch wrote")


def _skip_torch_header(stream: PickleStream, path: Path) -> None:
    """Read past what torch wrote before the content until version 1.6."""
    if stream.load() != _TORCH_MAGIC:
        raise BenchmarkError(f"{path} is not a file that torch wrote")
    stream.load()  # protocol
    stream.load()  # sizes of C's types
