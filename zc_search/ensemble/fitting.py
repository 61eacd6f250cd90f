"""Fitting an ensemble: choose rows, fit, hold out, resample, and say what was noticed."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from zc_search.ensemble import diagnostics
from zc_search.ensemble.baselines import baselines, best_single_proxy, check_directions
from zc_search.ensemble.features import Features
from zc_search.ensemble.fitted import Ensemble, SingleProxy
from zc_search.ensemble.models import make_model
from zc_search.ensemble.predictor import ImportedRegressor, LinearPredictor
from zc_search.ensemble.quality import HeldOut, judge_scores
from zc_search.ensemble.recording import imported_regressor, indices, linear_predictor
from zc_search.ensemble.tables import (
    bounds_of,
    clipped,
    distinct,
    finite,
    flags,
    function_keys,
    numbers,
    select_rows,
)
from zc_search.ensemble.uncertainty import quantiles
from zc_search.ensemble.validation import cross_validate
from zc_search.errors import EnsembleError


def fit_pipeline(
    rows: pd.DataFrame,
    proxies: Sequence[str],
    *,
    target: str = "val_accuracy",
    model: str = "linear",
    feature_set: str = "standard",
    directions: Mapping[str, str] | None = None,
    seed: int = 0,
) -> Pipeline:
    """Fit features and model to rows that are already chosen; all finite, all distinct.

    Returns:
        A scikit-learn pipeline from a table of scores to percent accuracy.

    Raises:
        EnsembleError: As for `fit_ensemble`.
    """
    pipeline = Pipeline(
        [
            ("features", Features(proxies, feature_set, directions)),
            ("model", make_model(model, directions, seed)),
        ]
    )
    return pipeline.fit(rows, numbers(rows, target))


def fit_ensemble(
    table: pd.DataFrame,
    proxies: Sequence[str],
    *,
    target: str = "val_accuracy",
    model: str = "linear",
    feature_set: str = "standard",
    fit_on: str = "pareto",
    folds: int = 5,
    repeats: int = 4,
    n_bootstrap: int = 200,
    seed: int = 0,
    directions: Mapping[str, str] | None = None,
    metadata: Mapping[str, Any] | None = None,
    judge_on: pd.DataFrame | None = None,
    judge_on_name: str = "the table given",
) -> Ensemble:
    """Fit a model from proxies to accuracy, judge it on held-out rows, and bound its weights.

    Args:
        table: One row a trial or architecture: the proxies, the target, ``function_key`` (or else
            ``architecture``); where there are, ``feasible``, ``pareto``, ``params``, ``flops``.
        proxies: Columns to predict from.
        target: Column with the accuracy, in percent.
        model: ``linear``, ``ridge``, ``nonnegative``, ``rank``, ``gap``, or ``module:Class``;
            see `make_model`.
        feature_set: ``standard``, ``raw``, ``rank`` or ``spline``, each with any of ``+cell``,
            ``+flow`` and ``+interactions`` if wanted, ``rank`` and ``spline`` also with
            ``+aggregate``; see `parse_feature_set`.
        fit_on: ``pareto``, for the Pareto front if it has three distinct rows for each proxy, or
            ``all`` distinct feasible rows.
        folds: Folds of the cross-validation, 2 or more.
        repeats: Times that it is repeated, each with another split.
        n_bootstrap: Resamples for the intervals, 2 or more.
        seed: Of the splits, the resamples and an imported regressor.
        directions: ``maximize`` or ``minimize``: whether more of a proxy should mean more
            accuracy, which may differ from its direction as an objective of the search.
        metadata: What to keep beside the constants; see `Ensemble`. Keys that are None are left
            out.
        judge_on: A table with accuracies, such as the whole space: its rows whose function was
            not fitted to judge the ensemble once more.
        judge_on_name: What to call that table, such as ``the other trials``.

    Raises:
        EnsembleError: Nothing can be fitted (one row, one accuracy, no finite row, a missing
            column), or an argument is wrong.
    """
    for name, value, least in (
        ("folds", folds, 2),
        ("repeats", repeats, 1),
        ("n_bootstrap", n_bootstrap, 2),
    ):
        if value < least:
            raise EnsembleError(f"{name}: {value} is given; allowed are {least} and more")
    recorded = _plain(metadata or {})
    proxies, directions = list(proxies), check_directions(directions)
    table = table.reset_index(drop=True)
    rows, fitted_on, notes = select_rows(table, proxies, target, fit_on)

    def fit(training: pd.DataFrame) -> Pipeline:
        return fit_pipeline(
            training,
            proxies,
            target=target,
            model=model,
            feature_set=feature_set,
            directions=directions,
            seed=seed,
        )

    pipeline = fit(rows)
    features: Features = pipeline["features"]
    notes += diagnostics.dropped_columns(features, len(rows))
    notes += diagnostics.few_rows(len(rows), len(features.map_.names))
    notes += diagnostics.collinear_proxies(features.map_.by_proxy(rows))
    judged = cross_validate(
        fit,
        rows,
        _population(table, rows),
        proxies,
        target,
        directions,
        folds=folds,
        repeats=repeats,
        seed=seed,
    )
    best, sign = best_single_proxy(rows, proxies, target)
    notes += diagnostics.held_out(judged, len(rows), folds, best)
    bounds = bounds_of(numbers(rows, target))
    if judged is None:
        residuals = numbers(rows, target) - clipped(pipeline.predict(rows), bounds)
    else:
        residuals = judged.residuals
    unseen: tuple[HeldOut, ...] = ()
    if judge_on is not None:
        unseen = _judge_unseen(
            pipeline, rows, judge_on, judge_on_name, proxies, target, directions, n_bootstrap, seed
        )
        notes += diagnostics.unseen(unseen, best)
    predictor: LinearPredictor | ImportedRegressor
    if ":" in model:
        predictor = imported_regressor(pipeline, fit, rows, target, seed)
    else:
        predictor = linear_predictor(pipeline, rows, target, n_bootstrap, seed)
        if judged is None:  # residuals of rows fitted to hold none of it
            predictor = predictor.model_copy(update={"typical_variance": 0.0})
        notes += diagnostics.contradicted_directions(features.map_, predictor, rows, directions)
    return Ensemble(
        model=model,
        feature_set=feature_set,
        target=target,
        fit_on=fitted_on,
        rows=len(rows),
        notes=notes,
        metadata=recorded,
        features=features.map_,
        predictor=predictor,
        residuals=quantiles(residuals),
        residuals_held_out=judged is not None,
        held_out=() if judged is None else judged.quality,
        unseen=unseen,
        bounds=bounds,
        best_proxy=SingleProxy(proxy=best, sign=sign),
        fitted_to=indices(rows),
    )


def _population(table: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Return `rows` and one feasible row of each other function of the table."""
    others = table[flags(table, "feasible", default=True)]
    others = others[~np.isin(function_keys(others), function_keys(rows))]
    return pd.concat([rows, distinct(others)])


