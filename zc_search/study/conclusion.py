"""What a study came to: the front, the ensemble fitted to it, the ranking, the best."""

import math
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
from optuna.study import Study

from zc_search.benchmarks.accuracy_table import AccuracyTable
from zc_search.benchmarks.base import Benchmark
from zc_search.config.sections import LATENCY
from zc_search.ensemble import Ensemble, ranking
from zc_search.ensemble.scores import (
    ORDINARY,
    fit_trials,
    nothing_feasible,
    rank_without_accuracies,
    with_accuracies,
)
from zc_search.ensemble.tables import distinct
from zc_search.errors import ArchitectureError, BenchmarkError, EnsembleError, ScoresError
from zc_search.scoring.cache import PackagedCache, differing
from zc_search.scoring.scores_file import PACKAGED, ScoresTable, available, load_scores, of_dataset
from zc_search.spaces import CellSpace
from zc_search.study.objective import Objective
from zc_search.study.record import (
    DATA,
    Best,
    SearchResult,
    finished_trials,
    missing_values,
    pareto_table,
    trials_table,
)
from zc_search.study.storage import run_path

_UNSEEN = 10  # architectures that are named where the whole space is ranked


def conclude(
    study: Study,
    objective: Objective,
    *,
    folder: Path | None = None,
    seconds: Mapping[str, float] | None = None,
) -> SearchResult:
    """Fit the ensembles to what a study holds, rank its architectures, and name the best.

    Args:
        study: Whose trials `objective` scored, here or elsewhere.
        objective: What its trials were asked.
        folder: Of the run; by default where `zc-search` would write it. Nothing is written.
        seconds: Wall time by stage so far; by default that from the first trial to the last.
    """
    start = time.perf_counter()
    config, trials = objective.config, trials_table(study)
    benchmark = _accuracies(objective, trials)
    folder = folder or run_path(config)
    directions = {p.name: p.direction for p in objective.proxies}
    known = directions, objective.definitions, study.user_attrs.get(DATA)
    scores = ScoresTable.of_trials(config, folder, trials, *known)
    found: dict[str, Any] = {"ensemble": None, "ranking": pd.DataFrame(), "best": None}
    if benchmark is None:
        found["ranking"], notes = rank_without_accuracies(scores)
    else:
        answered, notes = _answered(objective, trials, scores, benchmark)
        found |= answered
    seen = objective.functions if config.study.distinct else None
    if seen is not None and seen < config.study.n_trials:
        notes = [*notes, f"The space has {seen:,} functions, each looked at once."]
    if isinstance(cache := objective.scorer.cache, PackagedCache) and len(trials):
        taken, of = cache.taken(objective.scorer.conditions, trials, objective.definitions)
        notes = [*notes, f"{taken:,} of {of:,} scores were taken from the package."]
    front = pareto_table(trials, config)
    return SearchResult(
        config=config,
        folder=folder,
        trials=trials,
        pareto=front,
        drawings=_drawings(objective, found["ranking"], front),
        notes=(*notes, *_too_slow(trials), *missing_values(study)),
        seconds={**(seconds or _seconds(study)), "ensemble": time.perf_counter() - start},
        provenance=objective.benchmark.provenance if objective.benchmark else "",
        about_study=dict(study.user_attrs),
        study=study,
        **found,
    )


def _answered(
    objective: Objective, trials: pd.DataFrame, scores: ScoresTable, benchmark: Benchmark
) -> tuple[dict[str, Any], list[str]]:
    """Return the fields of a result that accuracies give, and notes."""
    config = objective.config
    found: dict[str, Any] = {}
    with suppress(BenchmarkError):  # it does not say
        best_known = benchmark.best(config.benchmark.metric)[1]
        found["optimum"] = None if benchmark.of_trials_alone else best_known
    if trials.empty or not trials["feasible"].any():
        ensemble, notes = None, [nothing_feasible(trials)]
    else:
        ensemble, notes = fit_trials(scores, benchmark)
        if any(getattr(config.ensemble, key) != value for key, value in ORDINARY.items()):
            found["pareto_ensemble"], _ = fit_trials(scores, benchmark, pareto=True)
    if ensemble is None:
        feasible = trials[trials["feasible"]] if len(trials) else trials
        found["best_seen"] = _best_seen(feasible, config.benchmark.metric, benchmark)
        return found, notes
    metric, looked_at = ensemble.target, ranking(ensemble, trials)
    found |= {"ensemble": ensemble, "best_seen": _best_seen(looked_at, metric, benchmark)}
    whole, why_not = rank_space(objective, ensemble, trials, benchmark)
    unseen: tuple[Best, ...] = ()
    if whole is not None:
        named = whole[~whole["seen"]].head(_UNSEEN)
        unseen = tuple(_named(row, metric, benchmark) for _, row in named.iterrows())
    ranked = looked_at if whole is None else whole
    first = unseen or [_named(row, metric, benchmark) for _, row in ranked.head(1).iterrows()]
    found |= {"ranking": ranked, "unseen": unseen, "best": next(iter(first), None)}
    return found, [*notes, *why_not]


