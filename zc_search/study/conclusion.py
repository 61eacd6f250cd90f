"""What a study came to: the front, the ensemble fitted to it, the ranking, the best."""

import math
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
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
)
from zc_search.errors import ArchitectureError, BenchmarkError
from zc_search.scoring.cache import PackagedCache
from zc_search.scoring.scores_file import ScoresTable
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
from zc_search.study.run_folder import run_path
from zc_search.study.whole_space import rank_space

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
            on_pareto, _ = fit_trials(scores, benchmark, pareto=True)
            if on_pareto is not None and on_pareto.fit_on == "pareto":  # else too few are on it
                found["pareto_ensemble"] = on_pareto
    if ensemble is None:
        found["best_seen"] = _best_known(trials, config.benchmark.metric, benchmark)
        return found, notes
    found |= {"ensemble": ensemble, "best_seen": _best_seen(ensemble, trials, benchmark)}
    whole, why_not = rank_space(objective, ensemble, trials, benchmark)
    unseen: tuple[Best, ...] = ()
    if whole is not None:
        named = whole[~whole["seen"]].head(_UNSEEN)
        unseen = tuple(_named(row, ensemble, benchmark) for _, row in named.iterrows())
    ranked = ranking(ensemble, trials) if whole is None else whole
    first = unseen or [_named(row, ensemble, benchmark) for _, row in ranked.head(1).iterrows()]
    found |= {"ranking": ranked, "unseen": unseen, "best": next(iter(first), None)}
    return found, [*notes, *why_not]


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
    reason = (
        slow.sort_values(LATENCY)["reason"].iloc[0] if LATENCY in slow else slow["reason"].iloc[0]
    )
    return [
        f"{len(slow):,} of {len(trials):,} trials are infeasible for their latency, of which the "
        f"fastest: {reason}."
    ]


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
    trials = finished_trials(study)
    begun = [trial.datetime_start for trial in trials if trial.datetime_start]
    ended = [trial.datetime_complete for trial in trials if trial.datetime_complete]
    spent = (max(ended) - min(begun)).total_seconds() if begun and ended else 0.0
    return {"search": max(0.0, spent)}


def _best_seen(ensemble: Ensemble, trials: pd.DataFrame, benchmark: Benchmark) -> Best | None:
    """Return, of the feasible architectures looked at, the one of the highest true accuracy."""
    ranked = ranking(ensemble, trials).dropna(subset=[ensemble.target])
    if ranked.empty:
        return None
    return _named(ranked.iloc[int(ranked[ensemble.target].argmax())], ensemble, benchmark)


def _best_known(trials: pd.DataFrame, metric: str, benchmark: Benchmark) -> Best | None:
    """Return the feasible trial of the highest true accuracy, where nothing predicts any."""
    if trials.empty or metric not in trials:
        return None
    known = trials[trials["feasible"]].dropna(subset=[metric])
    if known.empty:
        return None
    row = known.iloc[int(known[metric].argmax())]
    architecture, true = str(row["architecture"]), float(row[metric])
    best = Best(architecture, math.nan, math.nan, math.nan, true)
    if benchmark.of_trials_alone or architecture not in benchmark:
        return best
    rank, known_of = benchmark.rank(architecture, metric), benchmark.known(metric)
    return replace(best, rank=rank, out_of=known_of)


def _named(row: pd.Series, ensemble: Ensemble, benchmark: Benchmark) -> Best:
    """Return an architecture of a ranking, with what the benchmark knows of it."""
    architecture, metric = str(row["architecture"]), ensemble.target
    known = benchmark.query(architecture).get(metric) if architecture in benchmark else None
    ranks = known is not None and not benchmark.of_trials_alone
    return Best(
        architecture=architecture,
        predicted=float(row["prediction"]),
        low=float(row["low"]),
        high=float(row["high"]),
        true=known,
        rank=benchmark.rank(architecture, metric) if ranks else None,
        out_of=benchmark.known(metric) if ranks else None,
        in_sample=bool(row.get("in_sample", False)),
    )
