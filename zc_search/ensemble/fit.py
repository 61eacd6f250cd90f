"""A fit from beginning to end: rows, model, held-out folds, bounds of the weights, notes."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

from zc_search._utils.text import counted
from zc_search.ensemble.ensemble import Ensemble
from zc_search.ensemble.features import AGGREGATE, Features
from zc_search.ensemble.models import FittedRegressor, LinearPredictor, fit_pipeline
from zc_search.ensemble.tables import (
    EnsembleSpec,
    bounds_of,
    clipped,
    distinct,
    feasible,
    feasible_architectures,
    finite,
    function_keys,
    numbers,
    select_rows,
    spec_of,
)
from zc_search.ensemble.validation import (
    LEVEL,
    HeldOut,
    baselines,
    best_single_proxy,
    cross_validate,
    folds_of,
    judge_scores,
)
from zc_search.errors import ArchitectureError, EnsembleError
from zc_search.spaces import Architecture

QUANTILES = 101
"""Residual quantiles on record, from the least to the largest."""

INFLATION_LIMIT = 10.0


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
        metadata: What to keep beside the constants; see `Ensemble`. What is None is left out.
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
    rows, fitted_on, notes = select_rows(table, spec)
    population = _population(table, rows)
    pipeline = fit_pipeline(rows, spec, population=population)
    held_out, residuals, cross_validated = cross_validate(rows, population, spec)
    has_weights = ":" not in spec.model and spec.model != "gp"
    predictor: Any = (LinearPredictor if has_weights else FittedRegressor).of(pipeline, rows, spec)
    true = numbers(rows, spec.target)
    bounds = bounds_of(true)
    if not held_out:
        residuals = true - clipped(pipeline.predict(rows), bounds)
        if has_weights:  # residuals of rows fitted to hold none of it
            predictor = predictor.model_copy(update={"typical_variance": 0.0})
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
        residuals=np.maximum.accumulate(np.quantile(residuals, np.linspace(0, 1, QUANTILES))),
        residuals_held_out=bool(held_out),
        held_out=held_out,
        bounds=bounds,
        best_proxy=best_single_proxy(rows, spec.proxies, spec.target),
        fitted_to=_fitted_to(rows),
        spec=spec,
        cross_validated=cross_validated or None,
    )
    if judge_on is not None:
        unseen, _ = judge_unseen(
            *(ensemble, judge_on, spec.proxies, spec.directions, f" of {judge_on_name}"),
            *(function_keys(rows).tolist(), spec.n_bootstrap, spec.seed),
        )
        ensemble = ensemble.model_copy(update={"unseen": unseen})
    said = _notes(ensemble, spec, pipeline["features"], rows, judged=judge_on is not None)
    return ensemble.model_copy(update={"notes": [*notes, *said]})


def judge_unseen(
    ensemble: Ensemble,
    table: pd.DataFrame,
    proxies: Sequence[str],
    directions: Mapping[str, str],
    where: str = "",
    functions: Sequence[str] = (),
    n_bootstrap: int = 200,
    seed: int = 0,
) -> tuple[tuple[HeldOut, ...], list[str]]:
    """Judge an ensemble and its baselines on rows of functions not fitted to, or say why not.

    The aggregate is that of `proxies`; `functions` are further keys of those fitted to.
    """
    table = feasible_architectures(table[finite(table, proxies)]).reset_index(drop=True)
    seen = ensemble.in_sample(table) | np.isin(function_keys(table), functions)
    rest = table[~seen & finite(table, [ensemble.target])]
    if len(rest) < 3:  # no rank correlation
        few = f"{len(rest)} of the architectures with an accuracy were not fitted to"
        return (), [f"{few}, too few to judge the ranking by."]
    single = ensemble.best_proxy if ensemble.best_proxy.proxy in rest else None
    scores = {"ensemble": ensemble.score(rest).to_numpy()}
    scores |= baselines(rest, table, single, proxies, directions)
    judged = f"not fitted to: {counted(len(rest), 'architecture')}{where}"
    return judge_scores(scores, numbers(rest, ensemble.target), judged, n_bootstrap, seed), []


def held_out_predictions(ensemble: Ensemble, table: pd.DataFrame) -> pd.DataFrame:
    """Predict every function of a table with a known accuracy by a fit that has not seen it.

    Those that the ensemble was fitted to by cross-validation, in the folds of the first repeat
    behind `Ensemble.quality`, fitted again where it was read from a file; all others by the
    ensemble itself. Each function counts once. The table is that of the fit.

    Returns on its index ``number, architecture, function_key`` where it has them, ``true,
    predicted, low, high`` in percent, the last two a 90% interval, and ``how``: ``cross-validated``
    or ``not fitted to``. Raises `EnsembleError` if nothing could be held out.
    """
    spec = ensemble.spec
    rows, _, _ = select_rows(table, replace(spec, fit_on=ensemble.fit_on))
    known = ensemble.cross_validated or {}
    if not known and ensemble.residuals_held_out:
        _, _, known = cross_validate(rows, _population(table, rows), replace(spec, repeats=1))
    others = _beside(table, rows)
    others = distinct(others[finite(others, [spec.target, *ensemble.proxies])])
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
    seen = seen.sort_index().assign(true=lambda judged: numbers(judged, spec.target))
    named = seen.filter(["number", "architecture", "function_key"])
    return named.join(seen[["true", "predicted", "low", "high", "how"]])


def _beside(table: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the feasible rows of a table whose function none of `rows` computes."""
    table = feasible(table)
    return table[~np.isin(function_keys(table), function_keys(rows))]


def _population(table: pd.DataFrame, rows: pd.DataFrame) -> pd.DataFrame:
    """Return a row a function: of the table, and first those to be fitted to."""
    return pd.concat([rows, distinct(_beside(table, rows))])


