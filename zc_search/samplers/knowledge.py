"""What is known of cells before an accuracy is looked at: their structure, and proxies."""

from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from zc_search.ensemble import DEFAULT_AGGREGATE
from zc_search.ensemble import aggregate as aggregate_columns
from zc_search.errors import ScoresError, ZcSearchError, unknown_name
from zc_search.proxies.catalogue import Direction
from zc_search.scoring.scores_file import accuracy_directions, load_scores
from zc_search.spaces import Architecture, CellSpace
from zc_search.spaces.nasbench201.structure import FLOW_FEATURES, cell_features, flow_features

Floats = NDArray[np.float64]

FLOW_AGGREGATE: dict[str, Direction] = {
    "stage pools": "minimize",
    "flow depth": "maximize",
    "stage 3x3 depth": "maximize",
    "stage log energy": "maximize",
}
"""What to aggregate where no proxy is known: features of the flow, from the cell's string alone.

The features were chosen with accuracies on CIFAR-10 (see `FLOW_FEATURES`), and these four of them
from few combinations, so that figures of NAS-Bench-201 are optimistic for them.
"""


class Knowledge(NamedTuple):
    """What is known of the candidates, one for each function that the search space has.

    Attributes:
        architectures: The candidates.
        features: Candidates x features: the flow of the signal and proxies have equal weight, and
            two candidates drawn at random have a mean squared distance of 2.
        prior: How promising each is, more being better.
        source: Where the prior and the features come from, in a few words.
    """

    architectures: tuple[Architecture, ...]
    features: Floats
    prior: Floats
    source: str


def gather(
    space: CellSpace,
    scores: str | None = None,
    *,
    proxies: Sequence[str] | None = None,
    among: Sequence[str] | None = None,
    cell: bool = True,
) -> Knowledge:
    """Gather what is known of the cells of a search space.

    Args:
        space: The search space.
        scores: File of `zc-search score`. Only cells in it are candidates: a sample of the space
            makes a search of the sample.
        proxies: Columns that are features; by default all.
        among: What the prior is aggregated from: columns, or features of the flow; by default
            `FLOW_AGGREGATE` without a file, with one what there is of `DEFAULT_AGGREGATE`, or all
            of a file that has none of its proxies.
        cell: Whether features of the cell's flow (`flow_features`) are features too.

    Raises:
        ScoresError: The file cannot be read, or has none of these cells.
        ZcSearchError: A column that the file does not have, or nothing to make features from.
    """
    known: dict[str, str] = {}
    if scores is None:
        if proxies or not cell:
            given = "proxies" if proxies else "cell = false"
            raise ZcSearchError(f"{given}: there are no scores; name a file with scores = ...")
        architectures = _distinct(space)
        table = _live_parameters([str(a) for a in architectures])
        among = columns_to_aggregate(among, table.columns, None)
        groups = [flow_features(table.index).to_numpy()]
        source = f"how signals flow through each cell, and an aggregate of {', '.join(among)}"
    else:
        table, known = read_scores(scores)
        proxies = tuple(proxies or known)
        _check_columns(proxies, known, scores)
        among = columns_to_aggregate(among, known, scores)
        rows = [(a, row) for a, row in _first_rows(table) if a in space]
        if not rows:
            raise ScoresError(f"{scores} has scores of no cell in the search space")
        architectures = tuple(architecture for architecture, _ in rows)
        table = table.iloc[[row for _, row in rows]]
        groups = [np.column_stack([_ranks(table[name].to_numpy(float)) for name in proxies])]
        if cell:
            groups.append(flow_features(table.index).to_numpy())
        source = (
            f"{len(architectures):,} functions scored in {scores}, by the aggregate of "
            f"{', '.join(among)}"
        )
    prior = _worth(table, among, known).to_numpy()
    return Knowledge(architectures, _joined(groups), prior, source)


def zero_cost(
    space: CellSpace,
    seed: int,
    *,
    candidates: int = 3000,
    scores: str | None = None,
    aggregate: Sequence[str] | None = None,
) -> Architecture:
    """Return the best of random cells by what costs no training: a search without accuracies.

    Args:
        space: The search space.
        seed: Of the drawing.
        candidates: Cells drawn, without repeats; all if there are fewer.
        scores: See `gather`; only cells in the file are drawn.
        aggregate: See ``among`` of `gather`; the ranks are those among the cells drawn.

    Raises:
        ZcSearchError: See `gather`.
        ValueError: No candidate.
    """
    if candidates < 1:
        raise ValueError(f"candidates={candidates!r}: Allowed: at least 1")
    rng = np.random.default_rng(seed)
    known: dict[str, str] = {}
    if scores is None:
        cells = list(space)
        table = _live_parameters([str(cells[row]) for row in _drawn(rng, len(cells), candidates)])
        among = columns_to_aggregate(aggregate, table.columns, None)
    else:
        table, known = read_scores(scores)
        among = columns_to_aggregate(aggregate, known, scores)
        table = table[[Architecture.from_string(cell) in space for cell in table.index]]
        table = table.iloc[_drawn(rng, len(table), candidates)]
    return Architecture.from_string(str(_worth(table, among, known).idxmax()))


