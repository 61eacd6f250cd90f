"""The feature map: from a table of scores to standardised columns, by constants one can read."""

from collections.abc import Mapping, Sequence
from itertools import combinations_with_replacement
from typing import NamedTuple, Self

import numpy as np
import pandas as pd
from pydantic import BaseModel, model_validator
from sklearn.base import BaseEstimator, TransformerMixin

from zc_search.ensemble.columns import (
    Column,
    KeptColumns,
    by_proxy,
    factors,
    mean_log_rank,
    plain_columns,
    products,
)
from zc_search.ensemble.scales import FIT_SCALE, RECORD, Floats, RankScale, Scale, SplineScale
from zc_search.ensemble.tables import finite, numbers, require
from zc_search.errors import EnsembleError, unknown_name
from zc_search.proxies.catalogue import Direction
from zc_search.spaces.nasbench201.structure import CELL_FEATURES, FLOW_FEATURES

EXTRAS = ("cell", "interactions", "flow", "aggregate")
RANK_SCALES = ("rank", "spline")
AGGREGATE = "aggregate"

STRUCTURE = frozenset({*CELL_FEATURES, *FLOW_FEATURES})
"""Columns that are computed from the architecture string."""


class FeatureSet(NamedTuple):
    """What the name of a feature set stands for.

    Attributes:
        scale: A key of `FIT_SCALE`: what every proxy is put on.
        cell: Whether counts of the cell's operations and paths are added; see `cell_features`.
        interactions: Whether products are added: of each two proxies and, with `flow`, of each
            two among proxies and features of the flow, with the squares of the latter.
        flow: Whether what a cell's output is made of is added; see `flow_features`.
        aggregate: Whether the mean of the proxies' log ranks is added; `scale` must be of ranks.
    """

    scale: str
    cell: bool = False
    interactions: bool = False
    flow: bool = False
    aggregate: bool = False

    @property
    def structure(self) -> tuple[str, ...]:
        """Structural features that are added, in the columns' order."""
        return CELL_FEATURES * self.cell + FLOW_FEATURES * self.flow


def parse_feature_set(name: str) -> FeatureSet:
    """Read a name such as ``standard``, ``spline+cell`` or ``rank+flow+interactions``.

    Raises:
        EnsembleError: The name is unknown.
    """
    scale, *extras = name.split("+")
    if scale not in FIT_SCALE or not set(extras) <= set(EXTRAS):
        raise EnsembleError(
            f"{unknown_name('feature set', name, FIT_SCALE)}; "
            f"each may be followed by {' and '.join(f'+{extra}' for extra in EXTRAS)}"
        )
    if "aggregate" in extras and scale not in RANK_SCALES:
        raise EnsembleError(
            f"feature set {name!r}: +aggregate takes ranks; allowed are "
            f"{' and '.join(f'{ranks}+aggregate' for ranks in RANK_SCALES)}"
        )
    return FeatureSet(scale, **dict.fromkeys(extras, True))


