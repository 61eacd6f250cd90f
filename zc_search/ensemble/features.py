"""From a table of scores to standardised columns, by constants that a file can hold.

A proxy is put on a scale first: its own value or logarithm with outliers clipped, or its rank.
Every scale is a frozen record of the constants it was fitted with and plain arithmetic on them.
"""

from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import combinations_with_replacement
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field
from sklearn.base import BaseEstimator, TransformerMixin

from zc_search.ensemble.tables import Floats, finite, numbers, parse_feature_set, require
from zc_search.errors import EnsembleError
from zc_search.proxies.catalogue import Direction
from zc_search.spaces import SPACES, FunctionSpace, read_architecture
from zc_search.spaces.nasbench201.structure import FLOW_FEATURES

RECORD = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

FENCE = 3.0
"""Interquartile ranges beyond the quartiles at which a value is "far out" (Tukey 1977, EDA)."""

AGGREGATE = "aggregate"
ON_EDGE = "<-"
"""What the name of a column holds that tells whether an operation lies on an edge."""

DEFAULT_AGGREGATE: dict[str, Direction] = {
    "meco": "maximize",
    "flow depth": "maximize",
    "most 3x3": "maximize",
    "fewest convolutions": "minimize",
    "fewest pools": "minimize",
    "paths without convolution": "minimize",
    "stage pools": "minimize",
}
"""What to aggregate of cells of NAS-Bench-201: a proxy, and how signals flow.

Chosen for how it orders one half of the space's functions by their accuracy on CIFAR-10, by
exchange, each column worth .003 of Kendall's tau (``choose_aggregate.py`` of the repository). The
other half (`zc_search.ensemble.protocol.HALVES`) and other data sets had no say.
"""


def default_aggregate(proxies: Iterable[str]) -> dict[str, Direction]:
    """Return what there is of `DEFAULT_AGGREGATE` for cells with these proxies."""
    known = {*proxies, *FLOW_FEATURES}
    return {name: way for name, way in DEFAULT_AGGREGATE.items() if name in known}


class ValueScale(BaseModel):
    """A proxy's own value, or ``sign(v) · log((|v| + unit) / unit)`` where it spans decades.

    Outliers are clipped to ``low`` and ``high``.
    """

    model_config = RECORD

    kind: Literal["raw", "log"] = "raw"
    proxy: str
    low: float
    high: float
    unit: Annotated[float, Field(gt=0)] | None = None

    @classmethod
    def fit(cls, proxy: str, values: Floats) -> Self:
        """Take the bounds from finite training values, and the scale from their magnitudes.

        A logarithm where they differ tenfold from the 5% quantile, or from the median where both
        signs occur and some are small by chance, to the 95% quantile.
        """
        unit, known = None, values[values != 0]
        if known.size:
            both_signs = abs(np.sign(known).mean()) < 0.9
            small, large = np.quantile(np.abs(known), [0.5 if both_signs else 0.05, 0.95])
            unit = float(small) if large >= 10 * small else None
        values = values if unit is None else _signed_log(values, unit)
        lower, upper = np.quantile(values, [0.25, 0.75])
        if lower == upper:
            low, high = values.min(), values.max()
        else:
            low, high = lower - FENCE * (upper - lower), upper + FENCE * (upper - lower)
        kind: Literal["raw", "log"] = "raw" if unit is None else "log"
        return cls(kind=kind, proxy=proxy, low=float(low), high=float(high), unit=unit)

    def column(self, values: Floats) -> Floats:
        """Return the column; NaN stays NaN."""
        values = values if self.unit is None else _signed_log(values, self.unit)
        return np.clip(values, self.low, self.high)


