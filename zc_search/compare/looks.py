"""From searches to one table: every look, and the best so far."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from zc_search.compare.running import Unit
from zc_search.compare.searching import Search
from zc_search.compare.table import Table, table_of
from zc_search.spaces import all_architectures


def looks_table(searches: Sequence[tuple[Unit, Search]]) -> pd.DataFrame:
    """Return one row a look.

    Columns: ``dataset``, ``algorithm``, ``seed``, ``accuracies`` (looked at so far),
    ``simulated_seconds`` (their training so far), ``architecture``, ``seen`` (the accuracy told to
    the search), ``best`` (validation accuracy of the one it would choose now, mean of all training
    seeds) and, where the benchmark has it, ``test`` (that one's test accuracy). Nothing is chosen
    by test accuracy. An algorithm that looks at nothing has one row of 0 accuracies, its choice.
    """
    parts = [_looks(unit, found, table_of(unit.dataset)) for unit, found in searches]
    return pd.concat(parts, ignore_index=True)


def _looks(unit: Unit, found: Search, table: Table) -> pd.DataFrame:
    if found.picked is None:
        indices = np.array(found.looked)
        seen = np.array(found.seen)
        chosen = indices[_best_so_far(seen)]
        count, seconds = np.arange(1, len(indices) + 1), np.cumsum(table.seconds[indices])
    else:
        indices = chosen = np.array([found.picked])
        seen, count, seconds = np.array([np.nan]), np.array([0]), np.array([0.0])
    columns: dict[str, object] = {
        "dataset": unit.dataset,
        "algorithm": unit.algorithm.label,
        "seed": unit.seed,
        "accuracies": count,
        "simulated_seconds": seconds,
        "architecture": _names()[indices],
        "seen": seen,
        "best": table.validation[chosen],
    }
    if table.test is not None:
        columns["test"] = table.test[chosen]
    return pd.DataFrame(columns)


def _best_so_far(seen: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return for each look the place of the first best one up to it."""
    best = np.maximum.accumulate(seen)
    better = np.concatenate([[True], seen[1:] > best[:-1]])
    return np.maximum.accumulate(np.where(better, np.arange(len(seen)), 0))


@lru_cache(maxsize=1)
def _names() -> NDArray[np.object_]:
    return np.array([str(cell) for cell in all_architectures()], dtype=object)