def read_scores(path: str) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return what `zc-search score` wrote, and its proxies with their directions.

    Raises:
        ScoresError: It cannot be read.
    """
    return _read_once(path, Path(path).stat().st_mtime_ns if Path(path).exists() else 0)


@lru_cache(maxsize=4)  # many searches read the same file
def _read_once(path: str, written: int) -> tuple[pd.DataFrame, dict[str, str]]:
    table, about = load_scores(path)
    return table, about["proxies"]


def columns_to_aggregate(
    among: Sequence[str] | None, known: Collection[str], path: str | None
) -> tuple[str, ...]:
    """Return what a prior is aggregated from; see ``among`` of `gather`."""
    if among:
        _check_columns(among, (*known, *FLOW_FEATURES), path)
        return tuple(among)
    if path is None:
        return tuple(FLOW_AGGREGATE)
    if not any(name in known for name in DEFAULT_AGGREGATE):
        return tuple(known)
    return tuple(name for name in DEFAULT_AGGREGATE if name in known or name in FLOW_FEATURES)


def _check_columns(names: Sequence[str], known: Collection[str], path: str | None) -> None:
    for name in names:
        if name not in known:
            where = path or "there are no scores; name a file with scores = ..."
            message = f"{where}: {unknown_name('column', name, known)}"
            raise ZcSearchError(message, given=name, allowed=known)


def _live_parameters(cells: Sequence[str]) -> pd.DataFrame:
    """Return a table of unscored cells: the size of their live convolutions as ``params``."""
    counts = cell_features(cells)
    live = 9 * counts["live nor_conv_3x3"] + counts["live nor_conv_1x1"]
    return pd.DataFrame({"params": live.to_numpy()}, index=pd.Index(cells, name="architecture"))


def _worth(table: pd.DataFrame, among: Sequence[str], known: Mapping[str, str]) -> pd.Series:
    """Return how promising cells are; large networks count as better, if dearer."""
    directions = FLOW_AGGREGATE | accuracy_directions(known)
    return aggregate_columns(table.assign(architecture=table.index), among, directions)


@lru_cache(maxsize=4)
def _distinct(space: CellSpace) -> tuple[Architecture, ...]:
    first: dict[str, Architecture] = {}
    for architecture in space:
        if architecture.reaches_output:
            first.setdefault(architecture.function_key, architecture)
    if not first:
        raise ZcSearchError("in no cell of the search space does the input reach the output")
    return tuple(first.values())


def _first_rows(table: pd.DataFrame) -> list[tuple[Architecture, int]]:
    """Return the first cell of each function and its row; cells with dead edges come later."""
    first: dict[str, tuple[Architecture, int]] = {}
    for row, string in enumerate(table.index):
        architecture = Architecture.from_string(string)
        if architecture.reaches_output:
            first.setdefault(architecture.function_key, (architecture, row))
    return list(first.values())


def _drawn(rng: np.random.Generator, size: int, count: int) -> list[int]:
    return sorted(rng.choice(size, size=min(count, size), replace=False).tolist())


def _ranks(values: Floats) -> Floats:
    """Return ranks in (0, 1]; what is not finite shares the worst."""
    known = np.where(np.isfinite(values), values, -np.inf)
    ranks: Floats = rankdata(known) / len(known)
    return ranks


def _joined(groups: Sequence[Floats]) -> Floats:
    """Standardise columns and give each group the same weight, whatever its number of columns."""
    scaled = []
    for group in groups:
        varied = group[:, np.ptp(group, axis=0) > 0]
        if varied.shape[1]:
            standard = (varied - varied.mean(axis=0)) / varied.std(axis=0)
            scaled.append(standard / np.sqrt(varied.shape[1]))
    if not scaled:
        raise ZcSearchError("every feature of the candidates is constant")
    joined: Floats = np.hstack(scaled) / np.sqrt(len(scaled))
    return joined
