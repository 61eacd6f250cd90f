"""Architectures in the order an ensemble predicts, beside the order they really came in."""

from collections.abc import Mapping, Sequence

import pandas as pd

from zc_search.ensemble.baselines import aggregate
from zc_search.ensemble.compatibility import in_sample
from zc_search.ensemble.fitted import Ensemble
from zc_search.ensemble.tables import flags


def ranking(ensemble: Ensemble, table: pd.DataFrame, level: float = 0.9) -> pd.DataFrame:
    """Rank the distinct feasible architectures of a table by predicted accuracy.

    Args:
        ensemble: Predicts.
        table: Trials or scores; of rows with one ``architecture`` the first counts.
        level: See `Ensemble.predict_interval`.

    Returns:
        Best predicted first, on the table's index: ``architecture`` where known; ``prediction``,
        ``low``, ``high`` in percent; the ensemble's target in percent where known;
        ``predicted_rank`` and, with a target, ``true_rank`` among these rows, 1 the best, tied
        ones sharing the smaller number, missing where there is nothing to rank by; and
        ``in_sample``, where it is known which architectures were fitted to.

    Raises:
        EnsembleError: As for `Ensemble.predict_interval`.
    """
    table = table[flags(table, "feasible", default=True)]
    if "architecture" in table:
        table = table.drop_duplicates("architecture")
    columns = [table[["architecture"]]] if "architecture" in table else []
    columns.append(ensemble.predict_interval(table, level))
    if ensemble.target in table:
        columns.append(table[[ensemble.target]])
    ranked = pd.concat(columns, axis=1)
    ranked["predicted_rank"] = _ranks(ensemble.score(table))
    if ensemble.target in table:
        ranked["true_rank"] = _ranks(ranked[ensemble.target])
    if "architecture" in table and (seen := in_sample(ensemble, table)) is not None:
        ranked["in_sample"] = seen
    return ranked.sort_values("predicted_rank", kind="stable", na_position="last")


def transfer_ranking(ensemble: Ensemble, table: pd.DataFrame) -> pd.DataFrame:
    """Rank the distinct feasible architectures of a table by an ensemble of another data set.

    Args:
        ensemble: Predicts accuracies on its own data set.
        table: Trials or scores; of rows with one ``architecture`` the first counts.

    Returns:
        Best first, on the table's index: ``architecture`` where known, ``transferred``, the score
        in percent of the other data set, and ``predicted_rank``, missing without a score.

    Raises:
        EnsembleError: As for `Ensemble.score`.
    """
    table = table[flags(table, "feasible", default=True)]
    if "architecture" in table:
        table = table.drop_duplicates("architecture")
    ranked = table[["architecture"]].copy() if "architecture" in table else table[[]].copy()
    ranked["transferred"] = ensemble.score(table)
    ranked["predicted_rank"] = _ranks(ranked["transferred"])
    return ranked.sort_values("predicted_rank", kind="stable", na_position="last")


def aggregate_ranking(
    table: pd.DataFrame, proxies: Sequence[str], directions: Mapping[str, str] | None = None
) -> pd.DataFrame:
    """Rank the distinct feasible architectures of a table without any accuracy; see `aggregate`.

    Args:
        table: Trials or scores; of rows with one ``architecture`` the first counts.
        proxies: Columns to combine.
        directions: See `aggregate`.

    Returns:
        Best first, on the table's index: ``architecture`` where known, ``aggregate``, which is no
        percentage, and ``predicted_rank``.

    Raises:
        EnsembleError: As for `aggregate`.
    """
    table = table[flags(table, "feasible", default=True)]
    if "architecture" in table:
        table = table.drop_duplicates("architecture")
    ranked = table[["architecture"]].copy() if "architecture" in table else table[[]].copy()
    ranked["aggregate"] = aggregate(table, proxies, directions)
    ranked["predicted_rank"] = _ranks(ranked["aggregate"])
    return ranked.sort_values("predicted_rank", kind="stable")


def _ranks(values: pd.Series) -> pd.Series:
    return values.rank(ascending=False, method="min").astype("Int64")
