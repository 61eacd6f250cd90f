"""Scores that outlive a search: one small file an architecture, addressed by all they depend on.

The address is a digest of the architecture, the batch, the networks' size and initialisation, and
the code that computes, so that no entry is ever out of date. Each file is written under another
name and renamed, so that many may write at once, on a network's file system too; two who write
the same entry at the same time cost a computation, and nothing else. What is read is checked.
"""

import json
import logging
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path

import torch

from zc_search._utils.files import cache_folder, write_atomically
from zc_search.errors import ZcSearchError
from zc_search.proxies import Proxy

_KEY = re.compile("[0-9a-f]{64}")

logger = logging.getLogger("zc_search")

OFF = "off"
USER = "user"
VARIABLE = "ZC_SEARCH_SCORES"
"""The environment variable that says where ``user`` is; a folder, or `OFF`."""

_CODE = ("spaces", "proxies", "scoring/evaluating.py", "scoring/scorer.py")


@dataclass(frozen=True)
class CacheInfo:
    """What a cache holds.

    Attributes:
        folder: Where it is; None if it is off.
        entries: Files, one an architecture under one set of conditions.
        values: Values of proxies in them.
        bytes: Their size.
        corrupt: Entries that cannot be used.
    """

    folder: Path | None
    entries: int
    values: int
    bytes: int
    corrupt: int


class ScoreCache:
    """A folder of scores.

    Args:
        folder: Where they are; it is created with the first entry.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def under(self, conditions: Mapping[str, object], proxies: Iterable[Proxy]) -> "CacheView":
        """Return the part of the cache that holds under conditions.

        Args:
            conditions: All that values depend on, besides architecture, proxy and code: plain
                JSON values.
            proxies: Those whose values are wanted.
        """
        known = {**conditions, "code": _code(), "torch": torch.__version__}
        definitions = {p.name: p.definition for p in proxies if is_cacheable(p)}
        return CacheView(self.folder, known, definitions)

    def _files(self) -> Iterator[Path]:
        return (
            path
            for path in self.folder.glob("[0-9a-f][0-9a-f]/*.json")
            if _KEY.fullmatch(path.stem) and path.stem.startswith(path.parent.name)
        )

    def info(self) -> CacheInfo:
        """Read every entry and count."""
        entries = values = size = corrupt = 0
        for path in self._files():
            entries += 1
            try:
                content = _read(path)
            except OSError:  # of another user
                content = None
            with suppress(OSError):
                size += path.stat().st_size
            if content is None or content[0] != path.stem:
                corrupt += 1
            else:
                values += len(content[2])
        return CacheInfo(self.folder, entries, values, size, corrupt)

    def clear(self) -> int:
        """Remove every entry, and nothing else; return how many there were.

        Raises:
            ZcSearchError: One cannot be removed.
        """
        removed = 0
        try:
            for path in self._files():
                path.unlink(missing_ok=True)
                removed += 1
            for folder in self.folder.glob("[0-9a-f][0-9a-f]"):
                with suppress(OSError):  # something else lies there
                    folder.rmdir()
        except OSError as error:
            raise ZcSearchError(
                f"proxies.cache: {str(error.filename)!r} cannot be removed: {error.strerror}"
            ) from error
        return removed


class CacheView:
    """What a cache holds under one set of conditions; can be sent to another process.

    Args:
        folder: The cache's.
        conditions: All that values depend on, besides architecture and proxy.
        definitions: `Proxy.definition` of the proxies whose values are kept, by name.
    """

    def __init__(
        self, folder: Path, conditions: Mapping[str, object], definitions: Mapping[str, str]
    ) -> None:
        self._folder = folder
        self._conditions = conditions
        self._definitions = definitions
        self._told = False

    def read(self, architecture: str) -> dict[str, float]:
        """Return the values known of an architecture, by proxy.

        An entry that is damaged is reported and counts as missing, so it is computed again.
        """
        key, path = self._place(architecture)
        try:
            content = _read(path)
        except OSError as error:
            self._tell_once(f"{path} cannot be read: {error.strerror}")
            return {}
        if content is None:
            return {}
        found, text, values = content
        if found != key or text != self._text(architecture):
            logger.warning("%s is damaged; what it held is computed again", path)
            return {}
        return {n: values[means] for n, means in self._definitions.items() if means in values}

    def write(
        self, architecture: str, found: Mapping[str, float], failures: Mapping[str, str]
    ) -> None:
        """Add values of an architecture, by proxy; failing to is no error.

        A value that is missing because something went wrong is not kept.
        """
        values = {
            self._definitions[name]: value
            for name, value in found.items()
            if name in self._definitions
            and failures.get(name, not_finite(value)) == not_finite(value)
        }
        if not values:
            return
        key, path = self._place(architecture)
        text = self._text(architecture)
        try:
            known = _read(path) if path.exists() else None
            if known is not None and known[:2] == (key, text):
                values = {**known[2], **values}
            path.parent.mkdir(parents=True, exist_ok=True)
            _replace(path, text, values)
        except OSError as error:
            self._tell_once(f"scores are not cached: {self._folder}: {error.strerror}")

    def _tell_once(self, what: str) -> None:
        if not self._told:
            self._told = True
            logger.warning("%s", what)

    def _text(self, architecture: str) -> str:
        return json.dumps({**self._conditions, "architecture": architecture}, sort_keys=True)

    def _place(self, architecture: str) -> tuple[str, Path]:
        key = _digest(self._text(architecture))
        return key, self._folder / key[:2] / f"{key}.json"


def open_cache(setting: str) -> ScoreCache | None:
    """Return the cache that `Proxies.cache` names: ``user``, ``off`` or a folder."""
    if setting == USER:
        setting = os.environ.get(VARIABLE) or str(cache_folder() / "scores")
    return None if setting == OFF else ScoreCache(Path(setting).expanduser())


def not_finite(value: float) -> str:
    """Say why a value that was computed without a fault cannot be used, if it is not finite."""
    return f"the value is {value}"


def is_cacheable(proxy: Proxy) -> bool:
    """Whether a proxy's value is the same the next time.

    Of a user's own proxy the digest of its function is known, and not what else it calls; a time
    is measured anew.
    """
    own = proxy.function.__module__.partition(".")[0] == __name__.partition(".")[0]
    return own and "latency" not in proxy.needs


@cache
def _code() -> str:
    """Return a digest of the code that computes scores, so that an edit of it is noticed."""
    root = Path(__file__).parent.parent
    digest = sha256()
    for name in _CODE:
        place = root / name
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _read(path: Path) -> tuple[str, str, dict[str, float]] | None:
    """Return an entry's address, what it was made of, and its values; None if there is none.

    One that is damaged has no address.
    """
    try:
        body, _, checksum = path.read_text(encoding="utf-8").rpartition("\n")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        return "", "", {}
    if _digest(body) != checksum:
        return "", "", {}
    try:
        entry = json.loads(body)
        values = {str(name): float(value) for name, value in entry["values"].items()}
        return _digest(entry["of"]), entry["of"], values
    except (ValueError, KeyError, TypeError, AttributeError):  # made up, its checksum too
        return "", "", {}


def _replace(path: Path, text: str, values: Mapping[str, float]) -> None:
    # JSON has no NaN, and a number comes back to the last bit.
    plain = {k: v if math.isfinite(v) else str(v) for k, v in values.items()}
    body = json.dumps({"of": text, "values": plain})
    write_atomically(path, f"{body}\n{_digest(body)}")
