"""Columns before and after standardising: proxies on their scales, structure, ranks, products."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import BaseModel, Field

from zc_search.ensemble.scales import RECORD, Floats, RankScale, Scale, SplineScale
from zc_search.ensemble.tables import numbers
from zc_search.proxies.catalogue import Direction
from zc_search.spaces.nasbench201.structure import (
    CELL_FEATURES,
    FLOW_FEATURES,
    cell_features,
    flow_features,
)


class Column(BaseModel):
    """A column's place on the standard scale: ``(value - mean) / scale``.

    Attributes:
        name: Feature that the column holds.
        mean: Mean over the training rows, in the feature's unit.
        scale: Standard deviation over the training rows, in the feature's unit; above zero.
    """

    model_config = RECORD

    name: str
    mean: float
    scale: Annotated[float, Field(gt=0)]


class KeptColumns:
    """Standardised training columns, in the order in which they were added."""

    def __init__(self, rows: int) -> None:
        self.columns: list[Column] = []
        self.standard: dict[str, Floats] = {}
        self._stacked = np.empty((64, rows))

    def add(self, column: Column, z: Floats) -> None:
        """Append a column with its standardised values."""
        if len(self.columns) == len(self._stacked):
            self._stacked = np.concatenate([self._stacked, np.empty_like(self._stacked)])
        self._stacked[len(self.columns)] = z
        self.columns.append(column)
        self.standard[column.name] = z

    def twin(self, z: Floats) -> str | None:
        """Return the first column that is the same up to sign."""
        likeness = np.abs(self._stacked[: len(self.columns)] @ z)
        same = np.flatnonzero(likeness >= (1 - 1e-12) * z.size)
        return self.columns[same[0]].name if same.size else None


def plain_columns(
    scales: Sequence[Scale], table: pd.DataFrame, wanted: Iterable[str]
) -> dict[str, Floats]:
    """Return the columns that a row of the table has by itself, not yet standardised.

    Args:
        scales: Of the proxies.
        table: Scores.
        wanted: Names; structural features are computed if theirs are among them.
    """
    columns: dict[str, Floats] = {}
    for scale in scales:
        columns |= zip(scale.names(), scale.columns(numbers(table, scale.proxy)), strict=True)
    wanted = set(wanted)
    for names, describe in ((CELL_FEATURES, cell_features), (FLOW_FEATURES, flow_features)):
        if not wanted.isdisjoint(names):
            structure = describe(table["architecture"])
            columns |= {name: structure[name].to_numpy() for name in names}
    return columns


def mean_log_rank(
    scales: Iterable[Scale], table: pd.DataFrame, directions: Mapping[str, Direction]
) -> Floats:
    """Return the mean over proxies of the logarithm of the rank, as a share of training rows.

    Args:
        scales: Of the proxies, those of `directions` with ranks.
        table: Scores.
        directions: Which proxies to take, and whether more of each should mean more accuracy.
    """
    logarithms = []
    for scale in scales:
        if scale.proxy in directions and isinstance(scale, RankScale | SplineScale):
            rank = scale.rank(numbers(table, scale.proxy))
            least = directions[scale.proxy] == "minimize"
            logarithms.append(np.log(1 - rank if least else rank))
    mean: Floats = np.mean(logarithms, axis=0)
    return mean


def by_proxy(scales: Iterable[Scale], standard: Mapping[str, Floats]) -> dict[str, Floats]:
    """Return for each proxy the mean of its standardised columns; none, no entry."""
    columns = {s.proxy: [standard[name] for name in s.names() if name in standard] for s in scales}
    return {proxy: np.mean(own, axis=0) for proxy, own in columns.items() if own}


def factors(scales: Iterable[Scale], standard: Mapping[str, Floats]) -> dict[str, Floats]:
    """Return what products are made of: `by_proxy`, and the features of the flow."""
    return by_proxy(scales, standard) | {n: standard[n] for n in FLOW_FEATURES if n in standard}


def products(pairs: Iterable[tuple[str, str]], single: Mapping[str, Floats]) -> dict[str, Floats]:
    """Return the product of each pair, as ``a * b``."""
    return {f"{a} * {b}": single[a] * single[b] for a, b in pairs}
