"""The main job: `run_search` wires space, proxies, benchmark, study, ensemble and files."""

import logging
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import optuna
import pandas as pd

from zc_search._utils.passwords import without_passwords
from zc_search.benchmarks import Benchmark
from zc_search.config import Config, config_to_toml, public
from zc_search.ensemble import Ensemble, fit_ensemble, ranking
from zc_search.ensemble.sources import COSTLY, settings_of
from zc_search.ensemble.without_accuracies import (
    nothing_feasible,
    rank_without_accuracies,
    with_values,
)
from zc_search.errors import EnsembleError
from zc_search.proxies import Proxy
from zc_search.report.outputs import write_outputs
from zc_search.samplers import advice
from zc_search.spaces import AnySpace, read_architecture
from zc_search.study import (
    DATA,
    TrialRecord,
    finished_trials,
    missing_values,
    open_study,
    run_trials,
    set_aside,
    trials_table,
)
from zc_search.study.preparing import prepare
from zc_search.study.result import Best, Listener, Progress, SearchResult, Silence
from zc_search.study.run_folder import RunFolder, run_path, storage_url
from zc_search.study.run_log import logging_to

logger = logging.getLogger("zc_search")


def run_search(
    config: Config, *, fresh: bool = False, listener: Listener | None = None
) -> SearchResult:
    """Run a search, or go on with one that was cut off.

    Args:
        config: What to search, how, and where to write.
        fresh: Set an earlier run of the same name aside and start over.
        listener: Told of the plan and of every trial.

    Returns:
        What was found; also written to ``<output.folder>/<study.name>/``.

    Raises:
        ZcSearchError: Something in the configuration cannot be had; nothing was computed yet.
        KeyboardInterrupt: After the tables have been written.
    """
    listener = listener or Silence()
    start = time.perf_counter()
    prepared = prepare(config)
    proxies, benchmark = prepared.proxies, prepared.benchmark
    folder = RunFolder(run_path(config))
    with ExitStack() as stack:
        stack.enter_context(folder.locked())
        stack.enter_context(folder.writing())
        aside = folder.set_aside() if fresh else None
        stack.enter_context(logging_to(folder.path / "run.log"))  # of this run, not of that one
        if aside:
            logger.info("earlier run moved to %s", aside)
        if fresh and config.study.storage:
            renamed = set_aside(config.study.name, config.study.storage, config.study.patience)
            if renamed:
                logger.info("earlier study kept as %s", renamed)
        study = open_study(
            config,
            storage_url(config, folder.path),
            prepared.batch.fingerprint,
            prepared.definitions,
        )
        folder.write_text("config.toml", config_to_toml(public(config)))
        images = {"images": " ".join(prepared.about_images)} if prepared.about_images else {}
        listener.planned(_plan(config, prepared.space, proxies, benchmark, folder) | images)
        progress = Progress(config.study.n_trials)
        for trial in finished_trials(study):
            if record := TrialRecord.of(trial):
                progress.count(record)
        listener.progressed(progress)
        begun = time.perf_counter()
        seconds = {"set-up": begun - start}

        def on_trial(number: int, record: TrialRecord) -> None:
            logger.info("trial %d: %s", number, record)
            progress.count(record)
            progress.seconds = time.perf_counter() - begun
            listener.progressed(progress)

        interrupted = None
        try:
            run_trials(
                study,
                config,
                prepared.space,
                prepared.scorer,
                benchmark,
                on_trial,
                prepared.ensembles,
            )
        except KeyboardInterrupt as interrupt:
            interrupted = interrupt
        seconds["search"] = time.perf_counter() - begun
        result = _conclude(config, folder, study, proxies, benchmark, seconds)
        if interrupted is not None:
            raise interrupted
        return result


def _plan(
    config: Config,
    space: AnySpace,
    proxies: tuple[Proxy, ...],
    benchmark: Benchmark | None,
    folder: RunFolder,
) -> dict[str, str]:
    objectives = ", ".join(f"{o.name} ({o.direction})" for o in config.active_objectives)
    recorded = [p.name for p in proxies if p.name not in {o.name for o in config.active_objectives}]
    plan = {
        "space": _described(space, config),
        "objectives": objectives + (" as one weighted sum" if config.study.sum_objectives else ""),
        "recorded": ", ".join(recorded) or "nothing else",
        "data": f"{config.data.batch_size} images from {config.data.source}, "
        f"seed {config.data.seed}",
        "benchmark": benchmark.provenance if benchmark else "none",
        "sampler": f"{config.study.sampler}, seed {config.study.seed}, {_bounds(config)}",
        "storage": without_passwords(storage_url(config, folder.path)),
    }
    if limits := ", ".join(f"{k} {v:,g}" for k, v in config.constraints if v is not None):
        plan["constraints"] = limits
    objectives_count = 1 if config.study.sum_objectives else len(config.active_objectives)
    if warning := advice(config.study.sampler, objectives_count):
        plan["warning"] = warning
    return plan


