"""The files of NAS-Bench-201 and of NATS-Bench, turned into a table and a file of curves.

All hold the same: ``meta_archs``, the architecture strings in the benchmark's order, and for each
index one state dict of ``ArchResults`` a budget of epochs. NAS-Bench-201 packs them into one file
of torch (budgets ``less`` and ``full``), NATS-Bench into one compressed pickle, or a folder of one
each. No torch: its files are pickles behind three short ones, or in a zip archive.

One pass over the file; of each architecture only the numbers are kept, the curves are written as
they come.
"""

import bz2
import hashlib
import re
import zipfile
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from math import isnan, nan
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zc_search._utils.files import replacing
from zc_search.benchmarks.converted import CURVES, DATASETS, FIGURES, KEYS, ORDER, SETS
from zc_search.benchmarks.files.stream import ForgottenError, PickleStream
from zc_search.benchmarks.files.table import (
    About,
    Conversion,
    OnProgress,
    about_metadata,
    write_table,
)
from zc_search.errors import ArchitectureError, BenchmarkError
from zc_search.spaces import read_architecture

if TYPE_CHECKING:
    from pyarrow import parquet

_BUDGETS = {"less": 12, "full": 200}
_CHECKSUM = re.compile(r"-([0-9a-f]{5,6})\.(?:pth|pickle\.pbz2)$")
_TORCH_MAGIC = 0x1950A86A20F9469CFC6C
_LONGEST = 10_000  # epochs; more are a damaged file's
_TOGETHER = 1000  # trainings in a piece of the file of curves: some 10 MB, read to get at one
CURVES_ENDING = "-curves.parquet"
CONTENT = ("meta_archs", "arch2infos", "evaluated_indexes")
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


def file_digest(
    path: Path, algorithm: str, on_progress: Callable[[int], None] = lambda done: None
) -> str:
    """Return a file's checksum in hexadecimal digits."""
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with reading(path), path.open("rb") as file:
        while chunk := file.read(2**22):
            digest.update(chunk)
            on_progress(file.tell())
    return digest.hexdigest()


class Archive:
    """A benchmark file, or a folder of them; `size` is what `Entry.done` counts up to."""

    def __init__(self, path: Path, *, forget: bool = True) -> None:
        self.path, self.forget = path, forget
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
        if self._files:
            self._take_strings(self._load(self.path / "meta.pickle.pbz2"))
            for done, path in enumerate(self._files, start=1):
                name = path.name.partition(".")[0]
                yield self._entry(int(name) if name.isdecimal() else name, self._load(path), done)
            return
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

    def _load(self, path: Path) -> Any:
        with ExitStack() as stack:
            with reading(path):
                content: Any = stack.enter_context(bz2.open(path))
            return PickleStream(content, str(path)).load()

    def _entry(self, index: object, results: Any, done: int) -> Entry:
        if type(index) is not int or not 0 <= index < 2**31:
            raise BenchmarkError(f"{self.path}: an architecture's number must be an int below 2^31")
        try:
            known = {n: state for n, state in results.items() if state is not None}
            by_budget = {_BUDGETS.get(n) or int(n): state for n, state in known.items()}
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
                f"'meta_archs' (they have {', '.join(CONTENT)})"
            )
        self.strings = strings


def _pickle_in(file: BinaryIO, path: Path) -> Any:
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


# Trainings ------------------------------------------------------------------------------------


class Trial(NamedTuple):
    """One training: figures, and curves of `epochs` numbers or None where nothing is known."""

    dataset: int
    epochs: int
    seed: int
    figures: tuple[float, ...]
    curves: tuple[list[float] | None, ...]


def trials_of(budget: int, state: Mapping[str, Any], text: object) -> Iterator[Trial]:
    """Yield the trainings in an ``ArchResults.state_dict()``; of another it raises anything."""
    if state["arch_str"] != text:
        raise BenchmarkError(f"its results are of {state['arch_str']!s:.120}")
    for dataset, seeds in state["dataset_seed"].items():
        if dataset not in DATASETS:
            raise BenchmarkError(f"it was trained on {dataset!r:.40}, not on one of {DATASETS}")
        for seed in seeds:
            if type(seed) is not int or seed not in range(2**31):
                raise BenchmarkError("a training seed must be an int below 2^31")
            result = state["all_results"][dataset, seed]
            epochs = result["epochs"]
            if type(epochs) is not int or epochs != budget or not 1 <= epochs <= _LONGEST:
                message = f"a training of {epochs!r:.40} epochs is listed under {budget}"
                raise BenchmarkError(message)
            curves = _curves_of(result, epochs)
            yield Trial(DATASETS.index(dataset), epochs, seed, _ends(result, curves), curves)


def _curves_of(result: Mapping[str, Any], epochs: int) -> tuple[list[float] | None, ...]:
    curves: list[list[float] | None] = []
    for name in SETS:
        kind = "train" if name == "train" else "eval"
        keys = range(epochs) if name == "train" else _keys(name, epochs)
        known = name == "train" or name in result["eval_names"]
        curves += [
            _curve(result[f"{kind}_{what}"], keys) if known else None
            for what in ("losses", "acc1es", "times")
        ]
    return tuple(curves)


