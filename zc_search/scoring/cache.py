"""Scores that outlive a search: one small file an architecture, addressed by all they depend on.

The address is a digest of architecture, batch, networks and versions, so no entry is out of date.
"""

import json
import logging
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from zc_search._utils.files import cache_folder, write_atomically, writing
from zc_search.config import parse_config
from zc_search.errors import ZcSearchError
from zc_search.images.datasets import task_of
from zc_search.scoring.scores_file import PACKAGED, available, load_scores

VARIABLE = "ZC_SEARCH_SCORES"
"""The environment variable that says where ``user`` is; a folder, or ``off``."""

logger = logging.getLogger("zc_search")


def differing(
    said: Mapping[str, Any], conditions: Mapping[str, object], definitions: Mapping[str, str]
) -> list[str]:
    """Say in what a scores file differs from conditions, torch apart, and in which proxies."""
    config = parse_config(said["config"], source="settings of the scores")
    versions, first = said.get("versions", {}), config.proxies.seed
    theirs = {
        "batch": said["settings"].get("data.fingerprint"),
        "task": repr(task_of(config.space.dataset)),
        **config.space.model_dump(include={"channels", "cells"}),
        "seeds": [*range(first, first + config.proxies.repeats)],
        "device": config.proxies.device.partition(":")[0],
    }
    here = {key: conditions[key] for key in theirs}
    for key in ("networks", "probe"):  # a file says them as texts
        theirs[key], here[key] = str(versions.get(key, "unknown")), str(conditions[key])
    known = {name: said.get("definitions", {}).get(name, "not") for name in definitions}
    return [
        f"{key}: {there!r} there, {now[key]!r} here"
        for then, now in ((theirs, here), (known, definitions))
        for key, there in then.items()
        if there != now[key]
    ]


class CacheInfo(NamedTuple):
    """How many files and values a cache holds, and how many files cannot be used."""

    entries: int
    values: int
    bytes: int
    damaged: int


class ScoreCache:
    """A folder of scores, by their conditions: what they depend on besides the proxy, as JSON."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._warned = False

    def read(self, conditions: Mapping[str, object]) -> dict[str, float]:
        """Return the values known, by definition of the proxy; a damaged entry is reported."""
        path = self._path(conditions)
        with self._warning(f"{path} cannot be read"), suppress(FileNotFoundError):
            try:
                return _values(path)
            except ValueError as error:
                logger.warning("%s; what it held is computed again", error)
        return {}

    def write(self, conditions: Mapping[str, object], values: Mapping[str, float]) -> None:
        """Add values to those known under conditions; failing to is no error."""
        path = self._path(conditions)
        known: dict[str, float] = {}
        with self._warning(f"scores are not cached: {self.folder}"):
            with suppress(FileNotFoundError, ValueError):
                known = _values(path)
            path.parent.mkdir(parents=True, exist_ok=True)
            entry = {"of": _text(conditions), "values": {**known, **values}}
            write_atomically(path, json.dumps(entry))  # a number comes back to the last bit

    def info(self) -> CacheInfo:
        """Read every entry and count."""
        entries = values = size = damaged = 0
        for path in self._files():
            entries += 1
            try:
                size += path.stat().st_size
                values += len(_values(path))
            except (OSError, ValueError):
                damaged += 1
        return CacheInfo(entries, values, size, damaged)

    def clear(self) -> int:
        """Remove every entry, and nothing else; return how many there were."""
        removed = [*self._files()]
        with writing("proxies.cache", ZcSearchError):
            for path in removed:
                path.unlink(missing_ok=True)
        for folder in {path.parent for path in removed}:
            with suppress(OSError):  # something else lies there
                folder.rmdir()
        return len(removed)

    def _files(self) -> Iterator[Path]:
        found = self.folder.glob(f"[0-9a-f][0-9a-f]/{64 * '[0-9a-f]'}.json")
        return (path for path in found if path.stem.startswith(path.parent.name))

    def _path(self, conditions: Mapping[str, object]) -> Path:
        key = _digest(_text(conditions))
        return self.folder / key[:2] / f"{key}.json"

    @contextmanager
    def _warning(self, what: str) -> Iterator[None]:
        """Say once what cannot be done, and go on."""
        try:
            yield
        except OSError as error:
            if not self._warned:
                self._warned = True
                logger.warning("%s: %s", what, error.strerror)


class PackagedCache(ScoreCache):
    """The package's scores, rounded to float32, where conditions agree; a folder has all others."""

    def __init__(self, others: ScoreCache | None) -> None:
        super().__init__(Path(os.devnull) if others is None else others.folder)
        self._others = others
        self._tables: dict[str, pd.DataFrame | None] = {}

    def read(self, conditions: Mapping[str, object]) -> dict[str, float]:
        """Return the values known, of the package before others."""
        known = {} if self._others is None else self._others.read(conditions)
        table, cell = self._table(conditions), str(conditions["architecture"])
        if table is None or cell not in table.index:
            return known
        values = zip(table.columns, table.loc[[cell]].to_numpy()[0].tolist(), strict=True)
        return known | {str(name): value for name, value in values if math.isfinite(value)}

    def write(self, conditions: Mapping[str, object], values: Mapping[str, float]) -> None:
        """Keep what the package has not."""
        if self._others is not None:
            self._others.write(conditions, values)

    def taken(
        self, conditions: Mapping[str, object], scored: pd.DataFrame, definitions: Mapping[str, str]
    ) -> tuple[int, int]:
        """Return how many values of a table are the package's, to the last bit, and of how many."""
        table, names = self._table(conditions), [n for n in definitions if n in scored]
        values = scored.drop_duplicates("architecture").set_index("architecture")[names]
        values = values[values.notna().any(axis=1)]
        if table is None:
            return 0, values.size
        known = table.reindex(index=values.index, columns=[definitions[n] for n in names])
        return int((known.to_numpy() == values.to_numpy()).sum()), values.size

    def _table(self, conditions: Mapping[str, object]) -> pd.DataFrame | None:
        """Return the package's values of these conditions, a column a definition of a proxy."""
        key = _text({k: v for k, v in conditions.items() if k != "architecture"})
        if key not in self._tables:
            self._tables[key] = _packaged(conditions)
        return self._tables[key]


def _packaged(conditions: Mapping[str, object]) -> pd.DataFrame | None:
    for dataset in available():
        if repr(task_of(dataset)) == conditions["task"]:
            table, said = load_scores(f"{PACKAGED}:{dataset}")
            if not differing(said, conditions, {}):
                return table[[*said["definitions"]]].rename(columns=said["definitions"])
    return None


def open_cache(setting: str) -> ScoreCache | None:
    """Return the cache that `Proxies.cache` names: ``user``, ``packaged``, ``off`` or a folder."""
    if setting == PACKAGED:
        return PackagedCache(open_cache("user"))
    if setting == "user":
        setting = os.environ.get(VARIABLE) or str(cache_folder() / "scores")
    return None if setting == "off" else ScoreCache(Path(setting).expanduser())


def _text(conditions: Mapping[str, object]) -> str:
    return json.dumps(conditions, sort_keys=True)


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _values(path: Path) -> dict[str, float]:
    """Return the values of an entry; a ValueError, unless it is whole and under its own name."""
    with suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError):
        entry = json.loads(path.read_text(encoding="utf-8"))
        if _digest(entry["of"]) == path.stem:
            return {str(name): float(value) for name, value in entry["values"].items()}
    raise ValueError(f"{path} is damaged")
