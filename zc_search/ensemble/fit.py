"""A fit from beginning to end: rows, model, held-out folds, bounds of the weights, notes."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm
from sklearn.pipeline import Pipeline

from zc_search.ensemble.ensemble import Ensemble, SingleProxy
from zc_search.ensemble.features import Features
from zc_search.ensemble.models import FittedRegressor, LinearPredictor, fit_pipeline
from zc_search.ensemble.tables import (
    EnsembleSpec,
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
    spec_of,
)
from zc_search.ensemble.validation import (
    LEVEL,
    CrossValidation,
    HeldOut,
    baselines,
    best_single_proxy,
    cross_validate,
    folds_of,
    judge_scores,
)
from zc_search.errors import ArchitectureError, EnsembleError
from zc_search.spaces import Architecture
from zc_search.spaces.nasbench201.structure import FLOW_FEATURES

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


INFLATION_LIMIT = 10.0


def of_fit(
    ensemble: Ensemble, spec: EnsembleSpec, features: Features, rows: pd.DataFrame, *, judged: bool
) -> Iterator[str]:
    """Yield all there is to know of a fit to these rows, `judged` on others or not."""
    best = "" if ensemble.best_proxy is None else ensemble.best_proxy.proxy
    yield from _dropped(features, len(rows))
    count = len(ensemble.features.columns)
    if len(rows) <= count + 1:
        settled = "the weights are not settled by the data."
        yield f"{len(rows)} rows for {count} features and an intercept: {settled}"
    elif len(rows) < 3 * count:
        yield f"{len(rows)} rows for {count} features, fewer than three for each."
    yield from _collinear(features.transform(rows)[list(ensemble.proxies)])
    folds = folds_of(spec, len(rows))
    if not ensemble.residuals_held_out:
        yield (
            f"{len(rows)} rows are too few to hold any out: there is no figure of quality, and the "
            "intervals of predictions are too narrow, because they rest on the rows fitted to."
        )
    elif folds < spec.folds:
        yield f"{len(rows)} rows: cross-validated in {folds} folds, not {spec.folds}."
    if taus := _beaten(ensemble.held_out):
        yield (
            f"Held out, the ensemble's Kendall's tau, {taus[0]}, is below that of the best "
            f"single proxy, {taus[1]} ({best} on all rows): rank by that proxy instead."
        )
    if judged and not ensemble.unseen:
        yield "No architectures are left beside those fitted to, to judge on."
    if taus := _beaten(ensemble.unseen):
        yield (
            f"On architectures not fitted to, the ensemble's Kendall's tau, {taus[0]}, is below "
            f"that of the best single proxy, {taus[1]} ({best})."
        )
    if isinstance(ensemble.predictor, LinearPredictor):
        yield from _contradicted(ensemble, ensemble.predictor, spec, rows)


def _contradicted(
    ensemble: Ensemble, predictor: LinearPredictor, spec: EnsembleSpec, rows: pd.DataFrame
) -> Iterator[str]:
    """Say which proxies count against their own direction.

    That is by how much the score rises, on the mean of the rows, from a proxy's lowest value to
    its highest with all others as they are: by its own weight, through products and through the
    aggregate.
    """
    corrections: list[str] = []
    unsettled: list[str] = []
    weights = np.array([weight.weight for weight in predictor.weights])
    covariance = predictor.full_covariance()[1:, 1:]
    for proxy in ensemble.proxies:
        if (direction := spec.directions.get(proxy)) is None:
            continue
        ends = [rows.assign(**{proxy: rows[proxy].agg(end)}) for end in ("min", "max")]
        low, high = (ensemble.features.matrix(end) for end in ends)
        contrast = (high - low).mean(axis=0)
        rise = float(contrast @ weights)
        if rise * (1 if direction == "maximize" else -1) >= 0:
            continue
        reach = float(norm.ppf(0.95) * np.sqrt(max(contrast @ covariance @ contrast, 0.0)))
        (corrections if abs(rise) > reach else unsettled).append(f"{proxy} ({direction})")
    reasons = {
        "beside the other features they serve as corrections": corrections,
        "the 90 % interval includes 0, so that even the sign is open": unsettled,
    }
    for reason, names in reasons.items():
        if names:
            yield f"Weights contradict the directions of {_listed(names)}: {reason}."


def _collinear(columns: pd.DataFrame) -> Iterator[str]:
    """Say which proxies' columns are nearly combinations of the others; name the closest pair.

    Variance inflation is ``1 / (1 - R²)`` of a column regressed on all others.
    """
    if columns.shape[1] < 2 or len(columns) <= columns.shape[1] + 1:  # any column would fit
        return
    worst = []
    centred = columns - columns.mean()
    for name in columns:
        own, others = centred[name].to_numpy(), centred.drop(columns=name).to_numpy()
        left = own - others @ np.linalg.lstsq(others, own, rcond=None)[0]
        unexplained = float(left @ left) / float(own @ own)
        inflation = 1 / unexplained if unexplained > 1e-12 else np.inf
        if inflation > INFLATION_LIMIT:
            worst.append(f"{name} ({inflation:.0f})")
    if not worst:
        return
    correlations = columns.corr().to_numpy(copy=True)
    np.fill_diagonal(correlations, 0.0)
    a, b = np.unravel_index(np.abs(correlations).argmax(), correlations.shape)
    yield (
        f"Collinear proxies, variance inflation above {INFLATION_LIMIT:.0f}: {_listed(worst)}; "
        f"the closest pair is {columns.columns[a]} and {columns.columns[b]}, correlation "
        f"{correlations[a, b]:.2f}. Their weights cannot be told apart, only their sum."
    )


def _dropped(features: Features, rows: int) -> Iterator[str]:
    """Say which columns were left out because they say nothing, or nothing new."""
    constant, constant_of_cell = _split(features.constant_)
    repeated, repeated_of_cell = _split(features.duplicates_)
    for what in (_listed(constant), _counted(constant_of_cell)):
        if what:
            yield f"Constant over the {rows} rows, and left out: {what}."
    if repeated:
        pairs = [f"{name} repeats {features.duplicates_[name]}" for name in repeated]
        yield f"Left out, because {_listed(pairs)}."
    if repeated_of_cell:
        yield f"Repeating others, and left out: {_counted(repeated_of_cell)}."


def _beaten(judged: Sequence[HeldOut]) -> tuple[str, str] | None:
    """Return the taus of ensemble and best single proxy where the latter is larger."""
    taus = {row.predictor: row.kendall_tau for row in judged}
    ensemble, single = taus.get("ensemble"), taus.get("best single proxy")
    if single is None or (ensemble is not None and ensemble >= single):
        return None
    return "undefined" if ensemble is None else f"{ensemble:.3f}", f"{single:.3f}"


def _split(names: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return the names of proxies, and those of features of the cell's structure."""
    of_cell = [name for name in names if set(name.split(" * ")) <= set(FLOW_FEATURES)]
    return [name for name in names if name not in of_cell], of_cell


def _counted(names: list[str]) -> str:
    return f"{len(names)} feature{'s' * (len(names) > 1)} of the cell" if names else ""


def _listed(items: list[str], shown: int = 8) -> str:
    more = f" and {len(items) - shown} more" if len(items) > shown else ""
    return ", ".join(items[:shown]) + more
