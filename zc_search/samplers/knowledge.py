"""What is known of cells before an accuracy is looked at: their structure, and proxies."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from zc_search.ensemble import DEFAULT_AGGREGATE
from zc_search.ensemble import aggregate as aggregate_columns
from zc_search.ensemble.features import default_aggregate, structure_of
from zc_search.errors import ScoresError, ZcSearchError, unknown_name
from zc_search.proxies.catalogue import Direction
from zc_search.samplers.portable.memory import at_least
from zc_search.scoring.scores_file import accuracy_directions, load_scores, located
from zc_search.spaces import SPACES, AnyArchitecture, AnySpace, Architecture, CellSpace
from zc_search.spaces.nasbench201.structure import FLOW_FEATURES

Floats = NDArray[np.float64]

FLOW_AGGREGATE: dict[str, Direction] = {
    "stage pools": "minimize",
    "flow depth": "maximize",
    "stage 3x3 depth": "maximize",
    "stage log energy": "maximize",
}
"""What to aggregate where no proxy is known: features of the flow, from the cell's string alone.

`DEFAULT_AGGREGATE` orders a whole space better, these its best cells, which a search begins with.
They were chosen with accuracies on CIFAR-10 (see `FLOW_FEATURES`): figures of NAS-Bench-201 are
optimistic for them.
"""

_NO_SCORES = "there are no scores; name a file with scores = ..."


class Knowledge(NamedTuple):
    """What is known of the candidates, one for each function that the search space has."""

    architectures: tuple[AnyArchitecture, ...]
    features: Floats
    """Candidates x features: the flow of the signal and proxies have equal weight, and two
    candidates drawn at random have a mean squared distance of 2."""
    prior: Floats  # how promising each is, more being better
    source: str  # where prior and features come from, in a few words


def gather(
    space: AnySpace,
    scores: str | None = None,
    *,
    proxies: Sequence[str] | None = None,
    among: Sequence[str] | None = None,
    cell: bool = True,
) -> Knowledge:
    """Gather what is known of the cells of a search space.

    Args:
        space: The search space, of architectures that have a `structure`.
        scores: File of `zc-search score`, or ``packaged:cifar10``. Only cells in it are
            candidates: a sample of the space makes a search of the sample.
        proxies: Columns that are features; by default all.
        among: What the prior is aggregated from: columns, or features of the flow; by default
            `FLOW_AGGREGATE` without a file, with one what there is of `DEFAULT_AGGREGATE`, or all
            of a file that has none of its proxies.
        cell: Whether features of the cell's flow (`FLOW_FEATURES`) are features too.

    Raises:
        ZcSearchError: Another space, a file that cannot be read or has none of these cells or
            columns, or nothing to make features from.
    """
    proxies, among = _names(proxies), _names(among)
    if not isinstance(space, CellSpace):
        if space.structure(space.sample(np.random.default_rng(0))) is None:
            message = (
                f"nothing is known beforehand of architectures of space.name = {space.name!r}; "
                "Allowed: another sampler, or regularized_evolution without warmup and moves"
            )
            allowed = [name for name in SPACES if name != space.name]
            raise ZcSearchError(message, key="space.name", given=space.name, allowed=allowed)
        return _of_parameters(space, scores, proxies, among)
    if scores is None and (proxies or not cell):
        raise ZcSearchError(f"{'proxies' if proxies else 'cell = false'}: {_NO_SCORES}")
    return _of_cells(space, scores, _written(scores) if scores else 0, proxies, among, cell)


_CANDIDATES = 500


def _of_parameters(
    space: AnySpace, scores: str | None, proxies: tuple[str, ...], among: tuple[str, ...]
) -> Knowledge:
    """Gather parameters, and proxies in a file; without one of architectures drawn at random."""
    table, known = read_scores(scores) if scores else (pd.DataFrame(), {})
    if scores:
        candidates = [a for text in table.index if (a := space.read(text)) in space]
        table = table.loc[[*map(str, candidates)]]
    else:
        rng = np.random.default_rng(0)
        drawn: Iterable[Any] = (space.sample(rng) for _ in range(_CANDIDATES))
        if isinstance(space, Iterable) and (space.size or 0) <= _CANDIDATES:
            drawn = space
        candidates = [*{a.function_key: a for a in drawn if a.infeasible is None}.values()]
    if not candidates:
        raise ScoresError(f"{scores or space.name} has no candidate in the search space")
    values = pd.DataFrame([space.structure(a) for a in candidates])
    asked = values.notna().to_numpy(dtype=float)
    groups = [np.hstack([values.fillna(values.min()).to_numpy(dtype=float), asked])]
    prior = np.zeros(len(candidates))
    if scores:
        groups.append(_ranks(table, proxies, known, scores))
        among = columns_to_aggregate(among, known, scores)
        prior = _worth(table, among, known).to_numpy()
    return Knowledge(tuple(candidates), _joined(groups), prior, "the parameters")


def _names(names: Sequence[str] | None) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names or ())


def _written(source: str) -> int:
    path = located(source)
    return path.stat().st_mtime_ns if path.exists() else 0


@lru_cache(maxsize=8)  # many searches of one space differ in nothing but their seed
def _of_cells(
    space: CellSpace,
    scores: str | None,
    written: int,
    proxies: tuple[str, ...],
    among: tuple[str, ...],
    cell: bool,
) -> Knowledge:
    table, known = read_scores(scores) if scores else (pd.DataFrame(index=[*map(str, space)]), {})
    # The first cell of each function; cells with dead edges come later.
    first: dict[str, tuple[int, Architecture]] = {}
    for row, architecture in enumerate(map(Architecture.from_string, table.index)):
        if architecture.reaches_output:
            first.setdefault(architecture.function_key, (row, architecture))
    candidates = {row: found for row, found in first.values() if found in space}
    if not candidates and scores:
        raise ScoresError(f"{scores} has scores of no cell in the search space")
    if not candidates:
        raise ZcSearchError("in no cell of the search space does the input reach the output")
    table = table.iloc[[*candidates]]
    groups, source = [], "how signals flow through each cell, and an"
    if scores:
        groups = [_ranks(table, proxies, known, scores)]
        source = f"{len(candidates):,} functions scored in {scores}, by the"
    else:
        table = _live_parameters([*table.index])
    if cell:
        groups.append(pd.DataFrame([*map(structure_of, table.index)]).to_numpy())
    among = columns_to_aggregate(among, known or table.columns, scores)
    prior = _worth(table, among, known).to_numpy()
    source = f"{source} aggregate of {', '.join(among)}"
    return Knowledge(tuple(candidates.values()), _joined(groups), prior, source)


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
    """
    at_least(1, candidates=candidates)
    table, known = read_scores(scores) if scores else (pd.DataFrame(index=[*map(str, space)]), {})
    if scores:
        table = table[[Architecture.from_string(cell) in space for cell in table.index]]
    few = min(candidates, len(table))
    drawn = np.random.default_rng(seed).choice(len(table), size=few, replace=False)
    table = table.iloc[sorted(drawn.tolist())]
    table = table if scores else _live_parameters([*table.index])
    among = columns_to_aggregate(aggregate, known or table.columns, scores)
    return Architecture.from_string(str(_worth(table, among, known).idxmax()))