class FeatureMap(BaseModel):
    """Everything that turns a table of scores into the columns of the linear model.

    Attributes:
        proxies: How each proxy's values become columns.
        cell: Whether structural features of the cell may be among the columns.
        interactions: Pairs of proxies or features of the flow; a pair's column is their product,
            and is named ``a * b``. A proxy stands there for the mean of its standardised columns.
        aggregate: Proxies whose log ranks have their mean in the column ``aggregate``, each with
            ``maximize`` or ``minimize``; see `aggregate`. Empty where there is no such column.
        columns: The columns kept, standardised, in the model's order.
    """

    model_config = RECORD

    proxies: tuple[Scale, ...]
    cell: bool
    interactions: tuple[tuple[str, str], ...]
    columns: tuple[Column, ...]
    aggregate: tuple[tuple[str, Direction], ...] = ()

    @property
    def names(self) -> list[str]:
        """Names of the columns, in the model's order."""
        return [column.name for column in self.columns]

    def check(self, table: pd.DataFrame) -> None:
        """Check that the table has what the columns are computed from.

        Raises:
            EnsembleError: A column is missing; the message names the nearest one.
        """
        require(table, [scale.proxy for scale in self.proxies])
        if self.cell:
            require(table, ["architecture"])

    def matrix(self, table: pd.DataFrame) -> Floats:
        """Return the standardised columns: rows x columns, NaN where a proxy is not finite.

        Raises:
            EnsembleError: A column is missing or holds no numbers.
            ArchitectureError: A text that is no architecture string.
        """
        self.check(table)
        raw = plain_columns(self.proxies, table, self.names)
        if self.aggregate:
            raw[AGGREGATE] = mean_log_rank(self.proxies, table, dict(self.aggregate))
        standard: dict[str, Floats] = {}
        for column in self.columns:  # interactions come last, and need what stands before them
            if column.name not in raw:
                raw |= products(self.interactions, factors(self.proxies, standard))
            standard[column.name] = (raw[column.name] - column.mean) / column.scale
        matrix = np.column_stack([standard[name] for name in self.names])
        matrix[~finite(table, [scale.proxy for scale in self.proxies])] = np.nan
        return matrix

    def by_proxy(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return one column a proxy, the mean of its standardised columns, on the table's index."""
        standard = dict(zip(self.names, self.matrix(table).T, strict=True))
        return pd.DataFrame(by_proxy(self.proxies, standard), index=table.index)

    @model_validator(mode="after")
    def _computable(self) -> Self:
        pairs = [f"{a} * {b}" for a, b in self.interactions]
        plain = self.names[: len(self.names) - len(pairs)]
        known = {name for scale in self.proxies for name in scale.names()}
        known |= STRUCTURE if self.cell else set()
        known |= {AGGREGATE} if self.aggregate else set()
        ranked = {s.proxy for s in self.proxies if isinstance(s, RankScale | SplineScale)}
        single = {s.proxy for s in self.proxies if not set(s.names()).isdisjoint(plain)}
        single |= set(plain).intersection(FLOW_FEATURES)
        if not self.columns or len(set(self.names)) < len(self.columns):
            raise ValueError("the columns are empty, or one is named twice")
        if not known.issuperset(plain) or self.names[len(plain) :] != pairs:
            raise ValueError("the columns do not match the proxies, cell and interactions")
        if not single.issuperset(factor for pair in self.interactions for factor in pair):
            raise ValueError("an interaction names a proxy or feature that has no column")
        if not ranked.issuperset(proxy for proxy, _ in self.aggregate):
            raise ValueError("the aggregate names a proxy that has no ranks")
        return self


class Features(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Fits a `FeatureMap` to training rows; a scikit-learn transformer of tables.

    Args:
        proxies: Columns to use.
        feature_set: See `parse_feature_set`.
        directions: For ``+aggregate``; see there. A proxy without one is maximised.

    Attributes:
        map_: The fitted `FeatureMap`.
        constant_: Columns left out because they are constant over the training rows.
        duplicates_: Columns left out, each with the earlier column that it repeats.
    """

    map_: FeatureMap
    constant_: list[str]
    duplicates_: dict[str, str]

    def __init__(
        self,
        proxies: Sequence[str],
        feature_set: str = "standard",
        directions: Mapping[str, str] | None = None,
    ) -> None:
        self.proxies = proxies
        self.feature_set = feature_set
        self.directions = directions

    def fit(self, table: pd.DataFrame, y: object = None) -> Self:
        """Take every constant from the rows of `table`.

        Raises:
            EnsembleError: The feature set is unknown, a proxy has a feature's name, a column is
                missing, or all are constant.
        """
        chosen = parse_feature_set(self.feature_set)
        for proxy in self.proxies:
            if proxy in STRUCTURE or proxy == AGGREGATE:
                raise EnsembleError(f"{proxy!r} is a feature's name, and no proxy can have it")
        fit_scale = FIT_SCALE[chosen.scale]
        scales = tuple(fit_scale(proxy, numbers(table, proxy)) for proxy in self.proxies)
        self.constant_, self.duplicates_ = [], {}
        kept = KeptColumns(len(table))
        self._keep(plain_columns(scales, table, chosen.structure), kept)
        scales = tuple(s for s in scales if not kept.standard.keys().isdisjoint(s.names()))
        ranked: dict[str, Direction] = {}
        if chosen.aggregate:
            directions = self.directions or {}
            ranked = {
                s.proxy: "minimize" if directions.get(s.proxy) == "minimize" else "maximize"
                for s in scales
            }
            if ranked:
                self._keep({AGGREGATE: mean_log_rank(scales, table, ranked)}, kept)
        pairs: list[tuple[str, str]] = []
        if chosen.interactions:
            single = factors(scales, kept.standard)
            pairs = [
                (a, b)
                for a, b in combinations_with_replacement(single, 2)
                if a != b or a in FLOW_FEATURES
            ]
            self._keep(products(pairs, single), kept)
        if not kept.columns:
            raise EnsembleError(
                f"every feature of {', '.join(self.proxies) or 'no proxy'} is constant over the "
                f"{len(table)} rows to fit"
            )
        self.map_ = FeatureMap(
            proxies=scales,
            cell=bool(chosen.structure),
            interactions=tuple((a, b) for a, b in pairs if f"{a} * {b}" in kept.standard),
            columns=tuple(kept.columns),
            aggregate=tuple(ranked.items()) if AGGREGATE in kept.standard else (),
        )
        return self

    def transform(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the standardised columns, named, on the table's index."""
        return pd.DataFrame(self.map_.matrix(table), columns=self.map_.names, index=table.index)

    def _keep(self, raw: Mapping[str, Floats], kept: KeptColumns) -> None:
        """Standardise columns, and append those that say something new."""
        for name, values in raw.items():
            size = float(np.abs(values).max())
            mean = float(values.mean())
            # Scaled before squaring: a proxy of 1e200 has a standard deviation too.
            scale = size * float((values / size).std()) if size else 0.0
            if scale <= max(1e-12 * size, np.finfo(float).tiny):
                self.constant_.append(name)
                continue
            z = (values - mean) / scale
            twin = kept.twin(z)
            if twin is not None:
                self.duplicates_[name] = twin
                continue
            kept.add(Column(name=name, mean=mean, scale=scale), z)