def rank_space(
    objective: Objective, ensemble: Ensemble, trials: pd.DataFrame, benchmark: Benchmark
) -> tuple[pd.DataFrame | None, list[str]]:
    """Rank every function that a search may look at, where its scores are at hand.

    As `ranking` does, with ``seen``, whether a trial has looked at it, and ``params`` and
    ``flops``, in millions. None where there are no scores, or of other images, networks or proxies;
    and sentences that say why not, where the settings name some.
    """
    config, asked = objective.config, objective.config.ensemble.scores
    if asked == "off":
        return None, []
    source = of_dataset(asked or PACKAGED, config.dataset)
    if asked is None and (config.data_decides or config.dataset not in available()):
        return None, []
    try:
        rows = _candidates(objective, ensemble, source)
        with suppress(EnsembleError):  # it knows none of them
            rows = with_accuracies(rows, benchmark, ensemble.target)
        ranked = ranking(ensemble, rows)
    except (EnsembleError, ScoresError) as error:
        return None, [] if asked is None else [f"The whole space is not ranked: {error}"]
    seen = rows["function_key"].isin(trials["function_key"])
    ranked = ranked.join(rows[["params", "flops"]]).assign(seen=seen)
    count = f"{len(ranked):,} functions in {source}, {int(seen.sum()):,} of which were looked at"
    return ranked, [f"ranking.csv is of the {count}."]


def _candidates(objective: Objective, ensemble: Ensemble, source: str) -> pd.DataFrame:
    """Return the scores of the first architecture of each function that the search allows."""
    table, said = load_scores(source)
    asked = {name: objective.definitions[name] for name in ensemble.proxies}
    if lines := differing(said, objective.scorer.conditions, asked):
        raise ScoresError("\n  ".join((f"{source} holds scores of other settings:", *lines)))
    if objective.config.constraints.max_latency_ms is not None:
        raise ScoresError("constraints.max_latency_ms: which networks keep it is not known")
    space, limits = objective.space, objective.limits
    cells = [space.read(text) for text in table.index]
    allowed = [a in space and limits.check(a).refused is None for a in cells]
    rows = distinct(table.reset_index()[allowed])
    if rows.empty:
        raise ScoresError(f"{source} has no architecture that the search allows")
    return rows.reset_index(drop=True)


def _accuracies(objective: Objective, trials: pd.DataFrame) -> Benchmark | None:
    """Return the table of accuracies; of those measured here what the trials have by now."""
    if isinstance(objective.benchmark, Benchmark) or objective.benchmark is None:
        return objective.benchmark
    with suppress(BenchmarkError):  # none was reached
        return AccuracyTable.of_trials(objective.config, trials, objective.benchmark.provenance)
    return None


def _too_slow(trials: pd.DataFrame) -> list[str]:
    """Say how many trials were refused for their latency, and of the fastest of them why."""
    if trials.empty or not trials["feasible"].any():  # which is said with its reason
        return []
    slow = trials[trials["reason"].fillna("").str.contains("above max_latency_ms", regex=False)]
    if slow.empty:
        return []
    fastest = (slow.sort_values(LATENCY) if LATENCY in slow else slow)["reason"].iloc[0]
    count = f"{len(slow):,} of {len(trials):,} trials are infeasible for their latency"
    return [f"{count}, of which the fastest: {fastest}."]


def _drawings(objective: Objective, *tables: pd.DataFrame) -> dict[str, str]:
    """Draw the first of some tables; cells of NAS-Bench-201 are drawn where they are shown."""
    space = objective.space
    drawings: dict[str, str] = {}
    for text in {str(t["architecture"].iloc[0]) for t in tables if len(t)}:
        with suppress(ArchitectureError):  # a user's builder may not get that far
            drawn = None if isinstance(space, CellSpace) else space.draw(space.read(text))
            drawings |= {text: drawn} if drawn else {}
    return drawings


def _seconds(study: Study) -> dict[str, float]:
    """Return the wall time from the first trial to the last."""
    trials = finished_trials(study)
    begun = [trial.datetime_start for trial in trials if trial.datetime_start]
    ended = [trial.datetime_complete for trial in trials if trial.datetime_complete]
    spent = (max(ended) - min(begun)).total_seconds() if begun and ended else 0.0
    return {"search": max(0.0, spent)}


def _best_seen(rows: pd.DataFrame, metric: str, benchmark: Benchmark) -> Best | None:
    """Return, of rows with true accuracies, the one of the highest."""
    known = rows.dropna(subset=[metric]) if metric in rows else pd.DataFrame()
    if known.empty:
        return None
    return _named(known.iloc[int(known[metric].argmax())], metric, benchmark)


def _named(row: pd.Series, metric: str, benchmark: Benchmark) -> Best:
    """Return an architecture, predicted or looked at, with what the benchmark knows of it."""
    architecture = str(row["architecture"])
    known = benchmark.query(architecture).get(metric) if architecture in benchmark else None
    ranks = known is not None and not benchmark.of_trials_alone
    return Best(
        architecture,
        predicted=float(row.get("prediction", math.nan)),
        low=float(row.get("low", math.nan)),
        high=float(row.get("high", math.nan)),
        true=known,
        rank=benchmark.rank(architecture, metric) if ranks else None,
        out_of=benchmark.known(metric) if ranks else None,
        in_sample=bool(row.get("in_sample", False)),
    )
