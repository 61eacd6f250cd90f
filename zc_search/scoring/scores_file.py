"""Reading the Parquet files that ``zc-search score`` writes; nothing in them is trusted."""

import json
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from zc_search.errors import ScoresError

KEY = b"zc_search"
"""Where in a file's metadata stands what it says of itself, as JSON."""

TEXTS = ("architecture", "function_key", "failures")
"""Columns of text; all others are float64."""

_SAID = {"settings": dict, "proxies": dict, "config": str}
_COLUMNS = ("architecture", "function_key", "seconds", "failures")


class DamagedFileError(ValueError):
    """No Parquet file, or a damaged one; the message is the reason."""


class ForeignFileError(ValueError):
    """A Parquet file of something else; the message goes on behind the file's path."""

    def __init__(self) -> None:
        super().__init__(
            "is a Parquet file, but not one of `zc-search score`: it does not say which proxies, "
            "images and seeds it holds"
        )


def read_scores_file(source: Path | BytesIO) -> tuple[pa.Table, dict[str, Any]]:
    """Read scores, and what they say of themselves.

    Args:
        source: A file or its content.

    Returns:
        A table with the columns ``architecture``, ``function_key``, ``failures`` (string),
        ``seconds`` and a column a proxy (float64); and what it says: ``settings`` and ``proxies``
        (mappings), ``config`` (TOML) and more.

    Raises:
        DamagedFileError: It cannot be read.
        ForeignFileError: It is something else.
    """
    try:
        return _read(source)
    except ForeignFileError:
        raise
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        lines = str(error).splitlines() or [type(error).__name__]
        raise DamagedFileError(lines[0]) from error


def load_scores(path: str | PathLike[str]) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Read the file that `score_space` wrote.

    Returns:
        The table, indexed by architecture string, sorted by `Architecture.index`, and what the
        file says of itself: ``settings``, ``proxies`` (name to direction), ``seeds``,
        ``versions``, ``config`` (TOML).

    Raises:
        ScoresError: No such file, or one that is damaged or was not written by `score_space`.
    """
    path = Path(path)
    if not path.exists():
        parts = parts_of(path)
        raise ScoresError(
            f"{path}: not finished, the scores so far are in {parts}; "
            "run the command that began it once more"
            if parts.exists()
            else f"{path}: no such file; `zc-search score --out {path}` writes one"
        )
    table, said = read_part(path, path)
    return to_frame(table), said


def parts_of(path: Path) -> Path:
    """Return the folder of the parts that a scores file grows from."""
    return path.with_name(f"{path.name}.parts")


def read_part(source: Path | BytesIO, path: Path) -> tuple[pa.Table, dict[str, Any]]:
    """Read a scores file or a part of one, which an error calls `path`.

    Raises:
        ScoresError: It is damaged, or something else.
    """
    try:
        return read_scores_file(source)
    except DamagedFileError as error:
        raise ScoresError(f"{path} is no Parquet file, or damaged ({error})") from error
    except ForeignFileError as error:
        raise ScoresError(f"{path} {error}") from error


def to_frame(table: pa.Table) -> pd.DataFrame:
    """Return a table of `read_scores_file` for pandas, indexed by architecture string."""
    # Even ignored, pandas' own metadata would be decoded.
    frame: pd.DataFrame = table.replace_schema_metadata(None).to_pandas()
    return frame.set_index("architecture")


def _read(source: Path | BytesIO) -> tuple[pa.Table, dict[str, Any]]:
    table = pq.read_table(
        source, page_checksum_verification=True, partitioning=None, pre_buffer=False
    )
    said = _said(table)
    wanted = (*_COLUMNS, *said["proxies"])
    if not set(wanted) <= set(table.column_names):
        raise ForeignFileError
    arrays = {
        name: table[name].cast(pa.string() if name in TEXTS else pa.float64())
        for name in table.column_names
        if name in wanted
    }
    checked = pa.table(arrays, metadata=table.schema.metadata)
    checked.validate(full=True)
    for name in ("architecture", "function_key"):
        if checked[name].null_count:
            raise ValueError(f"rows without {name}")
    return checked, said


def _said(table: pa.Table) -> dict[str, Any]:
    try:
        said = json.loads((table.schema.metadata or {})[KEY])
        if all(isinstance(said[name], kind) for name, kind in _SAID.items()):
            return dict(said)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ForeignFileError from error
    raise ForeignFileError
