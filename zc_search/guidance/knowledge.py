"""What is known of cells before an accuracy is looked at: their structure, and proxies."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from zc_search.ensemble import aggregate, cell_features
from zc_search.ensemble.baselines import COSTS
from zc_search.errors import ZcSearchError, unknown_name
from zc_search.spaces import Architecture, CellSpace
from zc_search.sweep import ScoresError, load_scores

Floats = NDArray[np.float64]

AGGREGATE = (
    "synflow",
    "az_expressivity",
    "az_progressivity",
    "az_trainability",
    "az_complexity",
)
"""What the aggregate is made of, where a scores file has it: the four parts of AZ-NAS (Lee and Ham
2024) and synflow, the best combination published that looks at no accuracy."""


_STRUCTURE = "the structure of all cells, those with the most parameters first"


class Knowledge(NamedTuple):
    """What is known of the candidates, one for each function that the search space has.

    Attributes:
        architectures: The candidates.
        features: Candidates x features: structure and proxies have equal weight, and two candidates
            drawn at random have a mean squared distance of 2.
        prior: How promising each is, more being better: the aggregate of proxies, or without a
            scores file the parameters of the live convolutions.
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
        among: Columns that the prior is aggregated from; by default `AGGREGATE`, or all features
            where the file has none of those.
        cell: Whether structural features of the cell are features too.

    Raises:
        ScoresError: The file cannot be read, or has none of these cells.
        ZcSearchError: A column that the file does not have, or nothing to make features from.
    """
    if scores is None:
        if proxies or among or not cell:
            given = "proxies" if proxies else "aggregate" if among else "cell = false"
            raise ZcSearchError(f"{given}: there are no scores; name a file with scores = ...")
        architectures = _distinct(space)
        names = [str(architecture) for architecture in architectures]
        features = _joined([cell_features(names).to_numpy()])
        return Knowledge(architectures, features, live_parameters(names), _STRUCTURE)
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
    _check_columns(scores, proxies, known)
    among = columns_to_aggregate(scores, among, known)
    rows = [(a, row) for a, row in _rows(table) if a in space]
    if not rows:
        raise ScoresError(f"{scores} has scores of no cell in the search space")
    architectures = tuple(architecture for architecture, _ in rows)
    scored = table.iloc[[row for _, row in rows]]
    groups = [np.column_stack([_ranks(scored[name].to_numpy(float)) for name in proxies])]
    if cell:
        groups.append(cell_features(scored.index).to_numpy())
    return Knowledge(
        architectures,
        _joined(groups),
        aggregate(scored, among, directions_of(known)).to_numpy(),
        f"{len(architectures):,} functions scored in {scores}, by the aggregate of "
        f"{', '.join(among)}",
    )


def live_parameters(cells: Sequence[str]) -> Floats:
    """Return the parameters of each cell's live convolutions, in those of a 1x1 convolution.

    Args:
        cells: Architecture strings.
    """
    structure = cell_features(cells)
    return (9 * structure["live nor_conv_3x3"] + structure["live nor_conv_1x1"]).to_numpy()


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


def columns_to_aggregate(
    path: str, among: Sequence[str] | None, known: Mapping[str, str]
) -> tuple[str, ...]:
    """Return the proxies that an aggregate is made of; see `gather`.

    Raises:
        ZcSearchError: A column that the file does not have.
    """
    _check_columns(path, among or (), known)
    return tuple(among or (name for name in AGGREGATE if name in known)) or tuple(known)


def directions_of(known: Mapping[str, str]) -> dict[str, str]:
    """Return which way proxies go with accuracy: a large network is better, if dearer."""
    return {name: way for name, way in known.items() if name not in COSTS}


def _check_columns(path: str, names: Sequence[str], known: Mapping[str, str]) -> None:
    for name in names:
        if name not in known:
            raise ZcSearchError(f"{path}: {unknown_name('column', name, known)}")


@lru_cache(maxsize=4)
def _distinct(space: CellSpace) -> tuple[Architecture, ...]:
    first: dict[str, Architecture] = {}
    for architecture in space:
        if architecture.reaches_output:
            first.setdefault(architecture.function_key, architecture)
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
