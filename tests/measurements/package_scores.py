"""Make the scores that come with the package out of finished files of the whole space.

For each data set, in one process a core or on one thread beside other work, resumable::

    zc-search score --all --proxies NAMES --set space.dataset=cifar100 --out cifar100.parquet
    python tests/measurements/package_scores.py cifar100.parquet

Several files of one data set may have a part of the proxies each. What varies from cell to cell is
rounded to float32, a relative 6e-8, where values themselves are those of float32's computations;
columns of few values, such as params and flops, keep every bit. Seconds are left out, since they
are the maker's machine's.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from zc_search._utils.files import write_atomically
from zc_search.config import parse_config
from zc_search.errors import ScoresError, ZcSearchError
from zc_search.proxies.catalogue import split_options
from zc_search.scoring.scores_file import KEY, file_of, load_scores
from zc_search.scoring.store import MADE_BY, changes, to_bytes
from zc_search.spaces import CellSpace

_FEW = 1000  # distinct values of a column that are kept to the last bit


def compact(paths: Sequence[Path]) -> tuple[str, bytes]:
    """Return a data set's name and its scores as one small scores file.

    Raises:
        ScoresError: The files are of different settings, or do not hold the whole space.
    """
    tables, said = [], dict[str, Any]()
    for path in paths:
        table, about = load_scores(path)
        _check(path, table, about, said or about)
        tables.append(table[[n for n in map(str, table) if split_options(n)[0] != "latency"]])
        for key in ("proxies", "definitions"):
            about[key] = {n: v for n, v in about[key].items() if n in tables[-1]}
            said[key] = about[key] | said.get(key, {})
        said = about | said
    said["settings"]["proxies"] = sorted(said["proxies"])
    said["versions"] = MADE_BY | said["versions"]
    texts = {"architecture": tables[0].index, "function_key": tables[0]["function_key"]}
    columns = {name: pa.array(list(values), pa.string()) for name, values in texts.items()}
    for name in said["proxies"]:
        values = next(table[name] for table in tables if name in table).to_numpy()
        exact = len(np.unique(values)) <= _FEW
        columns[name] = pa.array(values if exact else values.astype(np.float32))
    columns["seconds"] = pa.array(np.full(len(tables[0]), np.nan))
    columns["failures"] = pa.array(_failures(tables), pa.string())
    table = pa.table(columns).replace_schema_metadata({KEY: json.dumps(said).encode()})
    return parse_config(said["config"]).dataset, to_bytes(table, compression_level=19)


def _check(path: Path, table: pd.DataFrame, about: dict[str, Any], first: dict[str, Any]) -> None:
    """Refuse scores of another space, of a part of it, or of other settings than the first."""
    cells = [*map(str, CellSpace())]
    if len(lacking := [cell for cell in cells if cell not in table.index]):
        count = f"{len(lacking):,} of the {len(cells):,} cells of NAS-Bench-201"
        raise ScoresError(f"{path} lacks {count}, such as {lacking[0]}", given=str(path))
    then, now = ({**said["settings"], "proxies": None} for said in (first, about))
    if different := changes(then, now):
        message = f"{path} has other settings than the first file"
        raise ScoresError("\n  ".join((message, *different)), given=str(path))


def _failures(tables: Sequence[pd.DataFrame]) -> list[str | None]:
    """Return the reasons of all tables for values that are not finite, a JSON text a cell."""
    rows = zip(*(table["failures"] for table in tables), strict=True)
    merged = ([json.loads(text) for text in row if isinstance(text, str)] for row in rows)
    return [
        json.dumps({k: v for one in row for k, v in one.items()}) if row else None for row in merged
    ]


def main(arguments: Sequence[str]) -> None:
    """Write the files named on the command line, of one data set, into this package."""
    if not arguments:
        raise ScoresError("name the files of one data set")
    dataset, data = compact([*map(Path, arguments)])
    path = write_atomically(file_of(dataset), data)
    print(f"wrote {path}, {len(data):,} bytes")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except ZcSearchError as error:
        sys.exit(str(error))