def _fitted_to(rows: pd.DataFrame) -> tuple[int, ...] | tuple[str, ...]:
    """Return the index of each cell, ascending, or functions where they are no such cells."""
    try:
        return tuple(sorted(Architecture.from_string(cell).index for cell in rows["architecture"]))
    except (KeyError, ArchitectureError):  # of another search space
        return tuple(sorted(function_keys(rows).tolist()))


def _plain(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Copy metadata as what TOML and JSON both hold, leaving out keys that are None."""

    def without_none(table: dict[str, Any]) -> dict[str, Any]:
        if any(isinstance(value, list) and None in value for value in table.values()):
            raise TypeError("a list with None in it")
        return {key: value for key, value in table.items() if value is not None}

    try:
        text = json.dumps(metadata, allow_nan=False, ensure_ascii=False)
        copied: dict[str, Any] = json.loads(text.encode(), object_hook=without_none)
    except (TypeError, ValueError) as error:
        raise EnsembleError(f"metadata holds what no file can keep: {error}") from None
    return copied


# What a user should know before trusting a weight or a figure -------------------------------------


def _notes(
    ensemble: Ensemble, spec: EnsembleSpec, features: Features, rows: pd.DataFrame, *, judged: bool
) -> Iterator[str]:
    """Yield a sentence for each thing to know of a fit to these rows, `judged` on others or not."""
    yield from _dropped(features, len(rows))
    count, few = len(ensemble.features.columns), f"{len(rows)} rows"
    if len(rows) <= count + 1:
        settled = "the weights are not settled by the data."
        yield f"{few} for {counted(count, 'feature')} and an intercept: {settled}"
    elif len(rows) < 3 * count:
        yield f"{few} for {counted(count, 'feature')}, fewer than three for each."
    yield from _collinear(features.transform(rows).filter(items=ensemble.proxies))
    if not ensemble.residuals_held_out:
        yield (
            f"{few} are too few to hold any out: there is no figure of quality, and predictions "
            "have no interval."
        )
    elif (folds := folds_of(spec, len(rows))) < spec.folds:
        yield f"{few}: cross-validated in {folds} folds, not {spec.folds}."
    if judged and not ensemble.unseen:
        yield "No architectures are left beside those fitted to, to judge on."
    best = ensemble.best_proxy.proxy
    for figures, where, instead in (
        (ensemble.held_out, "Held out", f"{best} on all rows): rank by that proxy instead."),
        (ensemble.unseen, "On architectures not fitted to", f"{best})."),
    ):
        # As they are said, so that none is below its equal.
        taus = {
            row.predictor: round(row.kendall_tau, 3)
            for row in figures
            if row.kendall_tau is not None
        }
        tau, single = taus.get("ensemble"), taus.get("best single proxy")
        if single is not None and (tau is None or tau < single):
            own = "undefined" if tau is None else f"{tau:.3f}"
            below = f"is below that of the best single proxy, {single:.3f}"
            yield f"{where}, the ensemble's Kendall's tau, {own}, {below} ({instead}"
        together = taus.get("aggregate")
        if tau is not None and together is not None and tau < together:
            better = f"orders better, {together:.3f} against {tau:.3f}"
            yield f"{where}, the aggregate, which saw no accuracy, {better}: more accuracies help."
    if isinstance(ensemble.predictor, LinearPredictor):
        yield from _contradicted(ensemble, ensemble.predictor, spec, rows)


def _contradicted(
    ensemble: Ensemble, predictor: LinearPredictor, spec: EnsembleSpec, rows: pd.DataFrame
) -> Iterator[str]:
    """Say which proxies count against their own direction.

    By how much the mean score rises from a proxy's lowest value to its highest, others as they are.
    """
    reasons: dict[str, list[str]] = {
        "beside the other features they serve as corrections": [],
        "the 90 % interval includes 0, so that even the sign is open": [],
    }
    corrections, unsettled = reasons.values()
    weights = np.array([weight.weight for weight in predictor.weights])
    covariance = predictor.full_covariance()[1:, 1:]
    for proxy in ensemble.proxies:
        if (direction := spec.directions.get(proxy)) is None:
            continue
        ends = [rows.assign(**{proxy: rows[proxy].agg(end)}) for end in ("min", "max")]
        low, high = (ensemble.features.matrix(end) for end in ends)
        contrast = (high - low).mean(axis=0)
        rise = float(contrast @ weights)
        if rise * (1 if direction == "maximize" else -1) < 0:
            reach = float(norm.ppf(0.95) * np.sqrt(max(contrast @ covariance @ contrast, 0.0)))
            (corrections if abs(rise) > reach else unsettled).append(f"{proxy} ({direction})")
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
    if worst:
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
    as_others = {name: f"{name} (as {first})" for name, first in features.duplicates_.items()}
    constant, repeated = (
        f"Constant over the {rows} rows, and left out",
        "Repeating others, and left out",
    )
    for columns, of_proxies, of_cell in (
        ({name: name for name in features.constant_}, constant, constant),
        (as_others, "Left out, as the same values stand in another column", repeated),
    ):
        own = {*features.proxies, AGGREGATE}
        proxies = [t for n, t in columns.items() if not own.isdisjoint(n.split(" * "))]
        if proxies:
            yield f"{of_proxies}: {_listed(proxies)}."
        if count := len(columns) - len(proxies):
            yield f"{of_cell}: {counted(count, 'feature')} of the cell."


def _listed(items: list[str], shown: int = 8) -> str:
    more = f" and {len(items) - shown} more" if len(items) > shown else ""
    return ", ".join(items[:shown]) + more
