"""Asking, scoring and telling, until the study has its trials."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from typing import TYPE_CHECKING

from optuna.study import Study
from optuna.trial import Trial

from zc_search.benchmarks import Benchmark
from zc_search.config import Config
from zc_search.scoring import Scorer, Scores
from zc_search.search.clock import Clock
from zc_search.search.objective import make_record, suggest, tell
from zc_search.search.predictions import remember_ensembles, with_predictions
from zc_search.search.record import TrialRecord
from zc_search.search.study import finished_trials, unfinished_trials
from zc_search.search.workers import scoring
from zc_search.spaces import Architecture, CellSpace

if TYPE_CHECKING:
    from zc_search.ensemble import Ensemble

OnTrial = Callable[[int, TrialRecord], None]
"""Called after each trial, with its number and record."""


def run_trials(
    study: Study,
    config: Config,
    space: CellSpace,
    scorer: Scorer,
    benchmark: Benchmark | None,
    on_trial: OnTrial = lambda number, record: None,
    ensembles: "Mapping[str, Ensemble] | None" = None,
) -> None:
    """Bring a study to its number of trials, or to the end of one of its budgets.

    Trials are asked for in groups of as many as there are workers and told in order of their
    numbers, so that what a sampler knows when it draws a trial does not depend on which worker
    was faster, nor on where an earlier run was cut off.

    Args:
        study: The study.
        config: Its configuration.
        space: Where architectures come from.
        scorer: Computes proxies.
        benchmark: Says what training gave.
        on_trial: Called after each trial.
        ensembles: Those whose predictions are objectives; see `load_ensembles`.

    Raises:
        StudyError: The study was begun with other ensembles.
    """
    ensembles = ensembles or {}
    remember_ensembles(study, ensembles)
    clock = Clock()
    first_of = _remember_finished(study, scorer, clock)
    with scoring(scorer, config.study.workers) as submit:
        for group in _groups(study, config, space, clock):
            jobs: dict[str, Future[Scores]] = {}
            for _, architecture in group:
                key = architecture.function_key
                if architecture.reaches_output and key not in first_of and key not in jobs:
                    jobs[key] = submit(architecture)
            for trial, architecture in group:
                key = architecture.function_key
                scores = None
                if job := jobs.pop(key, None):
                    scores = job.result()
                    scorer.remember(scores)
                elif architecture.reaches_output:
                    scores = scorer.score(architecture)
                record = make_record(
                    architecture,
                    scores,
                    benchmark,
                    repeat_of=first_of.get(key),
                    data=scorer.batch.fingerprint,
                )
                record = with_predictions(record, ensembles)
                first_of.setdefault(key, trial.number)
                clock.count(record)
                on_trial(trial.number, tell(study, trial, config, record))


def _remember_finished(study: Study, scorer: Scorer, clock: Clock) -> dict[str, int]:
    """Fill the scorer's cache and the clock; return the first trial of each function."""
    first_of: dict[str, int] = {}
    for trial in finished_trials(study):
        if record := TrialRecord.of(trial):
            first_of.setdefault(record.function_key, trial.number)
            clock.count(record)
            architecture = Architecture.from_string(record.architecture)
            scorer.remember(Scores(architecture, record.proxies, record.failures))
    return first_of


def _groups(
    study: Study, config: Config, space: CellSpace, clock: Clock
) -> Iterator[list[tuple[Trial, Architecture]]]:
    """Yield the next trials to score together: first those that were cut off, then new ones."""
    size = config.study.workers
    group = [(t, suggest(t, space)) for t in unfinished_trials(study, len(space.choices))]
    asked = len(study.get_trials(deepcopy=False))
    while True:
        room = min(clock.left(config), config.study.n_trials - asked + len(group))
        # A group ends at a multiple of its size, wherever an earlier run was cut off.
        while len(group) < room and (not group or asked % size):
            trial = study.ask()
            group.append((trial, suggest(trial, space)))
            asked += 1
        if not group:
            return
        yield group
        group = []
