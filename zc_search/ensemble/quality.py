"""How well predictors ranked architectures that they were not fitted to."""

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from pydantic import BaseModel

from zc_search.ensemble.scales import RECORD, Floats
from zc_search.evaluation import bootstrap_interval, kendall_tau, spearman, top_k_regret

METRICS = ("kendall_tau", "spearman", "top_k_regret")

RANGES = {"kendall_tau": (-1.0, 1.0), "spearman": (-1.0, 1.0), "top_k_regret": (0.0, np.inf)}
"""Least and largest value of each figure."""

LEVEL = 0.9
"""Share of cases that an interval of a figure is to hold."""


class HeldOut(BaseModel):
    """How one predictor ranked architectures that it was not fitted to.

    Attributes:
        predictor: ``ensemble``, ``best single proxy``, ``aggregate``, ``params`` or ``flops``.
        judged: On what, in words; always held out.
        rows: Distinct architectures that took part.
        kendall_tau: None where it is undefined.
        kendall_tau_low: Lower end of its 90% interval.
        kendall_tau_high: Upper end of its 90% interval.
        spearman: None where it is undefined.
        spearman_low: Lower end of its 90% interval.
        spearman_high: Upper end of its 90% interval.
        top_k: How many of the first ranked are looked at for the regret.
        top_k_regret: The best accuracy less the best among the first `top_k`, in percent.
        top_k_regret_low: Lower end of its 90% interval.
        top_k_regret_high: Upper end of its 90% interval.
    """

    model_config = RECORD

    predictor: str
    judged: str
    rows: int
    kendall_tau: float | None = None
    kendall_tau_low: float | None = None
    kendall_tau_high: float | None = None
    spearman: float | None = None
    spearman_low: float | None = None
    spearman_high: float | None = None
    top_k: int | None = None
    top_k_regret: float | None = None
    top_k_regret_low: float | None = None
    top_k_regret_high: float | None = None


def quality_table(records: Iterable[HeldOut]) -> pd.DataFrame:
    """Return records as a table, one row each, in their order."""
    rows = [record.model_dump() for record in records]
    return pd.DataFrame(rows, columns=list(HeldOut.model_fields))


def judge_scores(
    scores: Mapping[str, Floats],
    true: Floats,
    judged: str,
    *,
    top_k: int = 10,
    n_bootstrap: int = 200,
    seed: int = 0,
) -> tuple[HeldOut, ...]:
    """Judge scores of architectures whose accuracies nobody was fitted to.

    The intervals are those of the percentile bootstrap over the judged architectures: how the
    figure would move with another sample of them, the fit staying what it is.

    Args:
        scores: By predictor, one for each architecture, higher meaning more accuracy.
        true: The accuracies, in percent.
        judged: On what, in words.
        top_k: How many of the first ranked are looked at for the regret.
        n_bootstrap: Resamples.
        seed: Of the resamples.

    Returns:
        One record for each predictor, in their order; figures that are undefined are None.
    """

    def regret(x: Floats, y: Floats) -> float:
        return top_k_regret(x, y, top_k)

    records = []
    for predictor, score in scores.items():
        figures: dict[str, float] = {}
        for name, figure in zip(METRICS, (kendall_tau, spearman, regret), strict=True):
            interval = bootstrap_interval(figure, score, true, n_bootstrap, LEVEL, seed)
            values = {name: figure(score, true)}
            values |= {f"{name}_low": interval.low, f"{name}_high": interval.high}
            figures |= {key: float(value) for key, value in values.items() if np.isfinite(value)}
        known: dict[str, object] = {"top_k": top_k} if "top_k_regret" in figures else {}
        head = {"predictor": predictor, "judged": judged, "rows": len(true)}
        records.append(HeldOut.model_validate({**head, **figures, **known}))
    return tuple(records)
