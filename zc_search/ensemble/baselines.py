"""Order without an accuracy, and what else an ensemble has to beat: its best proxy, the cost."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from zc_search.ensemble.spec import EnsembleSpec, check_directions
from zc_search.ensemble.tables import Floats, numbers, require
from zc_search.errors import EnsembleError
from zc_search.evaluation import BASELINES, kendall_tau
from zc_search.proxies.catalogue import Direction
from zc_search.spaces.nasbench201.structure import FLOW_FEATURES, flow_features

DEFAULT_AGGREGATE: dict[str, Direction] = {
    "meco": "maximize",
    "meco_opt": "maximize",
    "jacov": "maximize",
    "gradsign": "maximize",
    "reg_swap": "maximize",
    "az_progressivity": "maximize",
    "az_trainability": "maximize",
    "layers": "maximize",
    "stage pools": "minimize",
}
"""What to aggregate where nothing else is asked for.

Chosen one after another for how well they order 246 cells of NAS-Bench-201 by their accuracy on
CIFAR-10; other cells and data sets had no say.
"""

RECOMMENDED_PROXIES = tuple(proxy for proxy in DEFAULT_AGGREGATE if proxy not in FLOW_FEATURES)
"""Proxies worth scoring for an aggregate or an ensemble: what `DEFAULT_AGGREGATE` reads."""

AZ_NAS = ("az_expressivity", "az_progressivity", "az_trainability", "az_complexity")
"""The four parts that AZ-NAS aggregates."""


def aggregate(
    table: pd.DataFrame,
    proxies: Sequence[str] = tuple(DEFAULT_AGGREGATE),
    directions: Mapping[str, str] | None = None,
) -> pd.Series:
    """Rank architectures by several proxies at once, without any accuracy.

    ``mean over proxies of log(rank / m)`` among the m rows of the table, the best rank being m
    (Lee and Ham 2024, AZ-NAS, non-linear ranking aggregation; a sum there). The logarithm punishes
    a low rank in one proxy more than it rewards a high one in another.

    Args:
        table: The population; the score of a row depends on all of them.
        proxies: Columns to combine; tied values share their mean rank, and what is not finite has
            the worst rank. A structural feature that is no column is computed from the column
            ``architecture``; see `flow_features`.
        directions: ``minimize`` for proxies where less should mean more accuracy; for those not
            named `DEFAULT_AGGREGATE` has it, or more is better.

    Returns:
        Scores on the table's index, at most 0; higher is better.

    Raises:
        EnsembleError: No proxy, a missing column or an unknown direction.
        ArchitectureError: A text that is no architecture string.
    """
    if not proxies:
        raise EnsembleError("an aggregate needs at least one proxy, got none")
    directions = DEFAULT_AGGREGATE | check_directions(directions)
    total = np.zeros(len(table))
    for proxy in proxies:
        if proxy in FLOW_FEATURES and proxy not in table:
            require(table, ["architecture"])
            values = flow_features(table["architecture"])[proxy].to_numpy()
        else:
            values = numbers(table, proxy)
        ranks = np.ones(len(table))
        known = np.isfinite(values)
        sign = -1.0 if directions.get(proxy) == "minimize" else 1.0
        ranks[known] = rankdata(sign * values[known]) + np.count_nonzero(~known)
        total += np.log(ranks / len(table))
    return pd.Series(total / len(proxies), index=table.index, name="aggregate")


def best_single_proxy(rows: pd.DataFrame, proxies: Sequence[str], target: str) -> tuple[str, float]:
    """Return the proxy whose Kendall's tau with the target is largest, and that tau's sign.

    Both are read off `rows`, so that on other rows the proxy is judged held out. A proxy that is
    constant over the rows is passed over.
    """
    accuracies = numbers(rows, target)
    taus = {proxy: kendall_tau(numbers(rows, proxy), accuracies) for proxy in proxies}
    best = max(proxies, key=lambda proxy: abs(taus[proxy]) if np.isfinite(taus[proxy]) else -1.0)
    return best, -1.0 if taus[best] < 0 else 1.0


def baselines(
    rows: pd.DataFrame, judged: pd.DataFrame, population: pd.DataFrame, spec: EnsembleSpec
) -> dict[str, Floats]:
    """Return the scores of rows to be judged by what stands beside an ensemble fitted to `rows`.

    The rows choose the best single proxy; the aggregate ranks among the population, which holds
    those to be judged, on a unique index.
    """
    proxy, sign = best_single_proxy(rows, spec.proxies, spec.target)
    ranks = aggregate(population, spec.proxies, spec.directions)
    return {
        "best single proxy": sign * numbers(judged, proxy),
        "aggregate": ranks.loc[judged.index].to_numpy(),
        **{cost: numbers(judged, cost) for cost in BASELINES if cost in population},
    }