@lru_cache(maxsize=32)
def _keys(name: str, epochs: int) -> tuple[str, ...]:
    return tuple(f"{name}@{epoch}" for epoch in range(epochs))


def _curve(values: Mapping[Any, Any] | None, keys: Sequence[Any]) -> list[float] | None:
    curve = [float(values.get(key, nan)) for key in keys] if values else [nan]
    return None if all(map(isnan, curve)) else curve


def _ends(result: Mapping[str, Any], curves: tuple[list[float] | None, ...]) -> tuple[float, ...]:
    """Return the figures of a training, one for each of FIGURES."""
    ends = [
        nan if curve is None else sum(curve) if name.endswith("seconds") else curve[-1]
        for name, curve in zip(CURVES, curves, strict=True)
    ]
    latency = result["latency"]
    mean_latency = float(sum(latency) / len(latency)) if latency else nan
    return (*ends, float(result["flop"]), float(result["params"]), mean_latency)


# The table ------------------------------------------------------------------------------------


def convert_archive(title: str, file: Path, table: Path, on_progress: OnProgress) -> Conversion:
    """Write the table of a file, and its curves beside it; the names come when all is checked."""
    archive = Archive(file)
    md5 = archive.check_md5(lambda done: on_progress("checking", done, archive.size))
    curves = table.with_name(table.stem + CURVES_ENDING)
    about = About(file.name, title, md5, curves.name)
    with replacing(table) as part, replacing(curves) as curves_part:
        try:
            rows = _read_rows(archive, about, curves_part, on_progress)
        except ForgottenError:  # all of it at once, then: more memory, the same result
            archive = Archive(file, forget=False)
            rows = _read_rows(archive, about, curves_part, on_progress)
        _write_rows(part, about, rows, _order(archive))
    return Conversion(table, curves, len(np.unique(rows[:, 0])), len(rows), md5)


def _read_rows(
    archive: Archive, about: About, curves: Path, on_progress: OnProgress
) -> NDArray[np.float64]:
    """Return `KEYS` and `FIGURES` of each training, a row each, and write the curves."""
    import pyarrow as pa
    from pyarrow import parquet

    fields = [(name, getattr(pa, kind)()) for name, kind in KEYS.items()]
    fields += [(name, pa.list_(pa.float64())) for name in CURVES]
    schema = pa.schema(fields, metadata=about_metadata(about))
    numbers = array("d")
    texts: dict[int, object] = {}
    pending: list[tuple[Any, ...]] = []
    with parquet.ParquetWriter(curves, schema, compression="zstd") as writer:
        for entry in archive.entries():
            for trial in _trials(archive.path, entry, texts):
                keys = entry.architecture, *trial[:3]
                numbers.extend((*keys, *trial.figures))
                pending.append((*keys, *trial.curves))
            if len(pending) >= _TOGETHER:
                _write_curves(writer, pending)
            on_progress("converting", entry.done, archive.size)
        _write_curves(writer, pending)
    if not numbers:
        raise BenchmarkError(f"{archive.path} has no results of any architecture")
    for index, text in texts.items():
        if archive.strings[index : index + 1] != [text]:
            raise BenchmarkError(f"{archive.path}: architecture {index} is not {text!r}")
    return np.asarray(numbers).reshape(-1, len(KEYS) + len(FIGURES))


def _trials(path: Path, entry: Entry, texts: dict[int, object]) -> Iterator[Trial]:
    """Yield the trainings of an architecture, and note its text."""
    for budget, state in entry.results.items():
        try:
            text = texts.setdefault(entry.architecture, state["arch_str"])
            yield from trials_of(budget, state, text)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            why = str(error)[:200]
            if not isinstance(error, BenchmarkError):
                why = f"not as the benchmark writes them ({type(error).__name__}: {why})"
            where = f"{path}: architecture {entry.architecture}, {budget} epochs"
            raise BenchmarkError(f"{where}: {why}") from error


def _write_curves(writer: "parquet.ParquetWriter", pending: list[tuple[Any, ...]]) -> None:
    import pyarrow as pa

    types = writer.schema.types
    columns = [pa.array(c, t) for c, t in zip(zip(*pending, strict=True), types, strict=False)]
    if pending:
        writer.write_table(pa.Table.from_arrays(columns, schema=writer.schema))
    pending.clear()


def _order(archive: Archive) -> NDArray[np.int32]:
    """Return `Architecture.index` of each architecture of a file."""
    try:
        order = [read_architecture(text).index for text in archive.strings]
    except ArchitectureError as error:
        raise BenchmarkError(f"{archive.path}: meta_archs: {error}") from error
    if len(set(order)) < len(order):
        raise BenchmarkError(f"{archive.path}: meta_archs lists an architecture twice")
    return np.asarray(order, "<i4")


def _write_rows(
    path: Path, about: About, rows: NDArray[np.float64], order: NDArray[np.int32]
) -> None:
    import pyarrow as pa

    columns = dict(zip((*KEYS, *FIGURES), rows.T, strict=True))
    by = np.lexsort([columns[name] for name in ("seed", "architecture", "epochs", "dataset")])
    arrays = {n: pa.array(c[by].astype(KEYS.get(n, "float64"))) for n, c in columns.items()}
    write_table(path, about, arrays, {ORDER: order.tobytes()})
