"""The main job, as it flows: space, sampler, proxies, benchmark, study, ensemble, files."""

import logging
import time
from collections.abc import Callable, Mapping
from platform import node

from zc_search._utils.files import writing
from zc_search.config import Config, config_to_toml, public
from zc_search.errors import StudyError
from zc_search.report.answer import search_plan
from zc_search.report.dashboard import dress_if_installed
from zc_search.report.page import write_outputs
from zc_search.samplers import sampler_of
from zc_search.study import Objective, TrialRecord, conclude, open_study, run_trials, set_aside
from zc_search.study.record import Progress, SearchResult, recorded
from zc_search.study.run_folder import RunFolder, run_path, storage_url
from zc_search.study.training import Epoch

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

            progress = Progress(config.study.n_trials)
            if (trainer := objective.trainer) is not None:
                progress.most = min(config.study.max_accuracies or progress.total, progress.total)
                progress.epochs = trainer.recipe.epochs

                def on_epoch(epoch: Epoch) -> None:
                    progress.epoch, progress.accuracy = epoch.number, epoch.accuracy
                    on_progress(progress)

                trainer.on_epoch = on_epoch
            hope = Hope(objective)
            for _, record in recorded(study):
                progress.count(record)
                hope.count(record)
            on_progress(progress)

            def on_trial(number: int, record: TrialRecord) -> None:
                logger.info("trial %d: %s", number, record)
                progress.count(record)
                progress.seconds = time.perf_counter() - begun
                on_progress(progress)
                hope.count(record)
                if hope.is_lost():
                    study.stop()

            # Who has the lock of this folder can work on the study once only.
            worker = f"{node()}:{folder.path.resolve()}" if storage else "main"
            try:
                run_trials(study, objective, on_trial, name=worker)
            except KeyboardInterrupt:
                finish()
                raise
            result = finish()
            if reason := hope.lost:
                raise StudyError(
                    f"none of the {progress.done} trials has a value, as a proxy failed: {reason}; "
                    f"{folder.path / 'run.log'} has all of it, and --fresh starts over",
                    given=reason,
                )
            return result


_HOPELESS = 10  # trials from the first on in which a proxy failed, after which a search ends


class Hope:
    """Whether any trial has had values, or all that had a network failed by a proxy's error."""

    def __init__(self, objective: Objective) -> None:
        self._objective, self._failed, self._reason = objective, 0, ""
        self._any = False

    def count(self, record: TrialRecord) -> None:
        """Take one more trial into account."""
        reason = self._objective.hopeless(record)
        self._any |= record.infeasible is None or (reason is None and bool(record.proxies))
        self._failed, self._reason = self._failed + (reason is not None), reason or self._reason

    def is_lost(self) -> bool:
        """Whether so many failed, and nothing else happened, that the next would too."""
        return self.lost is not None and self._failed >= _HOPELESS

    @property
    def lost(self) -> str | None:
        """The last reason, where all failed."""
        return None if self._any else self._reason or None
