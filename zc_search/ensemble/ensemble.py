"""A fitted ensemble: what it predicts, how sure it is, how well it did on unseen rows, its file."""

import hashlib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import tomlkit
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    InstanceOf,
    JsonValue,
    ValidationError,
)
from scipy.stats import norm

from zc_search._utils.files import write_atomically, writing
from zc_search.ensemble.features import FeatureMap
from zc_search.ensemble.models import FittedRegressor, LinearPredictor
from zc_search.ensemble.tables import (
    Bounds,
    EnsembleSpec,
    FitOn,
    check_model,
    clipped,
    feasible_architectures,
    function_keys,
    parse_feature_set,
)
from zc_search.ensemble.validation import HeldOut, SingleProxy, quality_table, ranks
from zc_search.errors import EnsembleError
from zc_search.spaces import EDGES, OPERATIONS, Architecture

SCHEMA_VERSION = 3
SUFFIXES = (".toml", ".json")
_KIND = "zc-search ensemble"
_IN_NO_FILE = {"cross_validated": None}

_Index = Annotated[int, Field(ge=0, lt=len(OPERATIONS) ** len(EDGES))]


class Ensemble(BaseModel):
    """Proxies turned into one predicted accuracy; made by `fit_ensemble` or `Ensemble.load`.

    Attributes:
        model: See `EnsembleSpec`; ``feature_set`` and ``target`` likewise.
        fit_on: Whether the ``rows`` distinct architectures fitted to are a Pareto front or all.
        features: From a table of scores to standardised columns.
        predictor: From standardised columns to percent accuracy.
        residuals: Quantiles, from 0 to 1 in equal steps, of true minus predicted accuracy in
            percent; of held-out rows where there were enough (`residuals_held_out`).
        held_out: What `quality` shows, and ``unseen`` what `unseen_quality` does.
        bounds: What predictions are clipped to, in percent; None where accuracies are no percent.
        best_proxy: The best single proxy of the rows fitted to.
        fitted_to: `Architecture.index` of the rows fitted to, or function keys where they are no
            cells of NAS-Bench-201.
        spec: What was asked for.
        cross_validated: By function key the prediction, in percent, of a fit that had not seen
            it; in no file, and None where there were too few rows. See `held_out_predictions`.
        notes: A sentence for each thing a user should know before trusting it.
        metadata: Data set, split and seeds of the accuracies, ``definitions`` of the proxies.
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
    predictor: LinearPredictor | InstanceOf[FittedRegressor]
    residuals: Annotated[tuple[float, ...], Field(min_length=2)]
    residuals_held_out: bool
    held_out: tuple[HeldOut, ...]
    unseen: tuple[HeldOut, ...] = ()
    bounds: Bounds | None = None
    best_proxy: SingleProxy
    fitted_to: tuple[_Index, ...] | tuple[str, ...]
    spec: EnsembleSpec
    cross_validated: dict[str, float] | None = Field(default=None, exclude=True, repr=False)

    def __repr__(self) -> str:
        of = f"{self.feature_set} of {', '.join(self.proxies)}"
        return f"<Ensemble: {self.model} on {of}, fitted to {self.rows} architectures>"

    __str__ = __repr__

    @property
    def proxies(self) -> tuple[str, ...]:
        """Columns that a table must have for `predict`."""
        return tuple(scale.proxy for scale in self.features.proxies)

    @property
    def unit(self) -> str:
        """What `weights` and `intercept` are measured in."""
        link = getattr(self.predictor, "link", None)
        scale = link.unit if link is not None else "percent accuracy"
        return f"{scale}, for a standard deviation of the feature"

    @property
    def intercept(self) -> float:
        """Score of an architecture with every feature at its training mean."""
        return self._linear("intercept").intercept

    @property
    def weights(self) -> pd.DataFrame:
        """Columns ``feature, weight, standard_error, low, high``, the interval covering 90%.

        See `Weight` and `unit`. For a regressor without weights ``feature, importance,
        standard_deviation``: what shuffling it costs on held-out rows, in Kendall's tau.
        """
        if isinstance(self.predictor, FittedRegressor):
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
        """As `quality`, on architectures that took no part in the fit; empty where none were."""
        return quality_table(self.unseen)

    def predict(self, table: pd.DataFrame) -> pd.Series:
        """Predict the accuracy of each row by itself, in percent, on the table's index.

        Within `bounds`; NaN where a proxy is not finite.
        """
        predicted = clipped(self.score(table).to_numpy(), self.bounds)
        return pd.Series(predicted, index=table.index, name=f"predicted_{self.target}")

    def score(self, table: pd.DataFrame) -> pd.Series:
        """Return what `predict` clips to `bounds`: rows keep their order beyond them."""
        scores = self.predictor.predict(self.features.matrix(table))
        return pd.Series(scores, index=table.index, name="score")

    def predict_interval(self, table: pd.DataFrame, level: float = 0.9) -> pd.DataFrame:
        """Predict the accuracy of each row with an interval for its true accuracy, in percent.

        ``prediction, low, high``, as of `predict`; `level`, within (0, 1), is the share of
        architectures whose accuracy the interval is to hold. Two things are added as squares on
        either side: the quantiles of held-out residuals, and by how much a row is more uncertain,
        by the weights' covariance, than those fitted to on average. It holds on average over
        architectures like those fitted to, and does not cover training rows unlike the table, such
        as a Pareto front, the fitted constants of the features, or the noise of training seeds.
        Where nothing could be held out, there is none: ``low`` and ``high`` are NaN.
        """
        low, high = self.residual_interval(level)
        if not self.residuals_held_out:
            low = high = np.nan
        matrix = self.features.matrix(table)
        predicted = self.predictor.predict(matrix)
        down = up = np.zeros(len(table))
        if isinstance(self.predictor, LinearPredictor):
            down, up = self.predictor.spread(matrix, float(norm.ppf((1 + level) / 2)))
        return pd.DataFrame(
            {
                "prediction": clipped(predicted, self.bounds),
                "low": clipped(predicted - np.hypot(down, np.maximum(-low, 0.0)), self.bounds),
                "high": clipped(predicted + np.hypot(up, np.maximum(high, 0.0)), self.bounds),
            },
            index=table.index,
        )

    def residual_interval(self, level: float) -> tuple[float, float]:
        """Return between what the middle `level` of `residuals` lie, in percent accuracy."""
        if not 0 < level < 1:
            raise EnsembleError(f"level {level!r} is not between 0 and 1, both excluded")
        steps = np.linspace(0, 1, len(self.residuals))
        low, high = np.interp([(1 - level) / 2, (1 + level) / 2], steps, self.residuals)
        return float(low), float(high)

    def in_sample(self, table: pd.DataFrame) -> npt.NDArray[np.bool_]:
        """Return which rows are, or compute the function of, an architecture fitted to."""
        cells = [Architecture.from_index(key) for key in self.fitted_to if isinstance(key, int)]
        functions = [cell.function_key for cell in cells] or [*map(str, self.fitted_to)]
        known: npt.NDArray[np.bool_] = np.isin(function_keys(table), functions)
        if "architecture" in table:
            known |= table["architecture"].isin([str(cell) for cell in cells]).to_numpy(dtype=bool)
        return known

    def to_dict(self) -> dict[str, Any]:
        """Return every constant as plain values, with schema version and checksum, if it can."""
        self._linear("constants that a file could hold; use a model such as 'ridge' or 'gap'")
        # Through JSON once, so that tuples are lists on both sides of the checksum.
        plain = json.loads(json.dumps(self.model_dump(exclude_none=True), allow_nan=False))
        head = {"kind": _KIND, "schema_version": SCHEMA_VERSION}
        return {**head, "checksum": _checksum({**head, **plain}), **plain}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any], *, source: str = "the document") -> Self:
        """Return the ensemble that `to_dict` described; errors call the document `source`.

        Raises:
            EnsembleError: It is no ensemble, of another version, changed, inconsistent, or of a
                model or feature set that is retired.
        """
        content = _unsealed(document, source)
        try:
            if ":" not in (model := str(content.get("model", ":"))):
                check_model(model)
            parse_feature_set(str(content.get("feature_set", "rank")))
        except EnsembleError as error:
            raise error.at(source) from None
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(str(part) for part in first["loc"]) or "the whole"
            message = f"{source} is no consistent ensemble: {place}: {first['msg']}"
            raise EnsembleError(message, key=place) from None

    def save(self, path: str | Path) -> None:
        """Write TOML or JSON, by suffix; floats keep every bit, an older file is replaced at once.

        Not a model without weights, which no text can hold.
        """
        path, document = Path(path), self.to_dict()
        toml = check_suffix(path) == ".toml"
        text = tomlkit.dumps(document) if toml else json.dumps(document, indent=2) + "\n"
        with writing(str(path), EnsembleError):
            write_atomically(path, text)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote; its predictions are the same to the last bit."""
        path = Path(path)
        suffix = check_suffix(path)
        # Not tomlkit: no comment is kept here, and it needs seconds for a large covariance.
        loads = tomllib.loads if suffix == ".toml" else json.loads
        try:
            document = loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise EnsembleError(f"cannot read the ensemble {path}: {error}") from error
        except ValueError as error:
            raise EnsembleError(f"{path} is no valid {suffix[1:].upper()} file: {error}") from error
        if not isinstance(document, dict):
            raise EnsembleError(f"{path} is no ensemble: it holds no table of keys")
        return cls.from_dict(document, source=str(path))

    def __eq__(self, other: object) -> bool:
        """Whether all that a file holds is the same."""
        return isinstance(other, Ensemble) and dict(self) | _IN_NO_FILE == dict(other) | _IN_NO_FILE

    __hash__ = None  # type: ignore[assignment]

    def _linear(self, what: str) -> LinearPredictor:
        if isinstance(self.predictor, FittedRegressor):
            raise EnsembleError(f"model {self.model!r} has no weights, and so no {what}")
        return self.predictor


