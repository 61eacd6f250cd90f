"""Architectures in the order predicted: by an ensemble, another data set's, or no accuracy."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from zc_search.benchmarks import open_benchmark
from zc_search.config import Config
from zc_search.ensemble.baselines import DEFAULT_AGGREGATE, RECOMMENDED_PROXIES, aggregate
from zc_search.ensemble.ensemble import Ensemble
from zc_search.ensemble.scores import (
    check_applicable,
    provenance_of,
    with_accuracies,
    with_values,
)
from zc_search.ensemble.tables import (
    Floats,
    feasible_architectures,
    finite,
    flags,
    numbers,
)
from zc_search.ensemble.validation import judge_scores, quality_table
from zc_search.errors import BenchmarkError
from zc_search.evaluation import BASELINES
from zc_search.proxies.catalogue import split_options
from zc_search.scoring.scores_file import Provenance, ScoresTable, same_dataset, settings_of
from zc_search.spaces import CellSpace


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
    table = feasible_architectures(table)
    ranked = pd.concat([_named(table), ensemble.predict_interval(table, level)], axis=1)
    if ensemble.target in table:
        ranked[ensemble.target] = table[ensemble.target]
    ranked["predicted_rank"] = _ranks(ensemble.score(table))
    if ensemble.target in table:
        ranked["true_rank"] = _ranks(ranked[ensemble.target])
    if "architecture" in table and (seen := ensemble.in_sample(table)) is not None:
        ranked["in_sample"] = seen
    return ranked.sort_values("predicted_rank", kind="stable", na_position="last")


def transfer_ranking(ensemble: Ensemble, table: pd.DataFrame) -> pd.DataFrame:
    """Rank as `ranking` does by an ensemble of another data set, whose percentages mean little."""
    table = feasible_architectures(table)
    return _by_score(table, "transferred", ensemble.score(table))


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
    table = feasible_architectures(table)
    return _by_score(table, "aggregate", aggregate(table, proxies, directions))


def _by_score(table: pd.DataFrame, name: str, score: pd.Series) -> pd.DataFrame:
    ranked = _named(table).assign(**{name: score}, predicted_rank=_ranks(score))
    return ranked.sort_values("predicted_rank", kind="stable", na_position="last")


class Applied(NamedTuple):
    """What an ensemble says of a table, with its quality on rows not fitted to where known."""

    ranking: pd.DataFrame
    quality: pd.DataFrame
    notes: list[str]


def apply_ensemble(ensemble: Ensemble, scores: ScoresTable, *, truth: bool = True) -> Applied:
    """Predict the accuracies of the architectures of a run or scores file.

    With `truth` beside true ones, where a benchmark knows them.
    """
    config = scores.config
    differences = check_applicable(
        ensemble, config.space.name, scores.proxies, scores.provenance, str(scores.path)
    )
    dataset, notes = _judged_on(ensemble, scores)
    notes += differences
    table = scores.table.drop(columns=ensemble.target, errors="ignore")
    if truth and config.benchmark.name != "none":
        try:
            benchmark = open_benchmark(config.benchmark.name, dataset, config.benchmark.path)
            table = with_accuracies(table, benchmark, ensemble.target)
        except (BenchmarkError, KeyError) as error:
            notes.append(f"True accuracies are not known: {error}")
    notes += _left_out(ensemble, table)
    quality = quality_table(())
    if ensemble.target in table:
        quality, more = _judge(ensemble, table, scores.directions)
        notes += more
    return Applied(ranking(ensemble, table), quality, notes)


def _judged_on(ensemble: Ensemble, scores: ScoresTable) -> tuple[str, list[str]]:
    """Return whose accuracies are the true ones, and what to know of a transfer.

    They are the scores' own, unless the ensemble was fitted to such scores and accuracies on
    another data set.
    """
    settings, notes = provenance_of(ensemble).settings, []
    if "space.name" not in settings:
        notes.append("The ensemble does not say to which search space it was fitted.")
    fitted, scored = ensemble.metadata.get("dataset"), settings.get("space.dataset")
    if not isinstance(fitted, str):
        notes.append("The ensemble does not say on which data set its accuracies were reached.")
        return scores.dataset, notes
    if same_dataset(fitted, scores.dataset):
        return scores.dataset, notes
    if isinstance(scored, str) and same_dataset(scored, scores.dataset):
        notes.append(
            f"As in the fit, scores are computed for {scores.dataset} and accuracies are those on "
            f"{fitted}, predicted ones and true ones."
        )
        return fitted, notes
    notes.append(
        f"A transfer: fitted to accuracies on {fitted}, applied to scores computed for "
        f"{scores.dataset}. The order may carry over; predicted percentages and their intervals "
        f"are those of {fitted}."
    )
    return scores.dataset, notes


def _left_out(ensemble: Ensemble, table: pd.DataFrame) -> list[str]:
    notes = []
    rows = table[flags(table, "feasible", default=True)]
    if dead := len(table) - len(rows):
        notes.append(f"{dead} of {len(table)} rows are infeasible and not ranked.")
    if broken := [proxy for proxy in ensemble.proxies if not finite(rows, [proxy]).all()]:
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
    table = feasible_architectures(table[finite(table, ensemble.proxies)]).reset_index(drop=True)
    if (seen := ensemble.in_sample(table)) is None:
        why = "The ensemble does not say which architectures it was fitted to, so there is no "
        return quality_table(()), [why + "figure of how well it ranks others."]
    rest = table[~seen & finite(table, [ensemble.target])]
    if len(rest) < 3:
        few = f"{len(rest)} of the architectures with an accuracy were not fitted to, too few to "
        return quality_table(()), [few + "judge the ranking by."]
    scores: dict[str, Floats] = {"ensemble": ensemble.score(rest).to_numpy()}
    if (single := ensemble.best_proxy) is not None and single.proxy in rest:
        scores["best single proxy"] = single.sign * numbers(rest, single.proxy)
    scores["aggregate"] = aggregate(table, ensemble.proxies, directions)[rest.index].to_numpy()
    scores |= {cost: numbers(rest, cost) for cost in BASELINES if cost in rest}
    judged = f"not fitted to: {len(rest):,} architectures"
    return quality_table(judge_scores(scores, numbers(rest, ensemble.target), judged)), []


def load_transferred(config: Config, definitions: Mapping[str, str]) -> Ensemble | None:
    """Load the ensemble of another data set that a search ranks by; None if it names none."""
    if config.ensemble.from_ is None:
        return None
    ensemble = Ensemble.load(config.ensemble.from_)
    scores = Provenance(config.study.name, settings_of(config), definitions)
    where = f"ensemble.from = {config.ensemble.from_!r}: proxies.compute"
    check_applicable(ensemble, config.space.name, list(definitions), scores, where)
    return ensemble


def rank_without_accuracies(scores: ScoresTable) -> tuple[pd.DataFrame, list[str]]:
    """Rank the feasible architectures of a search that looked no accuracy up.

    By ``ensemble.from`` of its settings if there is one, else by the aggregate of `aggregated`;
    empty where nothing is feasible. With a sentence for each thing to know.
    """
    config, trials = scores.config, scores.table
    notes = ["No benchmark, so no accuracy to fit an ensemble to."]
    if trials.empty or not flags(trials, "feasible", default=True).any():
        return pd.DataFrame(), [*notes, nothing_feasible(trials)]
    ensemble = load_transferred(config, scores.definitions or {})
    if ensemble is not None:
        ranked = transfer_ranking(ensemble, trials)
        fitted = ensemble.metadata.get("dataset", "another data set")
        notes.append(
            f"ranking.csv is a transfer: by {config.ensemble.from_}, fitted to accuracies on "
            f"{fitted}. The order may carry over to {config.dataset}; its percentages do not, and "
            f"nothing here was checked on {config.dataset}. First is "
            f"{ranked['architecture'].iloc[0]}."
        )
        differences = provenance_of(ensemble).differences(scores.provenance, ensemble.proxies)
        return ranked, notes + differences
    proxies, without = with_values(aggregated(config, scores.proxies), trials, "aggregate")
    notes += without
    if not proxies:
        return pd.DataFrame(), notes
    ranked = aggregate_ranking(trials, proxies, scores.directions)
    notes.append(
        "ranking.csv is by the accuracy-free aggregate, the mean of the logarithms of the "
        f"ranks in {', '.join(proxies)}; it is no percentage. First is "
        f"{ranked['architecture'].iloc[0]}."
    )
    return ranked, notes


def aggregated(config: Config, computed: Sequence[str]) -> tuple[str, ...]:
    """Return what the aggregate of a search is made of.

    That is ``ensemble.proxies``, by default `DEFAULT_AGGREGATE` where all of it is computed, else
    all proxies but latencies, which are no promise of accuracy; parameters and FLOPs are the
    field's baseline.
    """
    if config.ensemble.proxies is not None:
        return config.ensemble.proxies
    if set(RECOMMENDED_PROXIES) <= set(computed) and config.space.name == CellSpace.name:
        return tuple(DEFAULT_AGGREGATE)
    return tuple(name for name in computed if split_options(name)[0] != "latency")


def nothing_feasible(trials: pd.DataFrame) -> str:
    """Say that no architecture can be ranked, with the first reason."""
    reasons = trials["reason"].dropna() if "reason" in trials else pd.Series(dtype="string")
    why = f"; the first one: {reasons.iloc[0]}" if len(reasons) else ""
    return f"None of the {len(trials):,} trials is feasible, so nothing is ranked{why}."


def _named(table: pd.DataFrame) -> pd.DataFrame:
    return table[[name for name in ("architecture",) if name in table]].copy()


def _ranks(values: pd.Series) -> pd.Series:
    return values.rank(ascending=False, method="min").astype("Int64")
