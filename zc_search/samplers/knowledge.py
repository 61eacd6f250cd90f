"""What is known of cells before an accuracy is looked at: their structure, and proxies."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from zc_search.errors import ScoresError, ZcSearchError
from zc_search.samplers.prior import check_columns, columns_to_aggregate, structure, worth
from zc_search.scoring.sweep import load_scores
from zc_search.spaces import Architecture, CellSpace
from zc_search.spaces.nasbench201.flow import flow_features

Floats = NDArray[np.float64]


class Knowledge(NamedTuple):
    """What is known of the candidates, one for each function that the search space has.

    Attributes:
        architectures: The candidates.
        features: Candidates x features: the flow of the signal and proxies have equal weight, and
            two candidates drawn at random have a mean squared distance of 2.
        prior: How promising each is, more being better; see `worth`.
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
        among: What the prior is aggregated from; see `columns_to_aggregate`.
        cell: Whether features of the cell's flow (`flow_features`) are features too.

    Raises:
        ScoresError: The file cannot be read, or has none of these cells.
        ZcSearchError: A column that the file does not have, or nothing to make features from.
    """
    if scores is None:
        if proxies or not cell:
            given = "proxies" if proxies else "cell = false"
            raise ZcSearchError(f"{given}: there are no scores; name a file with scores = ...")
        architectures = _distinct(space)
        table = structure([str(architecture) for architecture in architectures])
        among = columns_to_aggregate(among, table.columns, None)
        return Knowledge(
            architectures,
            _joined([flow_features(table.index).to_numpy()]),
            worth(table, among, {}).to_numpy(),
            f"how signals flow through each cell, and an aggregate of {', '.join(among)}",
        )
    return _from_scores(space, scores, proxies, among, cell=cell)


def _from_scores(
    space: CellSpace,
    scores: str,
    proxies: Sequence[str] | None,
    among: Sequence[str] | None,
    *,
    cell: bool,
) -> Knowledge:
    table, known = read_scores(scores)
    proxies = tuple(proxies or known)
    check_columns(proxies, known, scores)
    among = columns_to_aggregate(among, known, scores)
    rows = [(a, row) for a, row in _rows(table) if a in space]
    if not rows:
        raise ScoresError(f"{scores} has scores of no cell in the search space")
    architectures = tuple(architecture for architecture, _ in rows)
    scored = table.iloc[[row for _, row in rows]]
    groups = [np.column_stack([_ranks(scored[name].to_numpy(float)) for name in proxies])]
    if cell:
        groups.append(flow_features(scored.index).to_numpy())
    return Knowledge(
        architectures,
        _joined(groups),
        worth(scored, among, known).to_numpy(),
        f"{len(architectures):,} functions scored in {scores}, by the aggregate of "
        f"{', '.join(among)}",
    )


def read_scores(path: str) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return what `zc-search score` wrote, and its proxies with their directions.

    Raises:
        ScoresError: It cannot be read.
    """
    written = Path(path).stat().st_mtime_ns if Path(path).exists() else 0
    return _read_once(path, written)


@lru_cache(maxsize=4)  # many searches read the same file
def _read_once(path: str, written: int) -> tuple[pd.DataFrame, dict[str, str]]:
    table, said = load_scores(path)
    return table, said["proxies"]


@lru_cache(maxsize=4)
def _distinct(space: CellSpace) -> tuple[Architecture, ...]:
    first: dict[str, Architecture] = {}
    for architecture in space:
        if architecture.reaches_output:
            first.setdefault(architecture.function_key, architecture)
    if not first:
        raise ZcSearchError("in no cell of the search space does the input reach the output")
    return tuple(first.values())


def _rows(table: pd.DataFrame) -> list[tuple[Architecture, int]]:
    """Return the first cell of each function and its row; cells with dead edges come later."""
    first: dict[str, tuple[Architecture, int]] = {}
    for row, string in enumerate(table.index):
        architecture = Architecture.from_string(string)
        if architecture.reaches_output:
            first.setdefault(architecture.function_key, (architecture, row))
    return list(first.values())


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