def read_scores(path: str) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return what `zc-search score` wrote, and its proxies with their directions."""
    return _read_once(path, _written(path))


@lru_cache(maxsize=4)  # many searches read the same file
def _read_once(path: str, written: int) -> tuple[pd.DataFrame, dict[str, str]]:
    table, about = load_scores(path)
    return table, about["proxies"]


def columns_to_aggregate(
    among: Sequence[str] | None, known: Collection[str], path: str | None
) -> tuple[str, ...]:
    """Return what a prior is aggregated from; see `gather`."""
    if among:
        _check_columns(among, (*known, *FLOW_FEATURES), path)
        return tuple(among)
    if path is None:
        return tuple(FLOW_AGGREGATE)
    if not any(name in known for name in DEFAULT_AGGREGATE):
        return tuple(known)
    return tuple(default_aggregate(known))


def _check_columns(names: Sequence[str], known: Collection[str], path: str | None) -> None:
    for name in names:
        if name not in known:
            message = f"{path or _NO_SCORES}: {unknown_name('column', name, known)}"
            raise ZcSearchError(message, given=name, allowed=known)


def _live_parameters(cells: Sequence[str]) -> pd.DataFrame:
    """Return a table of unscored cells: the size of their live convolutions as ``params``."""
    flow = pd.DataFrame([*map(structure_of, cells)])
    live = 9 * flow["live 3x3"] + flow["live 1x1"]
    return pd.DataFrame({"params": live.to_numpy()}, index=pd.Index(cells, name="architecture"))


def _worth(table: pd.DataFrame, among: Sequence[str], known: Mapping[str, str]) -> pd.Series:
    """Return how promising cells are; large networks count as better, if dearer."""
    directions = FLOW_AGGREGATE | accuracy_directions(known)
    return aggregate_columns(table.assign(architecture=table.index), among, directions)


def _ranks(
    table: pd.DataFrame, proxies: Sequence[str], known: Mapping[str, str], scores: str
) -> Floats:
    """Return the proxies' ranks in (0, 1], cells x proxies; what is not finite shares the worst."""
    proxies = proxies or tuple(known)
    _check_columns(proxies, known, scores)
    values = table[[*proxies]].to_numpy(float)
    return np.asarray(
        rankdata(np.where(np.isfinite(values), values, -np.inf), axis=0) / len(values)
    )


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
    return np.asarray(np.hstack(scaled) / np.sqrt(len(scaled)))
