"""The feature map: from a table of scores to standardised columns, by constants one can read."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Annotated, NamedTuple, Self

import numpy as np
import pandas as pd
from pydantic import BaseModel, Field, model_validator
from sklearn.base import BaseEstimator, TransformerMixin

from zc_search.ensemble.cell import CELL_FEATURES, cell_features
from zc_search.ensemble.scales import FIT_SCALE, RECORD, Floats, Scale
from zc_search.ensemble.tables import finite, numbers, require
from zc_search.errors import EnsembleError, unknown_name

EXTRAS = ("cell", "interactions")


class FeatureSet(NamedTuple):
    """What the name of a feature set stands for.

    Attributes:
        scale: A key of `FIT_SCALE`: what every proxy is put on.
        cell: Whether structural features of the cell are added.
        interactions: Whether the product of each two proxies is added.
    """

    scale: str
    cell: bool
    interactions: bool


def parse_feature_set(name: str) -> FeatureSet:
    """Read a name such as ``standard``, ``spline+cell`` or ``rank+cell+interactions``.

    Raises:
        EnsembleError: The name is unknown.
    """
    scale, *extras = name.split("+")
    if scale not in FIT_SCALE or not set(extras) <= set(EXTRAS):
        raise EnsembleError(
            f"{unknown_name('feature set', name, FIT_SCALE)}; "
            f"each may be followed by {' and '.join(f'+{extra}' for extra in EXTRAS)}"
        )
    return FeatureSet(scale, "cell" in extras, "interactions" in extras)


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


class FeatureMap(BaseModel):
    """Everything that turns a table of scores into the columns of the linear model.

    Attributes:
        proxies: How each proxy's values become columns.
        cell: Whether structural features of the cell may be among the columns.
        interactions: Pairs of proxies; a pair's column is the product of the two proxies' means
            over their own standardised columns, and is named ``a * b``.
        columns: The columns kept, standardised, in the model's order.
    """

    model_config = RECORD

    proxies: tuple[Scale, ...]
    cell: bool
    interactions: tuple[tuple[str, str], ...]
    columns: tuple[Column, ...]

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
        raw = _columns(self.proxies, table, cell=self.cell)
        standard: dict[str, Floats] = {}
        for column in self.columns:  # interactions come last, and need what stands before them
            if column.name not in raw:
                raw |= _products(self.interactions, _main(self.proxies, standard))
            standard[column.name] = (raw[column.name] - column.mean) / column.scale
        matrix = np.column_stack([standard[name] for name in self.names])
        matrix[~finite(table, [scale.proxy for scale in self.proxies])] = np.nan
        return matrix

    def by_proxy(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return one column a proxy, the mean of its standardised columns, on the table's index."""
        standard = dict(zip(self.names, self.matrix(table).T, strict=True))
        return pd.DataFrame(_main(self.proxies, standard), index=table.index)

    @model_validator(mode="after")
    def _computable(self) -> Self:
        pairs = [f"{a} * {b}" for a, b in self.interactions]
        plain = self.names[: len(self.names) - len(pairs)]
        known = {name for scale in self.proxies for name in scale.names()}
        known |= set(CELL_FEATURES) if self.cell else set()
        main = {s.proxy for s in self.proxies if not set(s.names()).isdisjoint(plain)}
        if not self.columns or len(set(self.names)) < len(self.columns):
            raise ValueError("the columns are empty, or one is named twice")
        if not known.issuperset(plain) or self.names[len(plain) :] != pairs:
            raise ValueError("the columns do not match the proxies, cell and interactions")
        if not main.issuperset(proxy for pair in self.interactions for proxy in pair):
            raise ValueError("an interaction names a proxy that has no column")
        return self


class Features(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Fits a `FeatureMap` to training rows; a scikit-learn transformer of tables.

    Args:
        proxies: Columns to use.
        feature_set: See `parse_feature_set`.

    Attributes:
        map_: The fitted `FeatureMap`.
        constant_: Columns left out because they are constant over the training rows.
        duplicates_: Columns left out, each with the earlier column that it repeats.
    """

    map_: FeatureMap
    constant_: list[str]
    duplicates_: dict[str, str]

    def __init__(self, proxies: Sequence[str], feature_set: str = "standard") -> None:
        self.proxies = proxies
        self.feature_set = feature_set

    def fit(self, table: pd.DataFrame, y: object = None) -> Self:
        """Take every constant from the rows of `table`.

        Raises:
            EnsembleError: The feature set is unknown, a column is missing, or all are constant.
        """
        chosen = parse_feature_set(self.feature_set)
        fit_scale = FIT_SCALE[chosen.scale]
        scales = tuple(fit_scale(proxy, numbers(table, proxy)) for proxy in self.proxies)
        self.constant_, self.duplicates_ = [], {}
        columns: list[Column] = []
        standard: dict[str, Floats] = {}
        self._keep(_columns(scales, table, cell=chosen.cell), columns, standard)
        if chosen.interactions:
            main = _main(scales, standard)
            self._keep(_products(combinations(main, 2), main), columns, standard)
        if not columns:
            raise EnsembleError(
                f"every feature of {', '.join(self.proxies) or 'no proxy'} is constant over the "
                f"{len(table)} rows to fit"
            )
        self.map_ = FeatureMap(
            proxies=tuple(s for s in scales if not standard.keys().isdisjoint(s.names())),
            cell=chosen.cell,
            interactions=tuple(
                (a, b) for a, b in combinations(self.proxies, 2) if f"{a} * {b}" in standard
            ),
            columns=tuple(columns),
        )
        return self

    def transform(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the standardised columns, named, on the table's index."""
        return pd.DataFrame(self.map_.matrix(table), columns=self.map_.names, index=table.index)

    def _keep(
        self, raw: Mapping[str, Floats], columns: list[Column], standard: dict[str, Floats]
    ) -> None:
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
            twin = next((other for other, kept in standard.items() if _equal(z, kept)), None)
            if twin is not None:
                self.duplicates_[name] = twin
                continue
            columns.append(Column(name=name, mean=mean, scale=scale))
            standard[name] = z


def _equal(first: Floats, second: Floats) -> bool:
    """Return whether two standardised columns are the same up to sign."""
    return bool(abs(first @ second) >= (1 - 1e-12) * first.size)


def _columns(scales: Sequence[Scale], table: pd.DataFrame, *, cell: bool) -> dict[str, Floats]:
    columns: dict[str, Floats] = {}
    for scale in scales:
        values = numbers(table, scale.proxy)
        columns |= zip(scale.names(), scale.columns(values), strict=True)
    if cell:
        structure = cell_features(table["architecture"])
        columns |= {name: structure[name].to_numpy() for name in CELL_FEATURES}
    return columns


def _main(scales: Iterable[Scale], standard: Mapping[str, Floats]) -> dict[str, Floats]:
    """Return for each proxy the mean of its standardised columns; none, no entry."""
    columns = {s.proxy: [standard[name] for name in s.names() if name in standard] for s in scales}
    return {proxy: np.mean(own, axis=0) for proxy, own in columns.items() if own}


def _products(pairs: Iterable[tuple[str, str]], main: Mapping[str, Floats]) -> dict[str, Floats]:
    return {f"{a} * {b}": main[a] * main[b] for a, b in pairs}