def _bounds(config: Config) -> str:
    """Say when the search ends, and whether it looks at anything twice."""
    study = config.study
    bounds = [
        (study.max_accuracies, "accuracies"),
        (study.max_simulated_seconds, "simulated seconds"),
        (study.timeout, "seconds"),
    ]
    said = [
        f"{study.n_trials:,} trials",
        *(f"{v:,.9g} {what}" for v, what in bounds if v is not None),
    ]
    distinct = ", each function once" if study.distinct else ""
    return ("at most " if len(said) > 1 else "") + " or ".join(said) + distinct


def _described(space: AnySpace, config: Config) -> str:
    count = "" if space.size is None else f" {space.size:,} architectures,"
    said = f"{space.name},{count} for {config.dataset}"
    if config.space.channels is None:
        return said
    return f"{said}, {config.space.channels} channels, {config.space.cells} cells a stage"


def _conclude(
    config: Config,
    folder: RunFolder,
    study: optuna.Study,
    proxies: tuple[Proxy, ...],
    benchmark: Benchmark | None,
    seconds: dict[str, float],
) -> SearchResult:
    """Fit the ensemble to what the study holds, and write everything down."""
    start = time.perf_counter()
    trials = trials_table(study)
    ensemble = None
    ranked = pd.DataFrame()
    if benchmark is None:
        directions, definitions = _directions(proxies), {p.name: p.definition for p in proxies}
        ranked, notes = rank_without_accuracies(config, trials, directions, definitions)
    elif trials.empty or not trials["feasible"].any():
        notes = [nothing_feasible(trials)]
    else:
        ensemble, notes = _fit(config, folder, study, trials, proxies, benchmark)
    if ensemble is not None:
        ranked = ranking(ensemble, trials)
    notes += missing_values(study)
    notes += _save(ensemble, folder.path / "ensemble.toml")
    pareto = _pareto(trials, config)
    result = SearchResult(
        config=config,
        folder=folder.path,
        trials=trials,
        pareto=pareto,
        ensemble=ensemble,
        ranking=ranked,
        best=_best(trials, ranked, ensemble, benchmark, config.benchmark.metric),
        notes=tuple(notes),
        seconds={**seconds, "ensemble": time.perf_counter() - start},
        provenance=benchmark.provenance if benchmark else "",
        optimum=benchmark.best(config.benchmark.metric)[1] if benchmark else None,
    )
    write_outputs(result, study, folder)
    return result


def _directions(proxies: tuple[Proxy, ...]) -> dict[str, str]:
    return {p.name: p.direction for p in proxies if p.name not in COSTLY}


def _fit(
    config: Config,
    folder: RunFolder,
    study: optuna.Study,
    trials: pd.DataFrame,
    proxies: tuple[Proxy, ...],
    benchmark: Benchmark,
) -> tuple[Ensemble | None, list[str]]:
    """Fit the ensemble, if the trials allow it, and say what there is to know of it."""
    wanted = config.ensemble.proxies or tuple(p.name for p in proxies)
    seen, notes = with_values(wanted, trials, "ensemble")
    try:
        ensemble = fit_ensemble(
            trials,
            seen,
            target=config.benchmark.metric,
            model=config.ensemble.model,
            feature_set=config.ensemble.features,
            fit_on=config.ensemble.fit_on,
            folds=config.ensemble.folds,
            repeats=config.ensemble.repeats,
            seed=config.ensemble.seed,
            directions=_directions(proxies),
            metadata={
                "dataset": config.space.dataset,
                "accuracies": benchmark.provenance,
                "scores": settings_of(config)
                | {"name": folder.path.name, "data.fingerprint": study.user_attrs.get(DATA)},
                "definitions": {p.name: p.definition for p in proxies},
            },
        )
    except EnsembleError as error:
        return None, [*notes, f"No ensemble: {error}"]
    return ensemble, [*notes, *ensemble.notes]


def _save(ensemble: Ensemble | None, path: Path) -> list[str]:
    """Write the ensemble, or remove that of an earlier end of this run; say why there is none."""
    said = []
    if ensemble is not None:
        try:
            ensemble.save(path)
        except EnsembleError as error:  # a regressor of scikit-learn's has no weights to write
            said.append(f"No ensemble.toml: {error}")
    if ensemble is None or said:
        path.unlink(missing_ok=True)
    return said


def _pareto(trials: pd.DataFrame, config: Config) -> pd.DataFrame:
    if trials.empty:
        return trials
    front = trials[trials["pareto"]].drop_duplicates("function_key")
    first = next((o for o in config.active_objectives if o.name in front.columns), None)
    if first is None:
        return front
    return front.sort_values(first.name, ascending=first.direction == "minimize")


def _best(
    trials: pd.DataFrame,
    ranked: pd.DataFrame,
    ensemble: Ensemble | None,
    benchmark: Benchmark | None,
    metric: str,
) -> Best | None:
    if ranked.empty or ensemble is None:
        return None
    row = ranked.iloc[0]
    best = Best(
        architecture=str(row["architecture"]),
        predicted=float(row["prediction"]),
        low=float(row["low"]),
        high=float(row["high"]),
    )
    if benchmark is None:
        return best
    fitted = trials if ensemble.fit_on == "all" else trials[trials["pareto"]]
    return replace(
        best,
        in_sample=read_architecture(best.architecture).function_key in set(fitted["function_key"]),
        true=benchmark.query(best.architecture)[metric],
        rank=benchmark.rank(best.architecture, metric),
        out_of=len(benchmark),
    )