def check_suffix(path: Path) -> str:
    """Return a path's suffix, which says how an ensemble is written: one of `SUFFIXES`."""
    if path.suffix not in SUFFIXES:
        raise EnsembleError.unknown("suffix", path.suffix, SUFFIXES, key=str(path))
    return path.suffix


def _unsealed(document: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Return the content of a document whose kind, version and checksum are right."""
    if (kind := document.get("kind")) != _KIND:
        raise EnsembleError(f"{source} is no ensemble: its kind is {kind!r}, not {_KIND!r}")
    if (found := document.get("schema_version")) != SCHEMA_VERSION:
        hint = "zc-search ensemble fit makes one anew"
        message = f"{source} has schema_version {found!r}; this zc-search reads {SCHEMA_VERSION}"
        raise EnsembleError(f"{message}: {hint}", given=found, hint=hint)
    content = dict(document)
    if content.pop("checksum", None) != _checksum(content):
        raise EnsembleError(
            f"{source} was changed after it was written (its checksum does not match); its "
            "weights, intervals and quality no longer belong together: fit and save it again"
        )
    del content["kind"], content["schema_version"]
    return content


def _checksum(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def ranking(ensemble: Ensemble, table: pd.DataFrame, level: float = 0.9) -> pd.DataFrame:
    """Rank the distinct feasible architectures of a table by predicted accuracy, the best first.

    Of trials or scores with one ``architecture`` the first counts. On the table's index:
    ``architecture`` where known; ``prediction``, ``low``, ``high`` as of
    `Ensemble.predict_interval`; the target where known, in percent; ``predicted_rank`` and, with a
    target, ``true_rank`` among these rows, 1 the best, tied ones sharing the smaller number,
    missing where there is nothing to rank by; and ``in_sample``.
    """
    table = feasible_architectures(table)
    known, true = table.filter(["architecture"]), table.filter([ensemble.target])
    ranked = pd.concat([known, ensemble.predict_interval(table, level), true], axis=1)
    ranked["predicted_rank"] = ranks(ensemble.score(table))
    if ensemble.target in table:
        ranked["true_rank"] = ranks(ranked[ensemble.target])
    if "architecture" in table:
        ranked["in_sample"] = ensemble.in_sample(table)
    return ranked.sort_values("predicted_rank", kind="stable", na_position="last")
