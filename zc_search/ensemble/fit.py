"""A fit from beginning to end: rows, model, held-out folds, bounds of the weights, notes."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from zc_search.ensemble.baselines import baselines, best_single_proxy
from zc_search.ensemble.ensemble import Ensemble, SingleProxy
from zc_search.ensemble.models import fit_pipeline
from zc_search.ensemble.notes import of_fit
from zc_search.ensemble.predictor import FittedRegressor, LinearPredictor
from zc_search.ensemble.spec import EnsembleSpec, spec_of
from zc_search.ensemble.tables import (
    Floats,
    bounds_of,
    clipped,
    distinct,
    feasible_architectures,
    finite,
    flags,
    function_keys,
    numbers,
    select_rows,
)
from zc_search.ensemble.validation import (
    LEVEL,
    CrossValidation,
    HeldOut,
    cross_validate,
    judge_scores,
)
from zc_search.errors import ArchitectureError, EnsembleError
from zc_search.spaces import Architecture

QUANTILES = 101
"""Residual quantiles on record, from the least to the largest."""


def fit_ensemble(
    table: pd.DataFrame,
    proxies: Sequence[str] | EnsembleSpec,
    *,
    metadata: Mapping[str, Any] | None = None,
    judge_on: pd.DataFrame | None = None,
    judge_on_name: str = "the table given",
    **settings: Any,
) -> Ensemble:
    """Fit a model from proxies to accuracy, judge it on held-out rows, and bound its weights.

    Args:
        table: One row a trial or architecture: the proxies, the target, ``function_key`` (or else
            ``architecture``); where there are, ``feasible``, ``pareto``, ``params``, ``flops``.
        proxies: Columns to predict from, or a whole `EnsembleSpec`.
        metadata: What to keep beside the constants; see `Ensemble`. Keys that are None are left
            out.
        judge_on: A table with accuracies, such as the whole space: its rows whose function was
            not fitted to judge the ensemble once more.
        judge_on_name: What to call that table, such as ``the other trials``.
        **settings: Of `EnsembleSpec`: ``model``, ``feature_set``, ``fit_on``, ``directions`` ...

    Raises:
        EnsembleError: Nothing can be fitted (one row, one accuracy, no finite row, a missing
            column), or an argument is wrong.
    """
    spec = spec_of(proxies, settings)
    recorded = _plain(metadata or {})
    table = table.reset_index(drop=True)
    rows, fitted_on, notes = select_rows(table, spec.proxies, spec.target, spec.fit_on)
    pipeline = fit_pipeline(rows, spec)
    judged = cross_validate(rows, _population(table, rows), spec)
    best, sign = best_single_proxy(rows, spec.proxies, spec.target)
    has_weights = ":" not in spec.model and spec.model != "gp"
    predictor: Any = (LinearPredictor if has_weights else FittedRegressor).of(pipeline, rows, spec)
    if has_weights and judged is None:  # residuals of rows fitted to hold none of it
        predictor = predictor.model_copy(update={"typical_variance": 0.0})
    true = numbers(rows, spec.target)
    bounds = bounds_of(true)
    residuals = (
        true - clipped(pipeline.predict(rows), bounds) if judged is None else judged.residuals
    )
    ensemble = Ensemble(
        model=spec.model,
        feature_set=spec.feature_set,
        target=spec.target,
        fit_on=fitted_on,
        rows=len(rows),
        notes=notes,
        metadata=recorded,
        features=pipeline["features"].map_,
        predictor=predictor,
        residuals=_quantiles(residuals),
        residuals_held_out=judged is not None,
        held_out=() if judged is None else judged.quality,
        unseen=_judge_unseen(pipeline, spec, rows, judge_on, judge_on_name),
        bounds=bounds,
        best_proxy=SingleProxy(proxy=best, sign=sign),
        fitted_to=_fitted_to(rows),
        spec=spec,
        cross_validated=_by_function(rows, judged),
    )
    said = of_fit(ensemble, spec, pipeline["features"], rows, judged=judge_on is not None)
    return ensemble.model_copy(update={"notes": [*notes, *said]})


def held_out_predictions(ensemble: Ensemble, table: pd.DataFrame) -> pd.DataFrame:
    """Predict every function of a table with a known accuracy by a fit that has not seen it.

    The functions that the ensemble was fitted to are predicted by cross-validation, in the folds
    of the first repeat behind `Ensemble.quality`; all others by the ensemble itself. Each function
    counts once, whatever its number of trials. Nothing is fitted but where the ensemble was read
    from a file: then it is fitted again as it was, in the same folds.

    Args:
        ensemble: As fitted to `table`, or as loaded from the file of that fit.
        table: Proxies and ``ensemble.target``, as for `fit_ensemble`.

    Returns:
        ``true, predicted, low, high`` in percent, the last two a 90% interval, and ``how``:
        ``cross-validated`` or ``not fitted to``; after ``number, architecture, function_key``
        where the table has them; on the table's index.

    Raises:
        EnsembleError: Nothing could be held out.
    """
    spec = ensemble.spec or EnsembleSpec(
        ensemble.proxies, ensemble.target, ensemble.model, ensemble.feature_set
    )
    rows, _, _ = select_rows(table, spec.proxies, spec.target, ensemble.fit_on)
    known = ensemble.cross_validated
    if known is None and ensemble.residuals_held_out:
        known = _by_function(rows, cross_validate(rows, rows, replace(spec, repeats=1)))
    known = known or {}
    others = table[flags(table, "feasible", default=True)]
    others = others[finite(others, [spec.target, *ensemble.proxies])]
    others = distinct(others[~np.isin(function_keys(others), function_keys(rows))])
    seen = rows[np.isin(function_keys(rows), list(known))]
    if seen.empty and others.empty:
        raise EnsembleError(
            f"the ensemble was fitted to all {len(rows)} architectures, too few to hold any out"
        )
    predicted = np.array([known[key] for key in function_keys(seen)], dtype=np.float64)
    low, high = ensemble.residual_interval(LEVEL)
    seen = seen.assign(
        predicted=predicted,
        low=clipped(predicted + min(low, 0.0), ensemble.bounds),
        high=clipped(predicted + max(high, 0.0), ensemble.bounds),
        how="cross-validated",
    )
    if len(others):
        interval = ensemble.predict_interval(others).rename(columns={"prediction": "predicted"})
        seen = pd.concat([seen, others.assign(**interval, how="not fitted to")])
    found = seen.sort_index().assign(true=lambda t: numbers(t, spec.target))
    names = [name for name in ("number", "architecture", "function_key") if name in table]
    return found[[*names, "true", "predicted", "low", "high", "how"]]


def _by_function(rows: pd.DataFrame, judged: CrossValidation | None) -> dict[str, float] | None:
    if judged is None:
        return None
    return dict(zip(function_keys(rows).tolist(), judged.predictions.tolist(), strict=True))


def _population(table: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Return `rows` and one feasible row of each other function of the table."""
    others = table[flags(table, "feasible", default=True)]
    others = others[~np.isin(function_keys(others), function_keys(rows))]
    return pd.concat([rows, distinct(others)])


