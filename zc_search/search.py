"""The main job, as it flows: space, sampler, proxies, benchmark, study, ensemble, files."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from platform import node

from optuna.study import Study

from zc_search._utils.files import writing
from zc_search.benchmarks.measured import Measured
from zc_search.config import Config, config_to_toml, public
from zc_search.errors import StudyError
from zc_search.report.answer import search_plan
from zc_search.report.dashboard import dress_if_installed
from zc_search.report.page import write_outputs
from zc_search.samplers import sampler_of
from zc_search.scoring.scorer import raised
from zc_search.study import Objective, conclude, open_study, run_trials, set_aside
from zc_search.study.record import SearchResult, TrialRecord, recorded
from zc_search.study.storage import RunFolder, run_path, storage_url
from zc_search.study.training import Epoch, Trainer

logger = logging.getLogger("zc_search")

_HOPELESS = 10  # trials in which an objective failed, none having values: then a search ends


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
    sampler = sampler_of(config, objective.space, objective.refuses)
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
            objective.keep_in(folder.path)
            folder.write_text("config.toml", config_to_toml(public(config)))
            on_plan(search_plan(objective, folder.path))
            begun = time.perf_counter()

            def finish() -> SearchResult:
                seconds = {"set-up": begun - start, "search": time.perf_counter() - begun}
                found = conclude(study, objective, folder=folder.path, seconds=seconds)
                found = write_outputs(found, folder)
                if config.output.report:
                    dress_if_installed(study, found)
                return found

            watch = Watch(study, objective, on_progress)
            # Who has the lock of this folder can work on the study once only.
            worker = f"{node()}:{folder.path.resolve()}" if storage else "main"
            try:
                run_trials(study, objective, watch.on_trial, name=worker)
            except KeyboardInterrupt:
                finish()
                raise
            result = finish()
            watch.refuse_if_lost(str(folder.path / "run.log"))
            return result


@dataclass
class Progress:
    """Where the search stands."""

    total: int
    done: int = 0
    feasible: int = 0
    functions: set[str] = field(default_factory=set)
    seconds: float = 0.0
    trainings: int = 0  # finished, where a search trains, of at most `most`
    most: int = 0
    epoch: int = 0  # of the one going on, of `epochs`, and what it reached, in percent
    epochs: int = 0
    accuracy: float = math.nan

    def count(self, record: TrialRecord) -> None:
        """Count one more trial."""
        self.done += 1
        if record.benchmark and record.function_key not in self.functions:
            self.trainings, self.epoch = self.trainings + 1, 0
        self.feasible += record.infeasible is None
        self.functions.add(record.function_key)


class Watch:
    """Counts a search's trials and says so; ends one in which an objective always fails."""

    def __init__(
        self, study: Study, objective: Objective, on_progress: Callable[[Progress], None]
    ) -> None:
        self._study, self._objective, self._say = study, objective, on_progress
        self._begun, self._failed, self._reason, self._hope = time.perf_counter(), 0, "", False
        most, total = objective.config.study.max_accuracies, objective.config.study.n_trials
        self._progress = Progress(total)
        measure = objective.benchmark.measure if isinstance(objective.benchmark, Measured) else None
        if isinstance(measure, Trainer):
            self._progress.most = min(most or total, total)
            self._progress.epochs = measure.recipe.epochs
            measure.on_epoch = self._on_epoch
        for _, record in recorded(study):
            self._count(record)
        on_progress(self._progress)

    def on_trial(self, number: int, record: TrialRecord) -> None:
        """Count one more trial; stop the study where no other one can have values."""
        logger.info("trial %d: %s", number, record)
        self._count(record)
        self._progress.seconds = time.perf_counter() - self._begun
        self._say(self._progress)
        if self._failed >= _HOPELESS and not self._hope:
            self._study.stop()

    def refuse_if_lost(self, log: str) -> None:
        """Raise `StudyError` where no trial has a value; `log` is where to read more."""
        if self._reason and not self._hope:
            raise StudyError(
                f"none of the {self._progress.done} trials has a value, the last one for "
                f"{self._reason}; {log} has all of it, and --fresh starts over",
                given=self._reason,
            )

    def _count(self, record: TrialRecord) -> None:
        self._progress.count(record)
        reason = self._failure(record)
        self._hope |= record.infeasible is None or (reason is None and bool(record.proxies))
        self._failed, self._reason = self._failed + (reason is not None), reason or self._reason

    def _failure(self, record: TrialRecord) -> str | None:
        """Return why a trial has no values, where what gives an objective's raised."""
        measured = self._objective.benchmark
        asked = f"{measured.name}: " if isinstance(measured, Measured) else None
        for name in (objective.name for objective in self._objective.config.active_objectives):
            reason = record.failures.get(name, "")
            failed = (
                raised(reason) if name in record.proxies else asked and reason.startswith(asked)
            )
            if failed:
                return f"{name}: {reason}"
        return None

    def _on_epoch(self, epoch: Epoch) -> None:
        self._progress.epoch, self._progress.accuracy = epoch.number, epoch.accuracy
        self._say(self._progress)
