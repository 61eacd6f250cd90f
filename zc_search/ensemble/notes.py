"""What a user should know of a fit before trusting a weight or a figure, a sentence each."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pandas as pd
from scipy.stats import norm

from zc_search.ensemble.ensemble import Ensemble
from zc_search.ensemble.features import Features
from zc_search.ensemble.predictor import LinearPredictor
from zc_search.ensemble.spec import EnsembleSpec
from zc_search.ensemble.validation import HeldOut, folds_of
from zc_search.spaces.nasbench201.structure import FLOW_FEATURES

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