def _judge_unseen(
    pipeline: Pipeline,
    spec: EnsembleSpec,
    rows: pd.DataFrame,
    table: pd.DataFrame | None,
    name: str,
) -> tuple[HeldOut, ...]:
    """Judge a fit and its baselines on the rows of a table that compute no function fitted to."""
    if table is None:
        return ()
    table = table.reset_index(drop=True)
    table = feasible_architectures(table[finite(table, spec.proxies)])
    rest = table[~np.isin(function_keys(table), function_keys(rows)) & finite(table, [spec.target])]
    if len(rest) < 3:  # no rank correlation
        return ()
    scores = {"ensemble": np.asarray(pipeline.predict(rest)), **baselines(rows, rest, table, spec)}
    judged = f"not fitted to: {len(rest):,} architectures of {name}"
    return judge_scores(scores, numbers(rest, spec.target), judged, spec.n_bootstrap, spec.seed)


def _fitted_to(rows: pd.DataFrame) -> tuple[int, ...] | tuple[str, ...]:
    """Return the index of each cell, ascending, or functions where they are no such cells."""
    try:
        cells = [Architecture.from_string(text) for text in rows["architecture"]]
    except (KeyError, ArchitectureError):  # of another search space
        return tuple(sorted(function_keys(rows).tolist()))
    return tuple(sorted(cell.index for cell in cells))


def _quantiles(residuals: Floats) -> tuple[float, ...]:
    """Return `QUANTILES` quantiles in equal steps from 0 to 1."""
    levels: Floats = np.quantile(residuals, np.linspace(0, 1, QUANTILES))
    return tuple(np.maximum.accumulate(levels).tolist())


def _plain(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Copy metadata as what TOML and JSON both hold, leaving out keys that are None."""
    try:
        text = json.dumps(metadata, allow_nan=False, ensure_ascii=False)
        copied: dict[str, Any] = json.loads(text.encode(), object_hook=_without_none)
    except (TypeError, ValueError) as error:
        raise EnsembleError(f"metadata holds what no file can keep: {error}") from None
    return copied


def _without_none(table: dict[str, Any]) -> dict[str, Any]:
    if any(isinstance(value, list) and None in value for value in table.values()):
        raise TypeError("a list with None in it")
    return {key: value for key, value in table.items() if value is not None}
