"""What the ensemble says of architectures that it was not fitted to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from sklearn.model_selection import RepeatedKFold

from zc_search.ensemble import fit_pipeline
from zc_search.ensemble.tables import finite, function_keys, select_rows
from zc_search.ensemble.validation import ROWS_IN_A_FOLD
from zc_search.errors import EnsembleError, ReportError
from zc_search.evaluation import BASELINES
from zc_search.proxies.catalogue import DEFAULT_DIRECTIONS, Direction
from zc_search.report.tables import Floats, as_trials

if TYPE_CHECKING:
    from zc_search.ensemble import Ensemble
    from zc_search.study.result import SearchResult

CROSS_VALIDATED = "cross-validated"
NOT_FITTED_TO = "not fitted to"


def held_out_predictions(
    result: SearchResult, directions: Mapping[str, Direction] | None = None
) -> pd.DataFrame:
    """Predict every architecture with a true accuracy by a fit that has not seen it.

    The architectures that the ensemble was fitted to are predicted by cross-validation, in the
    folds of the first repetition behind `Ensemble.quality`: features and model are fitted to the
    other folds. All others are predicted by the ensemble itself, unless one that computes the same
    function was fitted to; those are left out.

    Args:
        result: Of a search with an ensemble.
        directions: Which way a user's own proxies point at accuracy, for a model that minds.

    Returns:
        ``number, architecture, function_key, true, predicted`` in percent, and ``how``:
        ``cross-validated`` or ``not fitted to``; on the index of the trials.

    Raises:
        ReportError: There is no ensemble, or nothing that could be held out.
    """
    ensemble = result.ensemble
    if ensemble is None:
        raise ReportError("there is no ensemble")
    trials = as_trials(result, metric=ensemble.target)
    try:
        fitted, _, _ = select_rows(trials.table, ensemble.proxies, ensemble.target, ensemble.fit_on)
        others = trials.feasible[
            finite(trials.feasible, [ensemble.target, *ensemble.proxies])
            & ~np.isin(function_keys(trials.feasible), function_keys(fitted))
        ]
        known = {n: d for n, d in DEFAULT_DIRECTIONS.items() if n not in BASELINES}
        parts = [
            _cross_validated(result, ensemble, fitted, {**known, **(directions or {})}),
            _labelled(others, ensemble.target, ensemble.predict(others).to_numpy(), NOT_FITTED_TO),
        ]
    except EnsembleError as error:
        raise ReportError(f"no architecture can be held out: {error}") from error
    table = pd.concat([part for part in parts if len(part)] or parts[:1])
    if table.empty:
        raise ReportError(
            f"the ensemble was fitted to all {len(fitted)} architectures, too few to hold any out"
        )
    return table.sort_index()


def _cross_validated(
    result: SearchResult,
    ensemble: Ensemble,
    fitted: pd.DataFrame,
    directions: Mapping[str, Direction],
) -> pd.DataFrame:
    config = result.config.ensemble
    folds = min(config.folds, len(fitted) // ROWS_IN_A_FOLD)
    if folds < 2:
        return _labelled(fitted.iloc[:0], ensemble.target, np.empty(0), CROSS_VALIDATED)
    predicted = np.full(len(fitted), np.nan)
    splits = RepeatedKFold(n_splits=folds, n_repeats=1, random_state=config.seed)
    for training, held_out in splits.split(fitted):
        pipeline = fit_pipeline(
            fitted.iloc[training],
            ensemble.proxies,
            target=ensemble.target,
            model=ensemble.model,
            feature_set=ensemble.feature_set,
            directions=directions,
            seed=config.seed,
        )
        predicted[held_out] = pipeline.predict(fitted.iloc[held_out])
    return _labelled(fitted, ensemble.target, predicted, CROSS_VALIDATED)


def _labelled(rows: pd.DataFrame, target: str, predicted: Floats, how: str) -> pd.DataFrame:
    known = [name for name in ("number", "architecture", "function_key") if name in rows]
    return rows[known].assign(true=rows[target], predicted=predicted, how=how)
