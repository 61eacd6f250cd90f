"""The main job, as it flows: space, sampler, proxies, benchmark, study, ensemble, files."""

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from platform import node
from typing import Any

import pandas as pd
from optuna import Study

from zc_search.config import Config, config_to_toml, public
from zc_search.ensemble import Ensemble, fit_ensemble, ranking
from zc_search.ensemble.sources import COSTLY, settings_of
from zc_search.ensemble.without_accuracies import (
    nothing_feasible,
    rank_without_accuracies,
    with_values,
)
from zc_search.errors import EnsembleError
from zc_search.report.outputs import write_outputs
from zc_search.report.plan import search_plan
from zc_search.samplers import sampler_of
from zc_search.study import (
    DATA,
    Objective,
    TrialRecord,
    finished_trials,
    missing_values,
    open_study,
    run_trials,
    set_aside,
    trials_table,
)
from zc_search.study.result import Best, Progress, SearchResult
from zc_search.study.run_folder import RunFolder, run_path, storage_url
from zc_search.study.table import pareto_table

logger = logging.getLogger("zc_search")

PARETO = {"model": "linear", "fit_on": "pareto"}
"""What is fitted in every run: linear regression of the proxies on the Pareto trials."""


def run_search(
    config: Config,
    *,
    fresh: bool = False,
    on_plan: Callable[[Mapping[str, str]], None] = lambda plan: None,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> SearchResult:
    """Run a search, or go on with one that was cut off.

    Args:
        config: What to search, how, and where to write.
        fresh: Set an earlier run of the same name aside and start over.
        on_plan: Called with what will be done, by matter, before anything is computed.
        on_progress: Called after each trial.

    Returns:
        What was found; also written to ``<output.folder>/<study.name>/``.

    Raises:
        ZcSearchError: Something in the configuration cannot be had; nothing was computed yet.
        KeyboardInterrupt: After the tables have been written.
    """
    start = time.perf_counter()
    objective = Objective(config)
    sampler = sampler_of(config, objective.space)
    folder = RunFolder(run_path(config))
    with ExitStack() as stack:
        stack.enter_context(folder.locked())
        stack.enter_context(folder.writing())
        aside = folder.set_aside() if fresh else None
        stack.enter_context(folder.logging())  # of this run, not of the earlier one
        if aside:
            logger.info("earlier run moved to %s", aside)
        if fresh and config.study.storage:
            kept = set_aside(config.study.name, config.study.storage, config.study.patience)
            if kept:
                logger.info("earlier study kept as %s", kept)
        study = open_study(objective, storage_url(config, folder.path), sampler)
        folder.write_text("config.toml", config_to_toml(public(config)))
        on_plan(search_plan(objective, folder.path))
        begun = time.perf_counter()
        seconds = {"set-up": begun - start}
        progress = Progress(config.study.n_trials)
        for trial in finished_trials(study):
            if record := TrialRecord.of(trial):
                progress.count(record)
        on_progress(progress)

        def on_trial(number: int, record: TrialRecord) -> None:
            logger.info("trial %d: %s", number, record)
            progress.count(record)
            progress.seconds = time.perf_counter() - begun
            on_progress(progress)

        interrupted = None
        try:
            run_trials(study, objective, on_trial, name=_name(config, folder))
        except KeyboardInterrupt as interrupt:
            interrupted = interrupt
        seconds["search"] = time.perf_counter() - begun
        result = _conclude(folder, study, objective, seconds)
        if interrupted is not None:
            raise interrupted
        return result


def _name(config: Config, folder: RunFolder) -> str:
    """Return what can work on a study once only: who has the lock of this folder."""
    return "main" if config.study.storage is None else f"{node()}:{folder.path.resolve()}"


def _conclude(
    folder: RunFolder, study: Study, objective: Objective, seconds: Mapping[str, float]
) -> SearchResult:
    """Fit the ensembles to what the study holds, and write everything down."""
    start = time.perf_counter()
    config, benchmark, trials = objective.config, objective.benchmark, trials_table(study)
    ensemble = on_pareto = None
    ranked = pd.DataFrame()
    if benchmark is None:
        ranked, notes = rank_without_accuracies(
            config, trials, _directions(objective), objective.definitions
        )
    elif trials.empty or not trials["feasible"].any():
        notes = [nothing_feasible(trials)]
    else:
        ensemble, notes = _fit(objective, folder, study, trials)
        if (config.ensemble.model, config.ensemble.fit_on) != tuple(PARETO.values()):
            on_pareto, _ = _fit(objective, folder, study, trials, **PARETO)
            if on_pareto is not None and on_pareto.fit_on != "pareto":  # too few are on the front
                on_pareto = None
    if ensemble is not None:
        ranked = ranking(ensemble, trials)
    notes += missing_values(study)
    notes += _save(ensemble, folder, "ensemble.toml")
    _save(on_pareto, folder, "ensemble-pareto.toml")
    result = SearchResult(
        config=config,
        folder=folder.path,
        trials=trials,
        pareto=pareto_table(trials, config),
        ensemble=ensemble,
        ranking=ranked,
        best=_best(ranked, objective) if ensemble is not None else None,
        notes=tuple(notes),
        seconds={**seconds, "ensemble": time.perf_counter() - start},
        provenance=benchmark.provenance if benchmark else "",
        optimum=benchmark.best(config.benchmark.metric)[1] if benchmark else None,
        pareto_ensemble=on_pareto,
    )
    write_outputs(result, study, folder)
    return result


def _directions(objective: Objective) -> dict[str, str]:
    return {p.name: p.direction for p in objective.proxies if p.name not in COSTLY}


def _fit(
    objective: Objective, folder: RunFolder, study: Study, trials: pd.DataFrame, **changes: Any
) -> tuple[Ensemble | None, list[str]]:
    """Fit the ensemble, if the trials allow it, and say what there is to know of it."""
    config, benchmark = objective.config, objective.benchmark
    wanted = config.ensemble.proxies or tuple(p.name for p in objective.proxies)
    seen, notes = with_values(wanted, trials, "ensemble")
    settings = {
        "target": config.benchmark.metric,
        "model": config.ensemble.model,
        "feature_set": config.ensemble.features,
        "fit_on": config.ensemble.fit_on,
        "folds": config.ensemble.folds,
        "repeats": config.ensemble.repeats,
        "seed": config.ensemble.seed,
        "directions": _directions(objective),
        "metadata": {
            "dataset": config.space.dataset,
            "accuracies": benchmark.provenance if benchmark else None,
            "scores": settings_of(config)
            | {"name": folder.path.name, "data.fingerprint": study.user_attrs.get(DATA)},
            "definitions": objective.definitions,
        },
    }
    try:
        ensemble = fit_ensemble(trials, seen, **{**settings, **changes})
    except EnsembleError as error:
        return None, [*notes, f"No ensemble: {error}"]
    return ensemble, [*notes, *ensemble.notes]


def _save(ensemble: Ensemble | None, folder: RunFolder, name: str) -> list[str]:
    """Write an ensemble, or remove that of an earlier end of this run; say why there is none."""
    try:
        if ensemble is not None:
            ensemble.save(folder.path / name)
            return []
    except EnsembleError as error:  # a regressor of scikit-learn's has no weights to write
        notes = [f"No {name}: {error}"]
    else:
        notes = []
    (folder.path / name).unlink(missing_ok=True)
    return notes


def _best(ranked: pd.DataFrame, objective: Objective) -> Best | None:
    """Return the first of the ranking, with what the benchmark knows of it."""
    if ranked.empty:
        return None
    row = ranked.iloc[0]
    best = Best(
        architecture=str(row["architecture"]),
        predicted=float(row["prediction"]),
        low=float(row["low"]),
        high=float(row["high"]),
        in_sample=bool(row.get("in_sample", False)),
    )
    if (benchmark := objective.benchmark) is None:
        return best
    metric = objective.config.benchmark.metric
    return replace(
        best,
        true=benchmark.query(best.architecture)[metric],
        rank=benchmark.rank(best.architecture, metric),
        out_of=len(benchmark),
    )
