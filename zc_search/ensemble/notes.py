"""What a user should know of a fit before trusting a weight or a figure, a sentence each."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.stats import norm

from zc_search.ensemble.features import FeatureMap, Features
from zc_search.ensemble.predictor import FittedRegressor, LinearPredictor
from zc_search.ensemble.spec import EnsembleSpec
from zc_search.ensemble.validation import CrossValidation, HeldOut
from zc_search.spaces.nasbench201.structure import FLOW_FEATURES

INFLATION_LIMIT = 10.0


def of_fit(
    features: Features,
    predictor: LinearPredictor | FittedRegressor,
    rows: pd.DataFrame,
    spec: EnsembleSpec,
    judged: CrossValidation | None,
    unseen: Sequence[HeldOut] | None,
    best: str,
) -> list[str]:
    """Say all there is to know of a fit; `best` is the best single proxy of its rows."""
    proxies = [scale.proxy for scale in features.map_.proxies]
    notes = dropped_columns(features, len(rows))
    notes += few_rows(len(rows), len(features.map_.columns))
    notes += collinear_proxies(features.transform(rows)[proxies])
    notes += held_out(judged, len(rows), spec.folds, best)
    if unseen is not None:
        notes += on_unseen(unseen, best)
    if isinstance(predictor, LinearPredictor):
        notes += contradicted_directions(features.map_, predictor, rows, spec.directions)
    return notes


def dropped_columns(features: Features, rows: int) -> list[str]:
    """Say which columns were left out because they say nothing, or nothing new."""
    constant, constant_of_cell = _split(features.constant_)
    repeated, repeated_of_cell = _split(features.duplicates_)
    notes = [
        f"Constant over the {rows} rows, and left out: {what}."
        for what in (_listed(constant), _counted(constant_of_cell))
        if what
    ]
    if repeated:
        pairs = [f"{name} repeats {features.duplicates_[name]}" for name in repeated]
        notes.append(f"Left out, because {_listed(pairs)}.")
    if repeated_of_cell:
        notes.append(f"Repeating others, and left out: {_counted(repeated_of_cell)}.")
    return notes


def few_rows(rows: int, features: int) -> list[str]:
    """Say where the rows cannot settle the weights."""
    if rows <= features + 1:
        return [
            f"{rows} rows for {features} features and an intercept: the weights are not settled "
            "by the data."
        ]
    if rows < 3 * features:
        return [f"{rows} rows for {features} features, fewer than three for each."]
    return []


def variance_inflation(columns: pd.DataFrame) -> dict[str, float]:
    """Return ``1 / (1 - R²)`` of each column regressed on all others; infinity where R² is 1."""
    factors = {}
    centred = columns - columns.mean()
    for name in columns:
        own, others = centred[name].to_numpy(), centred.drop(columns=name).to_numpy()
        left = own - others @ np.linalg.lstsq(others, own, rcond=None)[0]
        unexplained = float(left @ left) / float(own @ own)
        factors[str(name)] = 1 / unexplained if unexplained > 1e-12 else np.inf
    return factors


def collinear_proxies(columns: pd.DataFrame) -> list[str]:
    """Say which proxies' columns are nearly combinations of the others; name the closest pair."""
    if columns.shape[1] < 2 or len(columns) <= columns.shape[1] + 1:  # any column would fit
        return []
    inflated = {k: v for k, v in variance_inflation(columns).items() if v > INFLATION_LIMIT}
    if not inflated:
        return []
    correlations = columns.corr().to_numpy(copy=True)
    np.fill_diagonal(correlations, 0.0)
    a, b = np.unravel_index(np.abs(correlations).argmax(), correlations.shape)
    worst = [f"{name} ({value:.0f})" for name, value in inflated.items()]
    return [
        f"Collinear proxies, variance inflation above {INFLATION_LIMIT:.0f}: {_listed(worst)}; "
        f"the closest pair is {columns.columns[a]} and {columns.columns[b]}, correlation "
        f"{correlations[a, b]:.2f}. Their weights cannot be told apart, only their sum."
    ]


def contradicted_directions(
    features: FeatureMap,
    predictor: LinearPredictor,
    rows: pd.DataFrame,
    directions: Mapping[str, str],
) -> list[str]:
    """Say which proxies count against their own direction.

    That is by how much the score rises, on the mean of the rows, from a proxy's lowest value to
    its highest with all others as they are: by its own weight, through products and through the
    aggregate.
    """
    corrections: list[str] = []
    unsettled: list[str] = []
    weights = np.array([weight.weight for weight in predictor.weights])
    covariance = predictor.full_covariance()[1:, 1:]
    for proxy in (scale.proxy for scale in features.proxies):
        if (direction := directions.get(proxy)) is None:
            continue
        ends = [rows.assign(**{proxy: rows[proxy].agg(end)}) for end in ("min", "max")]
        low, high = (features.matrix(end) for end in ends)
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
    return [
        f"Weights contradict the directions of {_listed(names)}: {reason}."
        for reason, names in reasons.items()
        if names
    ]


def held_out(judged: CrossValidation | None, rows: int, folds: int, best: str) -> list[str]:
    """Say where little could be held out of the folds asked for, and where one proxy is better."""
    if judged is None:
        return [
            f"{rows} rows are too few to hold any out: there is no figure of quality, and the "
            "intervals of predictions are too narrow, because they rest on the rows fitted to."
        ]
    notes = []
    if judged.folds < folds:
        notes.append(f"{rows} rows: cross-validated in {judged.folds} folds, not {folds}.")
    if taus := _beaten(judged.quality):
        notes.append(
            f"Held out, the ensemble's Kendall's tau, {taus[0]}, is below that of the best "
            f"single proxy, {taus[1]} ({best} on all rows): rank by that proxy instead."
        )
    return notes


def on_unseen(judged: Sequence[HeldOut], best: str) -> list[str]:
    """Say where one proxy does better alone on architectures that took no part in the fit."""
    if not judged:
        return ["No architectures are left beside those fitted to, to judge on."]
    if taus := _beaten(judged):
        return [
            f"On architectures not fitted to, the ensemble's Kendall's tau, {taus[0]}, is below "
            f"that of the best single proxy, {taus[1]} ({best})."
        ]
    return []


def _beaten(judged: Sequence[HeldOut]) -> tuple[str, str] | None:
    """Return the taus of ensemble and best single proxy where the latter is larger."""
    taus = {row.predictor: row.kendall_tau for row in judged}
    ensemble, single = taus["ensemble"], taus["best single proxy"]
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
