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
from zc_search.study import Objective, conclude, open_study, run_trials, set_aside
from zc_search.study.record import SearchResult
from zc_search.study.run_folder import RunFolder, run_path, storage_url
from zc_search.study.trials import Progress, Watch

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
