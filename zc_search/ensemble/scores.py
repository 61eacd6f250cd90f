"""Ensembles of scores: whose accuracies, what is kept of both, what is ranked by them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import tomlkit

from zc_search._utils.text import VERSION
from zc_search.benchmarks.accuracy_table import AccuracyTable
from zc_search.benchmarks.base import Benchmark
from zc_search.benchmarks.catalogue import open_table
from zc_search.config import Config, config_to_toml, load_config, parse_config, with_benchmark
from zc_search.ensemble import tables
from zc_search.ensemble.ensemble import Ensemble, ranking
from zc_search.ensemble.features import default_aggregate
from zc_search.ensemble.fit import fit_ensemble, judge_unseen
from zc_search.ensemble.tables import EnsembleSpec, function_keys
from zc_search.ensemble.validation import (
    RECOMMENDED_PROXIES,
    HeldOut,
    aggregate_ranking,
    by_score,
    quality_table,
)
from zc_search.errors import BenchmarkError, EnsembleError, nearest
from zc_search.images.datasets import DATASETS
from zc_search.proxies.catalogue import split_options
from zc_search.scoring.scores_file import (
    COMPARED,
    Provenance,
    ScoresTable,
    same_dataset,
    settings_of,
)
from zc_search.spaces import CellSpace

ORDINARY = {"model": "linear", "features": "rank", "fit_on": "pareto"}
"""What is fitted in every search beside what its settings ask for: see `fit_trials`."""


def fit_scores(
    scores: ScoresTable,
    spec: EnsembleSpec,
    accuracies: Mapping[str, Any],
    judge_on: pd.DataFrame | None = None,
    judge_on_name: str = "",
) -> Ensemble:
    """Fit an ensemble to scores with accuracies, in the scores' directions; record what both are.

    What to remember of the accuracies is that of `about_accuracies`; see `fit_ensemble`.
    """
    recorded = ("space.name", "space.dataset", *COMPARED, "data.fingerprint")
    settings = {key: scores.settings.get(key) for key in recorded}
    metadata = {
        **accuracies,
        "scores": {"name": scores.path.resolve().name, **settings},
        "definitions": scores.definitions,
        "zc_search": VERSION,
    }
    directed = replace(spec, directions=scores.directions)
    return fit_ensemble(
        scores.table, directed, metadata=metadata, judge_on=judge_on, judge_on_name=judge_on_name
    )


def fit_trials(
    trials: ScoresTable, benchmark: Benchmark, *, pareto: bool = False
) -> tuple[Ensemble | None, list[str]]:
    """Fit the ensemble of a search to its trials, whose accuracies are in the table.

    With `pareto` the `ORDINARY` one of the front instead, judged on the trials beside it too. None
    where the trials do not allow one; and what there is to know of it.
    """
    config, table = trials.config, trials.table
    proxies, notes = with_values(config.ensemble.proxies or trials.proxies, table, "ensemble")
    if config.benchmark.metric not in table:
        return None, [*notes, f"No ensemble: no trial has a {config.benchmark.metric}"]
    try:
        spec = spec_from(config, proxies, **(ORDINARY if pareto else {}))
        rows, fit_on, _ = tables.select_rows(table, spec)
        if pareto and fit_on != "pareto":  # too few are on it
            return None, notes
        others = tables.distinct(table) if fit_on == "pareto" else None
        about, name = about_accuracies(benchmark, rows), f"{trials.path.name}, beside its front"
        ensemble = fit_scores(trials, spec, about, others, name)
    except EnsembleError as error:
        return None, [*notes, f"No ensemble: {error}"]
    return ensemble, [*notes, *ensemble.notes]


def fit_request(
    scores: ScoresTable,
    config: Config,
    proxies: tuple[str, ...] | None = None,
    accuracies: int | None = None,
    seed: int = 0,
    dataset: str | None = None,
    judge_on: str | Path | None = None,
) -> Ensemble:
    """Fit an ensemble to a scores file or a run and the accuracies of a benchmark.

    Only so many `accuracies` are looked at, drawn at random with `seed`, by default all; they are
    those on `dataset`, by default the one scored for. Beside cross-validation it is judged on those
    not drawn, the trials beside the front, or those of the scores file or run `judge_on`.
    """
    chosen = chosen_proxies(scores, proxies or config.ensemble.proxies)
    spec = spec_from(config, chosen)
    benchmark = open_accuracies(scores, config, dataset)
    table = known = with_accuracies(scores.table, benchmark, spec.target)
    judges, name = scores, f"{scores.path.name}, beside its front"
    drawn: dict[str, Any] = {}
    if accuracies is not None:
        table = hide_all_but(known, chosen, spec.target, accuracies, seed)
        spec = replace(spec, fit_on="all")
        drawn = {"accuracies_drawn": {"number": accuracies, "seed": seed}}
        name = f"{scores.path.name}, whose accuracies were not looked at"
    rows, fitted_on, _ = tables.select_rows(table, spec)
    judged = judge_on is not None or bool(drawn) or fitted_on == "pareto"
    if judge_on is not None:
        judges = ScoresTable.read(judge_on, dataset or scores.dataset)
        chosen_proxies(judges, chosen)
        known, name = with_accuracies(judges.table, benchmark, spec.target), judges.path.name
    known = tables.distinct(known) if judges.is_run else known
    about = {**about_accuracies(benchmark, rows), **drawn}
    ensemble = fit_scores(
        replace(scores, table=table), spec, about, known if judged else None, name
    )
    notes = [*ensemble.notes, *cautions(scores, benchmark)]
    if judges is not scores:
        if not same_dataset(judges.dataset, benchmark.dataset):
            where = f"Judged on scores computed for {judges.dataset}"
            notes.append(f"{where}, by accuracies on {benchmark.dataset}.")
        notes += provenance_of(ensemble).differences(judges.provenance, ensemble.proxies)
    return ensemble.model_copy(update={"notes": notes})


def settings_for(
    scores: ScoresTable, config_file: str | Path | None = None, overrides: tuple[str, ...] = ()
) -> Config:
    """Return the settings of an ensemble: of a search file, else of the run, else the defaults."""
    if config_file is not None:
        return load_config(config_file, overrides)
    settings: dict[str, Any] = tomlkit.parse(config_to_toml(scores.config)).unwrap()
    if not scores.is_run:
        settings.pop("ensemble", None)
    return parse_config(settings, overrides, source=f"settings of {scores.path}")


def spec_from(config: Config, proxies: Sequence[str], **changes: Any) -> EnsembleSpec:
    """Return what the section ``ensemble`` asks for; directions come with the scores."""
    asked = config.ensemble.model_dump() | changes
    same = {key: asked[key] for key in ("model", "fit_on", "folds", "repeats", "seed")}
    return EnsembleSpec(
        tuple(proxies), target=config.benchmark.metric, feature_set=asked["features"], **same
    )


def chosen_proxies(scores: ScoresTable, names: tuple[str, ...] | None) -> tuple[str, ...]:
    """Return the proxies to use, by default all that the scores have."""
    for name in names or ():
        if name not in scores.proxies:
            raise EnsembleError.unknown("proxy", name, scores.proxies, key=str(scores.path))
    return names or scores.proxies


def with_values(
    proxies: Sequence[str], trials: pd.DataFrame, what: str
) -> tuple[tuple[str, ...], list[str]]:
    """Return the proxies that have a value anywhere, and a sentence for each other one."""
    empty = [name for name in proxies if name in trials and not np.isfinite(trials[name]).any()]
    notes = [f"The {what} is without {name}, which has no value at all." for name in empty]
    return tuple(name for name in proxies if name not in empty), notes


def open_accuracies(scores: ScoresTable, config: Config, dataset: str | None = None) -> Benchmark:
    """Open the benchmark of accuracies, by default those on the data set scored for."""
    dataset, chosen = dataset or scores.dataset, config.benchmark
    if chosen.name == "none":
        known = scores.config.space.name == CellSpace.name and dataset in DATASETS
        message = f"{scores.path} has no accuracies: benchmark.name = 'none'. Without any, rank by "
        message += "the accuracy-free aggregate"
        more = "; --set benchmark.name=nasbench201 looks accuracies up" if known else ""
        raise EnsembleError(message + more, key="benchmark.name", given="none")
    benchmark = look_up_for(scores, config, dataset)
    benchmark.require((chosen.metric,))  # says where it is to be had, if not here
    accuracies = [name for name, way in benchmark.directions.items() if way == "maximize"]
    if chosen.metric not in accuracies:
        raise EnsembleError.unknown("accuracy", chosen.metric, accuracies, key="benchmark.metric")
    return benchmark


def look_up_for(scores: ScoresTable, config: Config, dataset: str) -> Benchmark:
    """Open the benchmark of settings; of accuracies made in a run, those that its trials have."""
    if not config.benchmark.measured:
        return open_table(config, dataset)
    if scores.is_run and scores.config.benchmark == config.benchmark:
        return AccuracyTable.of_trials(config, scores.table)
    name, hint = config.benchmark.name, "accuracies.csv"
    message = f"benchmark.name = {name!r} makes accuracies while a search runs, and {scores.path} "
    message += f"has none; name a table of them, such as a run's {hint}"
    raise EnsembleError(message, key="benchmark.name", given=name, hint=hint)


def with_accuracies(table: pd.DataFrame, benchmark: Benchmark, metric: str) -> pd.DataFrame:
    """Return a table with a column of accuracies, in percent, means of all training seeds."""
    values = benchmark.of(table["architecture"], metric)
    if len(values) and not np.isfinite(values).any():
        none = f"none of the architectures, such as {table['architecture'].iloc[0]!r}"
        raise EnsembleError(f"the benchmark {benchmark.name} knows {none}")
    return table.assign(**{metric: values})


def about_accuracies(benchmark: Benchmark, rows: pd.DataFrame) -> dict[str, Any]:
    """Describe the accuracies of some rows: data set, split, epochs and training seeds."""
    results = [benchmark.query(cell) for cell in rows["architecture"]]
    seeds = [result.seeds for result in results]
    return {
        "dataset": benchmark.dataset,
        "accuracies": benchmark.provenance,
        "split": results[0].split,
        "epochs": results[0].epochs,
        "training_seeds": {"least": min(seeds), "most": max(seeds)},
    }


def hide_all_but(
    table: pd.DataFrame, proxies: Sequence[str], target: str, count: int, seed: int
) -> pd.DataFrame:
    """Return a table in which only `count` functions, drawn at random, have an accuracy.

    A smaller draw of one seed is the beginning of a larger one, and the first of `learning_curve`.
    """
    usable = tables.flags(table, "feasible", default=True)
    positions = np.flatnonzero(usable & tables.finite(table, [target, *proxies]))
    keys = function_keys(table)[positions]
    check_draw("accuracies", count, keys)
    drawn = positions[draw_rows(keys, count, [seed, 0])]
    return table.assign(**{target: table[target].where(np.isin(np.arange(len(table)), drawn))})


def check_draw(key: str, size: int, functions: npt.NDArray[Any]) -> None:
    """Refuse a number of accuracies that is no fit, or that leaves nothing to judge."""
    count = len(np.unique(functions))
    if not 2 <= size < count:
        why = f"one at least of the {count} usable functions must be left to judge"
        message = f"{key}: {size} is given; allowed are 2 to {count - 1}, because {why}"
        raise EnsembleError(message, key=key, given=size)


def draw_rows(keys: npt.NDArray[Any], size: int, seed: list[int]) -> npt.NDArray[np.intp]:
    """Return positions of the first `size` distinct keys in a random order of all rows."""
    order = np.random.default_rng(seed).permutation(len(keys))
    _, first = np.unique(keys[order], return_index=True)
    drawn: npt.NDArray[np.intp] = order[np.sort(first)[:size]]
    return drawn


def cautions(scores: ScoresTable, benchmark: Benchmark) -> list[str]:
    """Say what else a user should know of scores beside the accuracies of a benchmark."""
    notes = []
    if not same_dataset(scores.dataset, benchmark.dataset):
        computed = f"Scores computed for {scores.dataset}"
        notes.append(f"{computed}, accuracies on {benchmark.dataset}: a transfer.")
    if dead := len(scores.table) - len(tables.feasible(scores.table)):
        rows = f"{dead} of {len(scores.table)} rows of {scores.path.name} are infeasible"
        notes.append(f"{rows} and took no part: as a rule the input does not reach the output.")
    return notes


def provenance_of(ensemble: Ensemble) -> Provenance:
    """Return what an ensemble recorded of the scores that it was fitted to.

    One that was fitted to a bare table has ``space.name`` where it can be told.
    """
    kept = (ensemble.metadata.get(key) for key in ("scores", "definitions"))
    settings, definitions = (found if isinstance(found, dict) else {} for found in kept)
    of_cells = ensemble.features.structure or isinstance(ensemble.fitted_to[0], int)
    assumed = {"space.name": CellSpace.name} if of_cells else {}
    return Provenance("ensemble", assumed | settings, {k: str(v) for k, v in definitions.items()})


def check_applicable(
    ensemble: Ensemble, space: str, proxies: Sequence[str], scores: Provenance, where: str
) -> list[str]:
    """Check that scores have what an ensemble needs, and that it means there what it meant.

    `where` names what has the scores. Returns a sentence for each difference; see
    `Provenance.differences`.
    """
    known = provenance_of(ensemble)
    own = known.settings.get("space.name", space)
    if ensemble.features.structure and space != own:
        has = f"but the ensemble has features of the structure of {own} ({ensemble.feature_set})"
        allowed = f"space.name = {own!r}, or an ensemble without +structure"
        message = f"{where}: space.name = {space!r}, {has}; Allowed: {allowed}"
        raise EnsembleError(message, key="space.name", given=space, allowed=(own,))
    if missing := [proxy for proxy in ensemble.proxies if proxy not in proxies]:
        what = f"{where} lacks {', '.join(missing)}, which the ensemble was fitted to"
        hint, message = nearest(missing[0], proxies), f"{what}; it has: {', '.join(proxies)}"
        raise EnsembleError(message, given=missing[0], allowed=proxies, hint=hint)
    return known.differences(scores, ensemble.proxies)


class Applied(NamedTuple):
    """What an ensemble says of a table, with its quality on rows not fitted to where known."""

    ranking: pd.DataFrame
    quality: pd.DataFrame
    notes: list[str]


def apply_ensemble(
    ensemble: Ensemble,
    scores: ScoresTable,
    *,
    truth: bool = True,
    judge: tuple[str | None, str | None] = (None, None),
) -> Applied:
    """Predict the accuracies of the architectures of a run or scores file.

    With `truth` beside true ones, where a benchmark knows them: the scores' own and what was
    fitted to, or those that `judge` names. Where that is another metric, ranks alone compare.
    """
    space, chosen = scores.config.space.name, scores.config.benchmark
    differences = check_applicable(
        ensemble, space, scores.proxies, scores.provenance, str(scores.path)
    )
    dataset, notes = _judged_on(ensemble, scores)
    notes += differences
    table = scores.table.drop(columns=ensemble.target, errors="ignore")
    name, metric = judge[0] or chosen.name, judge[1] or ensemble.target
    if truth and name != "none":
        try:
            config = with_benchmark(scores.config, judge[0]) if judge[0] else scores.config
            benchmark = look_up_for(scores, config, dataset)
            table = with_accuracies(table, benchmark, metric)
            table = table.rename(columns={metric: ensemble.target})
            if any(judge):
                notes.append(f"True ones are {metric}: {benchmark.provenance}")
        except (BenchmarkError, KeyError) as error:
            notes.append(f"True accuracies are not known: {error}")
    rows = tables.feasible(table)
    if dead := len(table) - len(rows):
        notes.append(f"{dead} of {len(table)} rows are infeasible and not ranked.")
    if count := np.count_nonzero(~tables.finite(rows, ensemble.proxies)):
        why = f"{tables.not_finite(rows, ensemble.proxies)} is not finite there."
        notes.append(f"{count} of {len(rows)} rows have no prediction and stand last: {why}")
    judged: tuple[HeldOut, ...] = ()
    if ensemble.target in table:
        judged, why_not = judge_unseen(ensemble, table, ensemble.proxies, scores.directions)
        notes += why_not
    return Applied(ranking(ensemble, table), quality_table(judged), notes)


def _judged_on(ensemble: Ensemble, scores: ScoresTable) -> tuple[str, list[str]]:
    """Return whose accuracies are the true ones, and what to know of a transfer.

    They are the scores' own, or what was fitted to if the ensemble is of such scores too.
    """
    settings, notes = provenance_of(ensemble).settings, []
    if "space.name" not in settings:
        notes.append("The ensemble does not say to which search space it was fitted.")
    fitted, scored = ensemble.metadata.get("dataset"), settings.get("space.dataset")
    if not isinstance(fitted, str):
        notes.append("The ensemble does not say on which data set its accuracies were reached.")
    elif same_dataset(fitted, scores.dataset):
        pass
    elif isinstance(scored, str) and same_dataset(scored, scores.dataset):
        notes.append(
            f"As in the fit, scores are computed for {scores.dataset} and accuracies are those on "
            f"{fitted}, predicted ones and true ones."
        )
        return fitted, notes
    else:
        notes.append(
            f"A transfer: fitted to accuracies on {fitted}, applied to scores computed for "
            f"{scores.dataset}. The order may carry over; predicted percentages and their "
            f"intervals are those of {fitted}."
        )
    return scores.dataset, notes


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
    """Rank the feasible architectures of a search that looked no accuracy up, and say how.

    By ``ensemble.from`` of its settings if there is one, else by the aggregate of `aggregated`.
    """
    config, trials = scores.config, tables.feasible_architectures(scores.table)
    none = "No benchmark" if config.benchmark.name == "none" else "No trial has an accuracy"
    notes = [f"{none}, so no accuracy to fit an ensemble to."]
    if trials.empty:
        return pd.DataFrame(), [*notes, nothing_feasible(scores.table)]
    if (ensemble := load_transferred(config, scores.definitions or {})) is not None:
        ranked = by_score(trials, "transferred", ensemble.score(trials))
        fitted = ensemble.metadata.get("dataset", "another data set")
        notes.append(
            f"ranking.csv is a transfer: by {config.ensemble.from_}, fitted to accuracies on "
            f"{fitted}. The order may carry over to {config.dataset}; its percentages do not, and "
            f"nothing here was checked on {config.dataset}. First is "
            f"{ranked['architecture'].iloc[0]}."
        )
        differences = provenance_of(ensemble).differences(scores.provenance, ensemble.proxies)
        return ranked, notes + differences
    proxies, without = with_values(aggregated(config, scores.proxies), scores.table, "aggregate")
    notes += without
    if not proxies:
        return pd.DataFrame(), notes
    ranked = aggregate_ranking(trials, proxies, scores.directions)
    notes.append(
        "ranking.csv is by the accuracy-free aggregate, the mean of the logarithms of the "
        f"ranks in {', '.join(proxies)} (ensemble.proxies names others); it is no percentage. "
        f"First is {ranked['architecture'].iloc[0]}."
    )
    return ranked, notes


def aggregated(config: Config, computed: Sequence[str]) -> tuple[str, ...]:
    """Return what the aggregate of a search is made of.

    That is ``ensemble.proxies``. By default of cells of NAS-Bench-201 what there is of
    `DEFAULT_AGGREGATE`, or on one's own images `RECOMMENDED_PROXIES` with ``stage pools`` where all
    of them are computed; else all proxies but latencies, which are no promise of accuracy.
    """
    if config.ensemble.proxies is not None:
        return config.ensemble.proxies
    if config.space.name == CellSpace.name:
        if not config.data_decides:
            return tuple(default_aggregate(computed))
        if set(RECOMMENDED_PROXIES) <= set(computed):
            return (*RECOMMENDED_PROXIES, "stage pools")
    return tuple(name for name in computed if split_options(name)[0] != "latency")


def nothing_feasible(trials: pd.DataFrame) -> str:
    """Say that no architecture can be ranked, with the first reason."""
    reasons = trials["reason"].dropna() if "reason" in trials else pd.Series(dtype="string")
    why = f"; the first one: {reasons.iloc[0]}" if len(reasons) else ""
    return f"None of the {len(trials):,} trials is feasible, so nothing is ranked{why}."