class RankScale(BaseModel):
    """The share of training architectures below a value, interpolated between those seen.

    ``levels`` holds the mid-rank of each of the ``knots``, training values; both ascend.
    """

    model_config = RECORD
    KNOTS: ClassVar[int] = 101

    kind: Literal["rank"] = "rank"
    proxy: str
    knots: tuple[float, ...]
    levels: tuple[float, ...]

    @classmethod
    def fit(cls, proxy: str, values: Floats) -> Self:
        """Take the quantiles; tied values share their mean rank."""
        knots, counts = np.unique(values, return_counts=True)
        levels = (np.cumsum(counts) - counts / 2) / values.size
        if knots.size > cls.KNOTS:
            kept = np.linspace(0, knots.size - 1, cls.KNOTS).round().astype(int)
            knots, levels = knots[kept], levels[kept]
        return cls(proxy=proxy, knots=tuple(knots.tolist()), levels=tuple(levels.tolist()))

    def column(self, values: Floats) -> Floats:
        """Return the column; NaN stays NaN."""
        return np.interp(values, self.knots, self.levels)


Scale = ValueScale | RankScale


def _signed_log(values: Floats, unit: float) -> Floats:
    # A difference of logarithms: the quotient could overflow.
    logarithms: Floats = np.sign(values) * (np.log(np.abs(values) + unit) - np.log(unit))
    return logarithms


class Column(BaseModel):
    """A feature on the standard scale: ``(value - mean) / scale``, both of the training rows."""

    model_config = RECORD

    name: str
    mean: float
    scale: Annotated[float, Field(gt=0)]


class FeatureMap(BaseModel):
    """Everything that turns a table of scores into the columns of the model, in their order.

    An interaction is a product, named ``a * b``; ``aggregate`` is the mean of the logarithms of
    `ranks`.
    """

    model_config = RECORD

    proxies: tuple[Annotated[Scale, Field(discriminator="kind")], ...]
    structure: bool
    interactions: tuple[tuple[str, str], ...]
    columns: tuple[Column, ...]
    aggregate: tuple[tuple[str, Direction], ...] = ()
    ranks: tuple[RankScale, ...] = ()

    @property
    def names(self) -> list[str]:
        """Names of the columns, in the model's order."""
        return [column.name for column in self.columns]

    def matrix(self, table: pd.DataFrame) -> Floats:
        """Return the standardised columns: rows x columns, NaN where a proxy is not finite."""
        proxies = [scale.proxy for scale in self.proxies]
        require(table, [*proxies, *["architecture"] * self.structure])
        if table.empty:
            return np.empty((0, len(self.columns)))
        plain = [name for name in self.names if " * " not in name]
        ranked = {scale.proxy for scale in self.ranks}
        structure = not {*proxies, AGGREGATE}.issuperset({*plain, *ranked})
        raw = _proxy_columns(self.proxies, table)
        raw |= _structure_columns(self.proxies, table) if structure else {}
        if any(ON_EDGE in name and name not in raw for name in plain):
            raw |= _described_columns(table, operations_of)
        needed = [*(name for name, _ in self.aggregate), *plain]
        if missing := [name for name in needed if name not in {*raw, AGGREGATE}]:
            raise EnsembleError(
                f"the architectures are of another space than those fitted to: they have no "
                f"{', '.join(missing)}",
                given=missing[0],
            )
        if self.aggregate:
            raw[AGGREGATE] = _mean_log_rank(table, raw, self.ranks, dict(self.aggregate))
        standard: dict[str, Floats] = {}
        for column in self.columns:  # interactions come last, and need what stands before them
            if column.name not in raw:
                raw |= _products(self.interactions, standard)
            standard[column.name] = (raw[column.name] - column.mean) / column.scale
        matrix = np.column_stack([standard[name] for name in self.names])
        matrix[~finite(table, proxies)] = np.nan
        return matrix


_Fitted = tuple[Column, Floats]


