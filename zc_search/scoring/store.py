"""A scores file that grows: what it says of itself, the parts it is merged from, its lock."""

import json
import platform
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import Timeout

from zc_search._utils.files import lock_beside, write_atomically, writing
from zc_search._utils.text import versions
from zc_search.config import Config, config_to_toml, public
from zc_search.errors import ScoresError
from zc_search.proxies.probe import VERSION as PROBE_VERSION
from zc_search.scoring.parallel import worth_another_try
from zc_search.scoring.scorer import Scorer, Scores
from zc_search.scoring.scores_file import (
    KEY,
    TEXTS,
    kind_of,
    parts_of,
    read_part,
    settings_of,
    to_frame,
)
from zc_search.spaces import read_architecture
from zc_search.spaces.network import VERSION as NETWORKS_VERSION

MADE_BY = {"probe": str(PROBE_VERSION), "networks": str(NETWORKS_VERSION)}
"""Versions of what measures and of what is measured, beside those of packages."""


class ScoresWarning(UserWarning):
    """A part of a scores file is damaged."""


class Store:
    """A scores file that grows, and says of itself what `about` says."""

    def __init__(self, path: Path, said: Mapping[str, Any]) -> None:
        self._path, self._parts, self._said = path, parts_of(path), said
        self._number = 0

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from the file; the lock goes with this process, however it ends."""
        name = str(self._path)
        if self._path.is_dir():
            raise ScoresError(f"out={name!r} is a folder; name a file in it", key="out", given=name)
        with writing(name, ScoresError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            try:
                lock = lock_beside(self._path).acquire(timeout=0)
            except Timeout as error:
                message = f"another process is writing {name!r}; wait for it, or name another file"
                raise ScoresError(message, key="out", given=name) from error
        with lock:
            yield

    def read(self) -> pd.DataFrame:
        """Return all scores so far; of two of one architecture the later ones."""
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
                message = f"{part} is damaged; what it held is computed again"
                warnings.warn(message, ScoresWarning, stacklevel=3)
        frame = to_frame(pa.concat_tables([table.select(empty.column_names) for table in tables]))
        return frame.loc[~frame.index.duplicated(keep="last")]

    def append(self, scores: Sequence[Scores]) -> None:
        """Save scores, whole or not at all."""
        self._number += 1
        data = to_bytes(to_table(scores, self._said))
        with writing(str(self._path), ScoresError):
            self._parts.mkdir(exist_ok=True)
            write_atomically(self._parts / f"{self._number:06d}-{_digest(data)}.parquet", data)

    def finish(self) -> pd.DataFrame:
        """Merge the parts into the file, sorted by `Architecture.index`; return all of it."""
        table = self.read()
        if self._part_files() or not self._path.exists():
            table = table.iloc[np.argsort([read_architecture(text).index for text in table.index])]
            with writing(str(self._path), ScoresError):
                write_atomically(self._path, to_bytes(to_arrow(table.reset_index(), self._said)))
        shutil.rmtree(self._parts, ignore_errors=True)
        return table

    def _mine(self, source: Path | BytesIO, path: Path) -> pa.Table:
        try:
            table, said = read_part(source, path)
        except ScoresError as error:
            raise ScoresError(f"{error}; move it out of the way to compute it anew") from error
        lines = changes(said["settings"], self._said["settings"])
        then, now = said.get("definitions") or {}, self._said["definitions"]
        both = [name for name in now if name in then]  # an earlier version says none
        lines += changes(*({f"proxy {n!r}": each[n] for n in both} for each in (then, now)))
        if lines:
            listed = "\n  ".join((f"{path} holds scores of other settings:", *lines))
            raise ScoresError(f"{listed}\nTake those again, or name another file with --out")
        return table

    def _part_files(self) -> list[Path]:
        return sorted(self._parts.glob("[0-9]*-*.parquet"))


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return a line for each key whose value is another one now."""
    return [
        f"{key}: {before.get(key)!r} before, {now.get(key)!r} now"
        for key in dict.fromkeys((*before, *now))
        if before.get(key) != now.get(key)
    ]


def about(config: Config, scorer: Scorer) -> dict[str, Any]:
    """Describe scores; of two sets in one file ``settings`` and ``definitions`` must agree."""
    installed = versions("torch", "numpy")
    settings = settings_of(config) | {
        "proxies": sorted(p.name for p in scorer.proxies),
        "data.fingerprint": scorer.batch.fingerprint,
        **{f"version of {p}": installed[p] for p in ("zc-search", "torch")},
    }
    del settings["space.name"]  # an architecture's string says it
    return {
        "settings": settings,
        "proxies": {p.name: p.direction for p in scorer.proxies},
        "definitions": {p.name: p.definition for p in scorer.proxies},
        "seeds": {"data": config.data.seed, "weights": config.proxies.seed},
        "versions": {"python": platform.python_version(), **installed, **MADE_BY},
        "config": config_to_toml(public(config)),
    }


def scores_of(table: pd.DataFrame, proxies: Sequence[str]) -> dict[str, Scores]:
    """Return the scores in a table by architecture string, but those that want another try."""
    scores = {}
    for text, row in zip(table.index, table.to_dict("records"), strict=True):
        reasons = json.loads(row["failures"]) if isinstance(row["failures"], str) else {}
        if not any(map(worth_another_try, reasons.values())):
            values = {name: row[name] for name in proxies}
            scores[text] = Scores(read_architecture(text), values, reasons, row["seconds"])
    return scores


def to_bytes(table: pa.Table, **how: Any) -> bytes:
    """Write a table as a Parquet file."""
    buffer = BytesIO()
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True, **how)
    return buffer.getvalue()


def to_table(scores: Sequence[Scores], said: Mapping[str, Any]) -> pa.Table:
    """Return scores as a table that says of itself what `said` says."""
    columns: dict[str, Sequence[object]] = {
        "architecture": [str(s.architecture) for s in scores],
        "function_key": [s.architecture.function_key for s in scores],
        **{name: [s.values[name] for s in scores] for name in said["proxies"]},
        "seconds": [s.seconds for s in scores],
        "failures": [json.dumps(dict(s.failures)) if s.failures else None for s in scores],
    }
    return to_arrow(columns, said)


def to_arrow(columns: Any, said: Mapping[str, Any]) -> pa.Table:
    """Build a table of named columns; NaN stays NaN, which pandas would turn into null."""
    arrays = {
        name: pa.array(list(columns[name]), kind_of(name), from_pandas=name in TEXTS)
        for name in columns
    }
    table = pa.table(arrays)
    # So that pandas.read_parquet finds the index too.
    indexed = table.slice(0, 0).to_pandas().set_index("architecture")
    pandas_key = pa.Schema.from_pandas(indexed).metadata
    return table.replace_schema_metadata({**pandas_key, KEY: json.dumps(said).encode()})


def _digest(data: bytes) -> str:
    return sha256(data).hexdigest()[:16]
