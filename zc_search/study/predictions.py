"""Ensembles whose predictions are objectives."""

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import pandas as pd

from zc_search.config import Config, ensemble_file
from zc_search.proxies import Proxy
from zc_search.scoring.scores_file import Provenance
from zc_search.study.record import TrialRecord

if TYPE_CHECKING:  # scikit-learn takes a second to start, in every worker
    from zc_search.ensemble import Ensemble


class PredictionWarning(UserWarning):
    """A proxy may not mean to a study what it meant to the ensemble that it optimises."""


def load_ensembles(config: Config, proxies: Sequence[Proxy]) -> "dict[str, Ensemble]":
    """Load the ensembles whose predictions are objectives, by the objective's name.

    An EnsembleError is raised for one of proxies that are not computed or have another definition
    now, or with features of cells for another search space.
    """
    from zc_search.ensemble import Ensemble
    from zc_search.ensemble.scores import check_applicable

    files = {o.name: file for o in config.objectives if (file := ensemble_file(o.name))}
    ensembles = {name: Ensemble.load(file) for name, file in files.items()}
    definitions = {p.name: p.definition for p in proxies}
    scores = Provenance(config.study.name, {}, definitions)
    for name, ensemble in ensembles.items():
        where = f"objective {name!r}: proxies.compute"
        for note in check_applicable(ensemble, config.space.name, [*definitions], scores, where):
            warnings.warn(note, PredictionWarning, stacklevel=2)
    return ensembles


def with_predictions(record: TrialRecord, ensembles: "Mapping[str, Ensemble]") -> TrialRecord:
    """Return a record with the predictions, in percent, among its proxies."""
    if record.infeasible is not None or not ensembles:
        return record
    row = pd.DataFrame([{**record.proxies, "architecture": record.architecture}])
    proxies, failures = dict(record.proxies), dict(record.failures)
    for name, ensemble in ensembles.items():
        proxies[name] = float(ensemble.predict(row).iloc[0])
        if not math.isfinite(proxies[name]):
            lacking = [p for p in ensemble.proxies if not math.isfinite(record.proxies[p])]
            failures[name] = f"not finite: {', '.join(lacking)}"
    return replace(record, proxies=proxies, failures=failures)
