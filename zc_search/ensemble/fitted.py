"""A fitted ensemble: what it predicts, how sure it is, and how well it did on unseen rows."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
import pandas as pd
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    InstanceOf,
    JsonValue,
    ValidationError,
    model_validator,
)
from scipy.stats import norm

from zc_search.ensemble import documents
from zc_search.ensemble.features import FeatureMap
from zc_search.ensemble.predictor import ImportedRegressor, LinearPredictor
from zc_search.ensemble.quality import HeldOut, quality_table
from zc_search.ensemble.scales import RECORD, Floats
from zc_search.ensemble.tables import Bounds, FitOn, clipped
from zc_search.errors import EnsembleError
from zc_search.spaces import EDGES, OPERATIONS

SCHEMA_VERSION = 2

_Index = Annotated[int, Field(ge=0, lt=len(OPERATIONS) ** len(EDGES))]


class SingleProxy(BaseModel):
    """The proxy whose order agreed best with the accuracies fitted to.

    Attributes:
        proxy: Its name.
        sign: 1 where more of it meant more accuracy, else -1.
    """

    model_config = RECORD

    proxy: str
    sign: float


class Ensemble(BaseModel):
    """Proxies turned into one predicted accuracy; made by `fit_ensemble` or `Ensemble.load`.

    Attributes:
        model: Name of the model; see `make_model`.
        feature_set: Name of the feature set; see `parse_feature_set`.
        target: Column of the accuracies, in percent.
        fit_on: Whether the rows are a Pareto front or all.
        rows: Distinct architectures that it was fitted to.
        features: From a table of scores to standardised columns.
        predictor: From standardised columns to percent accuracy.
        residuals: Quantiles, from 0 to 1 in equal steps, of true minus predicted accuracy in
            percent, on held-out rows where `residuals_held_out`.
        residuals_held_out: False where there were too few rows to hold any out.
        held_out: What `quality` shows.
        unseen: As `held_out`, for `unseen_quality`.
        bounds: What predictions are clipped to, in percent; None where accuracies are no percent.
        best_proxy: The best single proxy of the rows fitted to; None in files of version 1.
        fitted_to: `Architecture.index` of the rows fitted to; None where it is not known.
        notes: A sentence for each thing a user should know before trusting it.
        metadata: What the caller knows of the accuracies and proxies: data set, split, seeds,
            ``definitions`` (a fingerprint for each proxy).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    model: str
    feature_set: str
    target: str
    fit_on: FitOn
    rows: int
    notes: list[str]
    metadata: dict[str, JsonValue]
    features: FeatureMap
    predictor: LinearPredictor | InstanceOf[ImportedRegressor]
    residuals: Annotated[tuple[float, ...], Field(min_length=2)]
    residuals_held_out: bool
    held_out: tuple[HeldOut, ...]
    unseen: tuple[HeldOut, ...] = ()
    bounds: Bounds | None = None
    best_proxy: SingleProxy | None = None
    fitted_to: tuple[_Index, ...] | None = None

    @property
    def proxies(self) -> tuple[str, ...]:
        """Columns that a table must have for `predict`."""
        return tuple(scale.proxy for scale in self.features.proxies)

    @property
    def unit(self) -> str:
        """What `weights` and `intercept` are measured in."""
        link = self.predictor.link if isinstance(self.predictor, LinearPredictor) else None
        scale = link.unit if link is not None else "percent accuracy"
        return f"{scale}, for a standard deviation of the feature"

    @property
    def intercept(self) -> float:
        """Score of an architecture with every feature at its training mean.

        Raises:
            EnsembleError: The model is an imported regressor.
        """
        return self._linear("intercept").intercept

    @property
    def weights(self) -> pd.DataFrame:
        """Columns ``feature, weight, standard_error, low, high``, the interval covering 90%.

        The features are standardised, so that weights compare; see `Weight` and `unit`. For an
        imported regressor ``feature, importance, standard_deviation``: what shuffling the feature
        costs on held-out rows, in Kendall's tau.
        """
        if isinstance(self.predictor, ImportedRegressor):
            names = ["feature", "importance", "standard_deviation"]
            return pd.DataFrame(list(self.predictor.importances), columns=names)
        return pd.DataFrame([weight.model_dump() for weight in self.predictor.weights])

    @property
    def quality(self) -> pd.DataFrame:
        """Cross-validated figures, one row a predictor, the ensemble's first; see `HeldOut`.

        Empty where there were too few rows to hold any out; nothing here is in-sample.
        """
        return quality_table(self.held_out)

    @property
    def unseen_quality(self) -> pd.DataFrame:
        """As `quality`, but judged on architectures that took no part in the fit.

        Empty where the fit was given none.
        """
        return quality_table(self.unseen)

    def predict(self, table: pd.DataFrame) -> pd.Series:
        """Predict the accuracy of each row, in percent.

        A prediction is a row's own: it does not depend on the other rows of the table.

        Returns:
            On the table's index, within `bounds`; NaN where a proxy is not finite.

        Raises:
            EnsembleError: A column is missing or holds no numbers.
        """
        predicted = clipped(self.score(table).to_numpy(), self.bounds)
        return pd.Series(predicted, index=table.index, name=f"predicted_{self.target}")

    def score(self, table: pd.DataFrame) -> pd.Series:
        """Return what `predict` clips to `bounds`: rows keep their order beyond them.

        Raises:
            EnsembleError: As for `predict`.
        """
        return pd.Series(
            self._predict(self.features.matrix(table)), index=table.index, name="score"
        )

    def predict_interval(self, table: pd.DataFrame, level: float = 0.9) -> pd.DataFrame:
        """Predict the accuracy of each row with an interval for its true accuracy, in percent.

        The interval covers two things, added as squares on either side: how far true accuracies
        lay from predictions of held-out rows (their quantiles, so that the two sides may differ),
        and by how much a row's prediction is more uncertain, by the weights' covariance, than
        those of the rows fitted to are on average. It holds on average over architectures like
        those fitted to, not for every kind of architecture alone; it does not cover a choice of
        training rows that are unlike the table, such as a Pareto front, the fitted constants of
        the features, or the seed noise of a single accuracy. For an imported regressor the second
        part is left out.

        Args:
            table: See `predict`.
            level: Share of architectures whose accuracy the interval is to hold, within (0, 1).

        Returns:
            ``prediction, low, high`` on the table's index, within `bounds`; NaN where a proxy is
            not finite.

        Raises:
            EnsembleError: A level outside (0, 1), or as for `predict`.
        """
        if not 0 < level < 1:
            raise EnsembleError(f"level {level!r} is not between 0 and 1, both excluded")
        matrix = self.features.matrix(table)
        predicted = self._predict(matrix)
        steps = np.linspace(0, 1, len(self.residuals))
        low, high = np.interp([(1 - level) / 2, (1 + level) / 2], steps, self.residuals)
        down: Floats | float = 0.0
        up: Floats | float = 0.0
        if isinstance(self.predictor, LinearPredictor):
            down, up = self.predictor.spread(matrix, float(norm.ppf((1 + level) / 2)))
        return pd.DataFrame(
            {
                "prediction": clipped(predicted, self.bounds),
                "low": clipped(predicted - np.hypot(down, max(-low, 0.0)), self.bounds),
                "high": clipped(predicted + np.hypot(up, max(high, 0.0)), self.bounds),
            },
            index=table.index,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return every constant as plain values, with a schema version and a checksum.

        Raises:
            EnsembleError: The model is an imported regressor.
        """
        self._linear("constants that a file could hold; use a model by name, such as 'ridge'")
        return documents.seal(self.model_dump(exclude_none=True), SCHEMA_VERSION)

    @classmethod
    def from_dict(cls, document: Mapping[str, Any], *, source: str = "the document") -> Self:
        """Return the ensemble that `to_dict` described.

        Args:
            document: What `to_dict` returned.
            source: What to call it in an error.

        Raises:
            EnsembleError: It is no ensemble, of a later version, changed, or inconsistent.
        """
        try:
            return cls.model_validate(documents.unseal(document, SCHEMA_VERSION, source))
        except ValidationError as error:
            raise documents.explain(error, source) from None

    def save(self, path: str | Path) -> None:
        """Write TOML or JSON, by suffix; floats keep every bit, an older file is replaced at once.

        Raises:
            EnsembleError: An imported regressor, another suffix, or a folder that is not writable.
        """
        documents.write(self.to_dict(), path)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote; its predictions are the same to the last bit.

        Raises:
            EnsembleError: The file cannot be read, or as for `from_dict`.
        """
        return cls.from_dict(documents.read(path), source=str(path))

    def _predict(self, matrix: Floats) -> Floats:
        if isinstance(self.predictor, LinearPredictor):
            return self.predictor.predict(matrix)
        predicted = np.full(len(matrix), np.nan)
        usable = np.isfinite(matrix).all(axis=1)
        if usable.any():
            columns = pd.DataFrame(matrix[usable], columns=self.features.names)
            predicted[usable] = self.predictor.predict(columns)
        return predicted

    def _linear(self, what: str) -> LinearPredictor:
        if isinstance(self.predictor, ImportedRegressor):
            raise EnsembleError(f"model {self.model!r} is an imported regressor: it has no {what}")
        return self.predictor

    @model_validator(mode="after")
    def _matching(self) -> Self:
        if isinstance(self.predictor, LinearPredictor):
            weighted = [weight.feature for weight in self.predictor.weights]
            if weighted != self.features.names:
                raise ValueError(f"weights for {weighted} but columns {self.features.names}")
        if np.any(np.diff(self.residuals) < 0):
            raise ValueError("the residual quantiles must ascend")
        if self.bounds is not None and self.bounds[0] >= self.bounds[1]:
            raise ValueError(f"bounds {self.bounds} do not ascend")
        return self
