"""What a scores file holds: a row an architecture, and what the numbers depend on."""

import json
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from zc_search.config import Config, config_to_toml, public
from zc_search.errors import ScoresError
from zc_search.scoring.scorer import Scores
from zc_search.scoring.scores_file import (
    KEY,
    TEXTS,
    DamagedFileError,
    ForeignFileError,
    read_scores_file,
    to_frame,
)
from zc_search.scoring.sweep.jobs import Scoring
from zc_search.scoring.sweep.watching import worth_another_try
from zc_search.spaces import read_architecture

_PACKAGES = ("zc-search", "torch", "numpy")

About = Mapping[str, Any]
"""What a scores file says of itself; see `about`."""


def about(config: Config, scoring: Scoring) -> dict[str, Any]:
    """Describe scores: what they depend on, and what made them.

    Returns:
        ``settings``, which must agree for two sets of scores to share a file, the batch's
        fingerprint and the versions of zc-search and torch among them; ``proxies``, name to
        direction; ``definitions``, name to `Proxy.definition`; ``seeds``; ``versions``; and
        ``config``, the whole configuration as TOML.
    """
    versions = {"python": platform.python_version()} | {p: version(p) for p in _PACKAGES}
    settings: dict[str, object] = {
        "proxies": sorted(p.name for p in scoring.proxies),
        "space.dataset": config.dataset,
        "space.channels": scoring.channels,
        "space.cells": scoring.cells,
        "data.source": config.data.source,
        "data.batch_size": config.data.batch_size,
        "data.seed": config.data.seed,
        "data.fingerprint": scoring.batch.fingerprint,
        "proxies.repeats": scoring.repeats,
        "proxies.seed": scoring.seed,
    }
    return {
        "settings": settings | {f"version of {p}": versions[p] for p in ("zc-search", "torch")},
        "proxies": {p.name: p.direction for p in scoring.proxies},
        "definitions": {p.name: p.definition for p in scoring.proxies},
        "seeds": {"data": config.data.seed, "weights": scoring.seed},
        "versions": versions,
        "config": config_to_toml(public(config)),
    }


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
    table, said = read_table(path, path)
    return to_frame(table), said


def scores_of(table: pd.DataFrame, proxies: Sequence[str]) -> dict[str, Scores]:
    """Return the scores in a table by architecture string, but those that want another try."""
    scores = {}
    for string, seconds, failures, *values in zip(
        table.index,
        table["seconds"],
        table["failures"],
        *(table[name] for name in proxies),
        strict=True,
    ):
        reasons = json.loads(failures) if isinstance(failures, str) else {}
        if not any(map(worth_another_try, reasons.values())):
            scores[string] = Scores(
                read_architecture(string),
                dict(zip(proxies, values, strict=True)),
                reasons,
                seconds,
            )
    return scores


def parts_of(path: Path) -> Path:
    """Return the folder of the parts that a scores file grows from."""
    return path.with_name(f"{path.name}.parts")


def to_bytes(table: pa.Table) -> bytes:
    """Write a table as a Parquet file."""
    buffer = BytesIO()
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    return buffer.getvalue()


def to_table(scores: Sequence[Scores], said: About) -> pa.Table:
    """Return scores as a table that says of itself what `said` says."""
    columns: dict[str, Sequence[object]] = {
        "architecture": [str(s.architecture) for s in scores],
        "function_key": [s.architecture.function_key for s in scores],
        **{name: [s.values[name] for s in scores] for name in said["proxies"]},
        "seconds": [s.seconds for s in scores],
        "failures": [json.dumps(dict(s.failures)) if s.failures else None for s in scores],
    }
    return with_metadata(columns, said)


def with_metadata(columns: Mapping[str, Any], said: About) -> pa.Table:
    """Build a table of columns; NaN stays NaN, which pandas would turn into null."""
    arrays = {
        name: pa.array(list(values), pa.string(), from_pandas=True)
        if name in TEXTS
        else pa.array(np.asarray(values, dtype=np.float64), from_pandas=False)
        for name, values in columns.items()
    }
    table = pa.table(arrays)
    # So that pandas.read_parquet finds the index too.
    indexed = table.slice(0, 0).to_pandas().set_index("architecture")
    pandas_key = pa.Schema.from_pandas(indexed).metadata
    return table.replace_schema_metadata({**pandas_key, KEY: json.dumps(said).encode()})


def read_table(source: Path | BytesIO, path: Path) -> tuple[pa.Table, dict[str, Any]]:
    """Read a table of scores, and what it says of itself.

    Args:
        source: The file or its content.
        path: What messages call it.

    Raises:
        ScoresError: It is damaged, or something else.
    """
    try:
        return read_scores_file(source)
    except DamagedFileError as error:
        raise ScoresError(f"{path} is no Parquet file, or damaged ({error})") from error
    except ForeignFileError as error:
        raise ScoresError(f"{path} {error}") from error
