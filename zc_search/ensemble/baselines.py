"""What an ensemble has to beat: its own best proxy, the cost, and ranks averaged blindly."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from zc_search.ensemble.scales import Floats
from zc_search.ensemble.tables import numbers, require
from zc_search.errors import EnsembleError, unknown_name
from zc_search.evaluation import kendall_tau
from zc_search.proxies.catalogue import Direction
from zc_search.spaces.nasbench201.structure import FLOW_FEATURES, flow_features

Scorer = Callable[[pd.DataFrame], Floats]
"""From rows of a table to a score for each, higher meaning more accuracy."""

COSTS = ("params", "flops")

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


def check_directions(directions: Mapping[str, str] | None) -> dict[str, str]:
    """Return a copy of `directions`.

    Raises:
        EnsembleError: A direction is neither ``maximize`` nor ``minimize``.
    """
    for proxy, direction in (directions or {}).items():
        if direction not in ("maximize", "minimize"):
            raise EnsembleError(
                f"{proxy}: {unknown_name('direction', direction, ('maximize', 'minimize'))}"
            )
    return dict(directions or {})


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
            the worst rank. A feature of the flow that is no column is computed from the column
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


def az_nas(table: pd.DataFrame) -> pd.Series:
    """Rank architectures by the four parts of AZ-NAS (Lee and Ham 2024).

    Args:
        table: The population, with the columns `AZ_NAS`.

    Returns:
        As for `aggregate`, which it is of the four: the paper's sum, divided by four.

    Raises:
        EnsembleError: A part is missing.
    """
    return aggregate(table, AZ_NAS).rename("az_nas")


def best_single_proxy(rows: pd.DataFrame, proxies: Sequence[str], target: str) -> tuple[str, float]:
    """Return the proxy whose Kendall's tau with the target is largest, and that tau's sign.

    Both are read off `rows`, so that on other rows the proxy is judged held out. A proxy that is
    constant over the rows is passed over.

    Returns:
        Name and sign: 1.0 where more of it meant more accuracy, else -1.0.
    """
    accuracies = numbers(rows, target)
    taus = {proxy: kendall_tau(numbers(rows, proxy), accuracies) for proxy in proxies}
    best = max(proxies, key=lambda proxy: abs(taus[proxy]) if np.isfinite(taus[proxy]) else -1.0)
    return best, -1.0 if taus[best] < 0 else 1.0


def baselines(
    rows: pd.DataFrame,
    population: pd.DataFrame,
    proxies: Sequence[str],
    target: str,
    directions: Mapping[str, str] | None,
) -> dict[str, Scorer]:
    """Return the scores to stand beside an ensemble fitted to `rows`, by name.

    Args:
        rows: What the ensemble is fitted to; chooses the best single proxy.
        population: Rows among which the aggregate ranks, those to be judged included; its index
            must be unique.
        proxies: Columns to use.
        target: Column with the accuracy, in percent.
        directions: See `aggregate`.
    """
    proxy, sign = best_single_proxy(rows, proxies, target)
    ranks = aggregate(population, proxies, directions)
    scorers: dict[str, Scorer] = {
        "best single proxy": lambda table: sign * numbers(table, proxy),
        "aggregate": lambda table: ranks.loc[table.index].to_numpy(),
    }
    for cost in COSTS:
        if cost in population:
            scorers[cost] = _column(cost)
    return scorers


def _column(name: str) -> Scorer:
    return lambda table: numbers(table, name)
