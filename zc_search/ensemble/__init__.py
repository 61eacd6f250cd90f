"""From proxies to one predicted accuracy: fit, judge on unseen rows, bound, export, apply again.

Tables in, tables out; no torch and no Optuna. `EnsembleSpec` says what to fit, `fit_ensemble` fits
it, `held_out_predictions` says what it thinks of what it has not seen, `ranking` puts it to use.
"""

from zc_search.ensemble.curve import learning_curve
from zc_search.ensemble.ensemble import Ensemble, ranking
from zc_search.ensemble.features import DEFAULT_AGGREGATE
from zc_search.ensemble.fit import fit_ensemble, held_out_predictions
from zc_search.ensemble.models import fit_pipeline
from zc_search.ensemble.tables import EnsembleSpec
from zc_search.ensemble.validation import (
    RECOMMENDED_PROXIES,
    HeldOut,
    aggregate,
    aggregate_ranking,
)

__all__ = [
    "DEFAULT_AGGREGATE",
    "RECOMMENDED_PROXIES",
    "Ensemble",
    "EnsembleSpec",
    "HeldOut",
    "aggregate",
    "aggregate_ranking",
    "fit_ensemble",
    "fit_pipeline",
    "held_out_predictions",
    "learning_curve",
    "ranking",
]