class Features(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Fits a `FeatureMap` to training rows; a scikit-learn transformer of tables.

    Left out are `constant_` columns and `duplicates_`, each with the earlier one that it repeats.
    ``+aggregate`` is of `DEFAULT_AGGREGATE` where the structure is that of NAS-Bench-201, else of
    the proxies, those without a direction being maximised.
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
        self.proxies, self.feature_set, self.directions = proxies, feature_set, directions

    def fit(
        self, table: pd.DataFrame, y: object = None, population: pd.DataFrame | None = None
    ) -> Self:
        """Take every constant from the rows of `table`.

        The aggregate's ranks, which no accuracy enters, are among all rows of `population`, such as
        a whole space, which need not have accuracies.
        """
        chosen = parse_feature_set(self.feature_set)
        for proxy in self.proxies:
            if proxy in (*FLOW_FEATURES, AGGREGATE):
                raise EnsembleError(f"{proxy!r} is a feature's name, and no proxy can have it")
        scale = ValueScale if chosen.scale == "standard" else RankScale
        scales = tuple(scale.fit(proxy, numbers(table, proxy)) for proxy in self.proxies)
        self.constant_, self.duplicates_ = [], {}
        raw = _proxy_columns(scales, table)
        kept = self._kept({}, raw)
        scales = tuple(scale for scale in scales if scale.proxy in kept)
        raw = {scale.proxy: raw[scale.proxy] for scale in scales}
        described = _structure_columns(scales, table) if chosen.structure else {}
        kept = self._kept({} if chosen.scale == "structure" else kept, described)
        single = {name: z for name, (_, z) in kept.items()}
        ranked = self._to_aggregate(raw, described) if chosen.aggregate else {}
        ranks = _ranks_among(table if population is None else population, ranked, described)
        if ranked:
            together = _mean_log_rank(table, raw | described, ranks, ranked)
            kept = self._kept(kept, {AGGREGATE: together})
        if chosen.operations:
            kept = self._kept(kept, _described_columns(table, operations_of))
        if chosen.scale == "structure":
            scales = tuple(scale for scale in scales if scale.proxy in ranked)
        pairs = [
            (a, b)
            for a, b in combinations_with_replacement(single, 2)
            if chosen.interactions and (a != b or a not in self.proxies)
        ]
        kept = self._kept(kept, _products(pairs, single))
        if not kept:
            raise EnsembleError(
                f"every feature of {', '.join(self.proxies) or 'no proxy'} is constant over the "
                f"{len(table)} rows to fit"
            )
        self.map_ = FeatureMap(
            proxies=scales,
            structure=chosen.structure,
            interactions=tuple((a, b) for a, b in pairs if f"{a} * {b}" in kept),
            columns=tuple(column for column, _ in kept.values()),
            aggregate=tuple(ranked.items()) if AGGREGATE in kept else (),
            ranks=ranks if AGGREGATE in kept else (),
        )
        return self

    def transform(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the standardised columns, named, on the table's index."""
        return pd.DataFrame(self.map_.matrix(table), columns=self.map_.names, index=table.index)

    def _to_aggregate(
        self, proxies: Iterable[str], structure: Iterable[str]
    ) -> dict[str, Direction]:
        """Return what is aggregated, with directions."""
        chosen: dict[str, Direction] = dict.fromkeys(proxies, "maximize")
        if set(FLOW_FEATURES) <= set(structure):
            chosen = default_aggregate(proxies)
        less = {name for name, way in (self.directions or {}).items() if way == "minimize"}
        return {name: "minimize" if name in less else way for name, way in chosen.items()}

    def _kept(self, kept: dict[str, _Fitted], raw: Mapping[str, Floats]) -> dict[str, _Fitted]:
        """Standardise columns, and append those that say something new."""
        kept = dict(kept)
        for name, values in raw.items():
            size, mean = float(np.abs(values).max()), float(values.mean())
            # Scaled before squaring: a proxy of 1e200 has a standard deviation too.
            scale = size * float((values / size).std()) if size else 0.0
            if scale <= max(1e-12 * size, np.finfo(float).tiny):
                self.constant_.append(name)
                continue
            kept[name] = Column(name=name, mean=mean, scale=scale), (values - mean) / scale
        if kept:
            names, z = list(kept), np.stack([z for _, z in kept.values()])
            same = np.abs(z @ z.T) >= (1 - 1e-12) * z.shape[1]  # up to sign
            np.fill_diagonal(same, val=True)
            for name, first in zip(names, same.argmax(axis=1), strict=True):
                if name != names[first]:
                    self.duplicates_[name] = names[first]
                    del kept[name]
        return kept


def _proxy_columns(scales: Iterable[Scale], table: pd.DataFrame) -> dict[str, Floats]:
    """Return each proxy on its scale, not yet standardised."""
    return {scale.proxy: scale.column(numbers(table, scale.proxy)) for scale in scales}


def _structure_columns(scales: Iterable[Scale], table: pd.DataFrame) -> dict[str, Floats]:
    """Return what the architectures' space says of them, under other names than the proxies'."""
    described = _described_columns(table, structure_of)
    if again := {scale.proxy for scale in scales} & described.keys():
        raise EnsembleError(f"{min(again)!r} is a feature's name, and no proxy can have it")
    return described


def _described_columns(
    table: pd.DataFrame, describe: Callable[[str], Mapping[str, float]]
) -> dict[str, Floats]:
    require(table, ["architecture"])
    described = pd.DataFrame([*map(describe, table["architecture"])], dtype=float)
    return {str(name): values.to_numpy() for name, values in described.items()}


def _ranks_among(
    population: pd.DataFrame, names: Collection[str], structure: Container[str]
) -> tuple[RankScale, ...]:
    """Rank columns, some of them of `structure`, among the rows whose proxies are finite."""
    proxies = [name for name in names if name not in structure]
    rows = population[finite(population, proxies)]
    values = structure_values(rows, [name for name in names if name in structure])
    values |= {name: numbers(rows, name) for name in proxies}
    return tuple(RankScale.fit(name, values[name]) for name in names)


def structure_values(table: pd.DataFrame, names: Collection[str]) -> dict[str, Floats]:
    """Return features of structure by name, NaN where an architecture's space has none such."""
    found = [structure_of(text) for text in table["architecture"]] if names else []
    return {name: np.array([one.get(name, np.nan) for one in found], float) for name in names}


@lru_cache(maxsize=20_000)  # all of a cell space: a curve of many fits asks for each again
def structure_of(text: str) -> Mapping[str, float]:
    """Return what its space says of an architecture's structure."""
    return _described(text, "structure", "structure")


@lru_cache(maxsize=20_000)
def operations_of(text: str) -> Mapping[str, float]:
    """Return what its space says of where an architecture's operations lie."""
    return _described(text, "operations", "live_operations")


def _described(text: str, group: str, method: str) -> Mapping[str, float]:
    architecture = read_architecture(text)
    space = SPACES[architecture.space]
    found = None if space is FunctionSpace else getattr(space(), method)(architecture)
    if found is None:
        raise EnsembleError(
            f"{text!r} is of a space without features of {group}; Allowed: without +{group}"
        )
    described: Mapping[str, float] = found
    return described


def _mean_log_rank(
    table: pd.DataFrame,
    raw: Mapping[str, Floats],
    ranks: Iterable[RankScale],
    directions: Mapping[str, Direction],
) -> Floats:
    """Return the mean over columns of the logarithm of the rank, as a share of the ranked rows."""
    levels = dict(raw)  # where an older file has no ranks of proxies, these are ranks themselves
    for scale in ranks:
        own = numbers(table, scale.proxy) if scale.proxy in table else raw[scale.proxy]
        levels[scale.proxy] = scale.column(own)
    logs = [
        np.log(1 - levels[n] if way == "minimize" else levels[n]) for n, way in directions.items()
    ]
    return np.asarray(np.mean(logs, axis=0))


def _products(pairs: Iterable[tuple[str, str]], single: Mapping[str, Floats]) -> dict[str, Floats]:
    return {f"{a} * {b}": single[a] * single[b] for a, b in pairs}
