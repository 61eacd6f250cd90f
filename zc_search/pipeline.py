"""The main job: `run_search` wires space, proxies, benchmark, study, ensemble and files."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import optuna
import pandas as pd

from zc_search.benchmarks import Benchmark, open_benchmark
from zc_search.config import METRIC_DIRECTIONS, Config, config_to_toml
from zc_search.data import load_batch
from zc_search.ensemble import Ensemble, aggregate_ranking, fit_ensemble, ranking
from zc_search.ensemble.sources import COSTLY, settings_of
from zc_search.errors import BenchmarkError, EnsembleError
from zc_search.outputs import write_outputs
from zc_search.passwords import without_passwords
from zc_search.proxies import Proxy, resolve_proxies
from zc_search.results import Best, Listener, Progress, SearchResult, Silence
from zc_search.run_folder import RunFolder, storage_url
from zc_search.scoring import Scorer
from zc_search.search import (
    DATA,
    TrialRecord,
    advice,
    finished_trials,
    load_ensembles,
    open_study,
    run_trials,
    trials_table,
)
from zc_search.spaces import Architecture, CellSpace

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
    proxies = resolve_proxies(config.proxies_to_compute)
    ensembles = load_ensembles(config, proxies)
    benchmark = _open_benchmark(config)
    space = CellSpace(config.space.choices)
    batch = load_batch(
        config.data.source,
        dataset=config.space.dataset,
        batch_size=config.data.batch_size,
        seed=config.data.seed,
        path=config.data.path,
    )
    scorer = Scorer(
        proxies,
        batch,
        dataset=config.space.dataset,
        channels=config.space.channels,
        cells=config.space.cells,
        repeats=config.proxies.repeats,
        seed=config.proxies.seed,
        device=config.proxies.device,
    )
    folder = RunFolder(Path(config.output.folder) / config.study.name)
    with folder.locked(), _logging_to(folder.path / "run.log"):
        if fresh and (aside := folder.set_aside()):
            logger.info("earlier run moved to %s", aside)
        study = open_study(
            config,
            storage_url(config, folder.path),
            batch.fingerprint,
            {p.name: p.definition for p in proxies},
        )
        folder.write_text("config.toml", config_to_toml(config))
        listener.planned(_plan(config, space, proxies, benchmark, folder))
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
            run_trials(study, config, space, scorer, benchmark, on_trial, ensembles)
        except KeyboardInterrupt as interrupt:
            interrupted = interrupt
        seconds["search"] = time.perf_counter() - begun
        result = _conclude(config, folder, study, proxies, benchmark, seconds)
        if interrupted is not None:
            raise interrupted
        return result


@contextmanager
def _logging_to(path: Path) -> Iterator[None]:
    """Write the log of zc-search to a file as well."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        handler.close()


def _open_benchmark(config: Config) -> Benchmark | None:
    if config.benchmark.name == "none":
        return None
    benchmark = open_benchmark(config.benchmark.name, config.space.dataset, config.benchmark.path)
    wanted = [o.name for o in config.objectives if o.name in METRIC_DIRECTIONS]
    any_architecture = Architecture.from_index(0)
    for metric in (config.benchmark.metric, *wanted):
        try:
            benchmark.query(any_architecture, metrics=[metric])
        except BenchmarkError as error:
            raise BenchmarkError(f"benchmark.metric or objectives: {error}") from error
    return benchmark


def _plan(
    config: Config,
    space: CellSpace,
    proxies: tuple[Proxy, ...],
    benchmark: Benchmark | None,
    folder: RunFolder,
) -> dict[str, str]:
    objectives = ", ".join(f"{o.name} ({o.direction})" for o in config.active_objectives)
    recorded = [p.name for p in proxies if p.name not in {o.name for o in config.active_objectives}]
    plan = {
        "space": f"{space.name}, {len(space):,} architectures, for {config.space.dataset}, "
        f"{config.space.channels} channels, {config.space.cells} cells a stage",
        "objectives": objectives + (" as one weighted sum" if config.study.sum_objectives else ""),
        "recorded": ", ".join(recorded) or "nothing else",
        "data": f"{config.data.batch_size} images from {config.data.source}, "
        f"seed {config.data.seed}",
        "benchmark": benchmark.provenance if benchmark else "none",
        "sampler": f"{config.study.sampler}, seed {config.study.seed}, "
        f"{config.study.n_trials} trials",
        "storage": without_passwords(storage_url(config, folder.path)),
    }
    objectives_count = 1 if config.study.sum_objectives else len(config.active_objectives)
    if warning := advice(config.study.sampler, objectives_count):
        plan["warning"] = warning
    return plan


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
    notes: list[str] = []
    ensemble = None
    ranked = pd.DataFrame()
    seen = config.ensemble.proxies or tuple(p.name for p in proxies)
    directions = {p.name: p.direction for p in proxies if p.name not in COSTLY}
    if benchmark is None:
        notes.append("No benchmark, so no accuracy to fit an ensemble to.")
        if not trials.empty and trials["feasible"].any():
            ranked = aggregate_ranking(trials, seen, directions)
            notes.append(
                "ranking.csv is by the accuracy-free aggregate, the mean of the logarithms of the "
                f"ranks in {', '.join(seen)}; it is no percentage. First is "
                f"{ranked['architecture'].iloc[0]}."
            )
    else:
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
                directions=directions,
                metadata={
                    "dataset": config.space.dataset,
                    "accuracies": benchmark.provenance,
                    "scores": settings_of(config)
                    | {"name": folder.path.name, "data.fingerprint": study.user_attrs.get(DATA)},
                    "definitions": {p.name: p.definition for p in proxies},
                },
            )
            ranked = ranking(ensemble, trials)
            notes += ensemble.notes
        except EnsembleError as error:
            notes.append(f"No ensemble: {error}")
    if ensemble is not None:
        try:
            ensemble.save(folder.path / "ensemble.toml")
        except EnsembleError as error:  # a regressor of scikit-learn's has no weights to write
            notes.append(f"No ensemble.toml: {error}")
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
    )
    write_outputs(result, study, folder)
    return result


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
        in_sample=Architecture.from_string(best.architecture).function_key
        in set(fitted["function_key"]),
        true=benchmark.query(best.architecture)[metric],
        rank=benchmark.rank(best.architecture, metric),
        out_of=len(benchmark),
    )
