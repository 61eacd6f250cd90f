"""What the ensemble says of architectures that it was not fitted to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from zc_search import ensemble as ensembles
from zc_search.errors import EnsembleError, ReportError

if TYPE_CHECKING:
    from zc_search.study.record import SearchResult


def held_out_predictions(result: SearchResult) -> pd.DataFrame:
    """Predict every function with a true accuracy by a fit that has not seen it.

    What the ensemble was fitted to was predicted in its cross-validation, everything else is by
    the ensemble itself; see `zc_search.ensemble.held_out_predictions`.

    Args:
        result: Of a search with an ensemble.

    Returns:
        One row a function: ``number, architecture, function_key, true, predicted, low, high`` in
        percent, and ``how``, ``cross-validated`` or ``not fitted to``; on the index of the trials.

    Raises:
        ReportError: There is no ensemble, or nothing that could be held out.
    """
    if result.ensemble is None:
        raise ReportError("there is no ensemble")
    try:
        return ensembles.held_out_predictions(result.ensemble, result.trials)
    except EnsembleError as error:
        raise ReportError(f"no architecture can be held out: {error}") from error
