"""An ensemble applied to another table of scores, and what has to be said about that."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from zc_search.benchmarks import open_benchmark
from zc_search.ensemble.accuracies import with_accuracies
from zc_search.ensemble.baselines import COSTS, aggregate
from zc_search.ensemble.compatibility import (
    check_definitions,
    check_proxies,
    check_space,
    in_sample,
    scores_of,
    setting_differences,
)
from zc_search.ensemble.fitted import Ensemble
from zc_search.ensemble.quality import judge_scores, quality_table
from zc_search.ensemble.ranking import ranking
from zc_search.ensemble.scales import Floats
from zc_search.ensemble.sources import Source, same_dataset
from zc_search.ensemble.tables import finite, flags, numbers
from zc_search.errors import BenchmarkError


class Applied(NamedTuple):
    """What an ensemble says of a table.

    Attributes:
        ranking: See `ranking`.
        quality: As `Ensemble.quality`, of the rows not fitted to; empty where accuracies are not
            known, or not which rows were fitted to.
        notes: A sentence for each thing a user should know.
    """

    ranking: pd.DataFrame
    quality: pd.DataFrame
    notes: list[str]


def apply_ensemble(
    ensemble: Ensemble, source: Source, *, truth: bool = True, level: float = 0.9
) -> Applied:
    """Predict the accuracies of a source's architectures.

    Args:
        ensemble: Predicts.
        source: Scores.
        truth: Whether to look up true accuracies too, where a benchmark knows them.
        level: See `Ensemble.predict_interval`.

    Raises:
        EnsembleError: A proxy is missing or has another definition than in the fit, or the
            search space has no cells, of which the ensemble has features.
    """
    check_space(ensemble, source.config.space.name, str(source.path))
    check_proxies(ensemble, source.proxies, str(source.path))
    notes = check_definitions(ensemble, source.definitions)
    notes += _transfer(ensemble, source)
    notes += setting_differences(ensemble, source.settings, source.path.name)
    table = source.table.drop(columns=ensemble.target, errors="ignore")
    if truth and source.config.benchmark.name != "none":
        config = source.config.benchmark
        try:
            benchmark = open_benchmark(config.name, _judged_on(ensemble, source), config.path)
            table = with_accuracies(table, benchmark, ensemble.target)
        except (BenchmarkError, KeyError) as error:
            notes.append(f"True accuracies are not known: {error}")
    ranked = ranking(ensemble, table, level)
    notes += _left_out(ensemble, table)
    quality = quality_table(())
    if ensemble.target in table:
        quality, more = _judge(ensemble, table, source.directions)
        notes += more
    return Applied(ranked, quality, notes)


def _judged_on(ensemble: Ensemble, source: Source) -> str:
    """Return whose accuracies are the true ones.

    They are the scores' own, unless the ensemble was fitted to such scores and accuracies on
    another data set.
    """
    fitted = ensemble.metadata.get("dataset")
    scored = scores_of(ensemble).get("space.dataset")
    if not isinstance(fitted, str) or not isinstance(scored, str):
        return source.dataset
    as_fitted = same_dataset(scored, source.dataset) and not same_dataset(fitted, scored)
    return fitted if as_fitted else source.dataset


def _transfer(ensemble: Ensemble, source: Source) -> list[str]:
    notes = []
    if "space.name" not in scores_of(ensemble):
        notes.append("The ensemble does not say to which search space it was fitted.")
    fitted = ensemble.metadata.get("dataset")
    if not isinstance(fitted, str):
        return [
            *notes,
            "The ensemble does not say on which data set its accuracies were reached.",
        ]
    if same_dataset(fitted, source.dataset):
        return notes
    if same_dataset(fitted, _judged_on(ensemble, source)):
        return [
            *notes,
            f"As in the fit, scores are computed for {source.dataset} and accuracies are those on "
            f"{fitted}, predicted ones and true ones.",
        ]
    return [
        *notes,
        f"A transfer: fitted to accuracies on {fitted}, applied to scores computed for "
        f"{source.dataset}. The order may carry over; predicted percentages and their intervals "
        f"are those of {fitted}.",
    ]


def _left_out(ensemble: Ensemble, table: pd.DataFrame) -> list[str]:
    feasible = flags(table, "feasible", default=True)
    notes = []
    if not feasible.all():
        notes.append(
            f"{np.count_nonzero(~feasible)} of {len(table)} rows are infeasible and not ranked."
        )
    rows = table[feasible]
    broken = [proxy for proxy in ensemble.proxies if not finite(rows, [proxy]).all()]
    if broken:
        count = np.count_nonzero(~finite(rows, ensemble.proxies))
        notes.append(
            f"{count} of {len(rows)} rows have no prediction and stand last: "
            f"{', '.join(broken)} is not finite there."
        )
    return notes


def _judge(
    ensemble: Ensemble, table: pd.DataFrame, directions: Mapping[str, str]
) -> tuple[pd.DataFrame, list[str]]:
    """Judge predictions of distinct architectures that compute no function fitted to."""
    table = table[flags(table, "feasible", default=True) & finite(table, ensemble.proxies)]
    table = table.drop_duplicates("architecture").reset_index(drop=True)
    seen = in_sample(ensemble, table)
    if seen is None:
        return quality_table(()), [
            "The ensemble does not say which architectures it was fitted to, so there is no "
            "figure of how well it ranks others."
        ]
    rest = table[~seen & finite(table, [ensemble.target])]
    if len(rest) < 3:
        return quality_table(()), [
            f"{len(rest)} of the architectures with an accuracy were not fitted to, too few to "
            "judge the ranking by."
        ]
    scores: dict[str, Floats] = {"ensemble": ensemble.score(rest).to_numpy()}
    if (single := ensemble.best_proxy) is not None and single.proxy in rest:
        scores["best single proxy"] = single.sign * numbers(rest, single.proxy)
    scores["aggregate"] = aggregate(table, ensemble.proxies, directions)[rest.index].to_numpy()
    scores |= {cost: numbers(rest, cost) for cost in COSTS if cost in rest}
    judged = f"not fitted to: {len(rest):,} architectures"
    return quality_table(judge_scores(scores, numbers(rest, ensemble.target), judged)), []
