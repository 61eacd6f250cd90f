"""The main job, as it flows: space, sampler, proxies, benchmark, study, ensemble, files."""

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from platform import node

import pandas as pd
from optuna import Study

from zc_search._utils.files import writing
from zc_search.benchmarks import Benchmark
from zc_search.config import Config, config_to_toml, public
from zc_search.ensemble import Ensemble, ranking
from zc_search.ensemble.scores import (
    ORDINARY,
    fit_trials,
    nothing_feasible,
    rank_without_accuracies,
)
from zc_search.errors import BenchmarkError, EnsembleError, StudyError
from zc_search.report.answer import search_plan
from zc_search.report.dashboard import dress_if_installed
from zc_search.report.page import write_outputs
from zc_search.samplers import sampler_of
from zc_search.scoring.scores_file import ScoresTable
from zc_search.study import (
    DATA,
    Objective,
    TrialRecord,
    missing_values,
    open_study,
    run_trials,
    set_aside,
    trials_table,
)
from zc_search.study.record import Best, Progress, SearchResult, pareto_table, recorded
from zc_search.study.run_folder import RunFolder, run_path, storage_url

logger = logging.getLogger("zc_search")


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
        What was found; also written to ``<output.folder>/<study.name>/``, on Ctrl-C too.

    Raises:
        ZcSearchError: Something in the configuration cannot be had; nothing was computed yet.
    """
    start = time.perf_counter()
    objective = Objective(config)
    sampler = sampler_of(config, objective.space)
    folder = RunFolder(run_path(config))
    with folder.locked(), writing(str(folder.path), StudyError):
        aside = folder.set_aside() if fresh else None
        with folder.logging():  # of this run, not of the earlier one
            if aside:
                logger.info("earlier run moved to %s", aside)
            storage, name = config.study.storage, config.study.name
            if fresh and storage and (kept := set_aside(name, storage, config.study.patience)):
                logger.info("earlier study kept as %s", kept)
            study = open_study(objective, storage_url(config, folder.path), sampler)
            folder.write_text("config.toml", config_to_toml(public(config)))
            on_plan(search_plan(objective, folder.path))
            begun = time.perf_counter()
            conclude = partial(_conclude, folder, study, objective, start, begun)
            progress = Progress(config.study.n_trials)
            for _, record in recorded(study):
                progress.count(record)
            on_progress(progress)

            def on_trial(number: int, record: TrialRecord) -> None:
                logger.info("trial %d: %s", number, record)
                progress.count(record)
                progress.seconds = time.perf_counter() - begun
                on_progress(progress)

            # Who has the lock of this folder can work on the study once only.
            worker = f"{node()}:{folder.path.resolve()}" if storage else "main"
            try:
                run_trials(study, objective, on_trial, name=worker)
            except KeyboardInterrupt:
                conclude()
                raise
            return conclude()


def _conclude(
    folder: RunFolder, study: Study, objective: Objective, start: float, begun: float
) -> SearchResult:
    """Fit the ensembles to what the study holds, and write everything down."""
    ended = time.perf_counter()
    config, benchmark, trials = objective.config, objective.benchmark, trials_table(study)
    ensemble = on_pareto = optimum = best = None
    ranked = pd.DataFrame()
    directions = {p.name: p.direction for p in objective.proxies}
    known = directions, objective.definitions, study.user_attrs.get(DATA)
    scores = ScoresTable.of_trials(config, folder.path, trials, *known)
    if benchmark is None:
        ranked, notes = rank_without_accuracies(scores)
    elif trials.empty or not trials["feasible"].any():
        notes = [nothing_feasible(trials)]
    else:
        ensemble, notes = fit_trials(scores, benchmark)
        if any(getattr(config.ensemble, key) != value for key, value in ORDINARY.items()):
            on_pareto, _ = fit_trials(scores, benchmark, pareto=True)
            if on_pareto is not None and on_pareto.fit_on != "pareto":  # too few are on the front
                on_pareto = None
    if benchmark is not None:
        with suppress(BenchmarkError):  # it does not say
            optimum = benchmark.best(config.benchmark.metric)[1]
        if ensemble is not None:
            ranked = ranking(ensemble, trials)
            best = _best(ranked, benchmark, config.benchmark.metric)
    notes += missing_values(study)
    notes += _save(ensemble, folder.path / "ensemble.toml")
    _save(on_pareto, folder.path / "ensemble-pareto.toml")
    result = SearchResult(
        config=config,
        folder=folder.path,
        trials=trials,
        pareto=pareto_table(trials, config),
        ensemble=ensemble,
        ranking=ranked,
        best=best,
        notes=tuple(notes),
        seconds={
            "set-up": begun - start,
            "search": ended - begun,
            "ensemble": time.perf_counter() - ended,
        },
        provenance=benchmark.provenance if benchmark else "",
        optimum=optimum,
        pareto_ensemble=on_pareto,
    )
    write_outputs(result, study.user_attrs, folder)
    if config.output.report:
        dress_if_installed(study, result)
    return result


def _save(ensemble: Ensemble | None, path: Path) -> list[str]:
    """Write an ensemble in place of that of an earlier end of this run; say why there is none."""
    notes = []
    try:
        if ensemble is not None:
            ensemble.save(path)
            return []
    except EnsembleError as error:  # a regressor of scikit-learn's has no weights to write
        notes = [f"No {path.name}: {error}"]
    path.unlink(missing_ok=True)
    return notes


def _best(ranked: pd.DataFrame, benchmark: Benchmark, metric: str) -> Best | None:
    """Return the first of the ranking, with what the benchmark knows of it."""
    if ranked.empty:
        return None
    row = ranked.iloc[0]
    architecture = str(row["architecture"])
    return Best(
        architecture=architecture,
        predicted=float(row["prediction"]),
        low=float(row["low"]),
        high=float(row["high"]),
        true=benchmark.query(architecture)[metric],
        rank=benchmark.rank(architecture, metric),
        out_of=len(benchmark),
        in_sample=bool(row.get("in_sample", False)),
    )