def _judge_unseen(
    pipeline: Pipeline,
    rows: pd.DataFrame,
    table: pd.DataFrame,
    name: str,
    proxies: Sequence[str],
    target: str,
    directions: Mapping[str, str],
    n_bootstrap: int,
    seed: int,
) -> tuple[HeldOut, ...]:
    """Judge a fit and its baselines on the rows of a table that compute no function fitted to.

    Of rows with one ``architecture``, such as a search's repeated trials, the first counts.

    Returns:
        One record a predictor; none where fewer than three rows are left.
    """
    table = table.reset_index(drop=True)
    table = table[flags(table, "feasible", default=True) & finite(table, proxies)]
    if "architecture" in table:
        table = table.drop_duplicates("architecture")
    rest = table[~np.isin(function_keys(table), function_keys(rows)) & finite(table, [target])]
    if len(rest) < 3:  # no rank correlation
        return ()
    others = baselines(rows, table, proxies, target, directions)
    return judge_scores(
        {
            "ensemble": np.asarray(pipeline.predict(rest)),
            **{predictor: scorer(rest) for predictor, scorer in others.items()},
        },
        numbers(rest, target),
        f"not fitted to: {len(rest):,} architectures of {name}",
        n_bootstrap=n_bootstrap,
        seed=seed,
    )


def _plain(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Copy metadata as what TOML and JSON both hold, leaving out keys that are None.

    Raises:
        EnsembleError: Something else than text, finite numbers, flags, lists and tables.
    """
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
