"""Asking, scoring and telling, until the study has its trials."""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from optuna.exceptions import UpdateFinishedTrialError
from optuna.study import Study
from optuna.trial import Trial

from zc_search.benchmarks import Benchmark
from zc_search.config import Config
from zc_search.scoring.parallel import scoring
from zc_search.scoring.scorer import Scorer, Scores
from zc_search.spaces import AnyArchitecture, AnySpace
from zc_search.study.clock import Clock
from zc_search.study.objective import make_record, tell
from zc_search.study.predictions import remember_ensembles, with_predictions
from zc_search.study.presence import Presence
from zc_search.study.record import TrialRecord
from zc_search.study.turns import Known, Turns

if TYPE_CHECKING:
    from zc_search.ensemble import Ensemble

logger = logging.getLogger("zc_search")

OnTrial = Callable[[int, TrialRecord], None]
"""Called after each trial, with its number and record."""


def run_trials(
    study: Study,
    config: Config,
    space: AnySpace,
    scorer: Scorer,
    benchmark: Benchmark | None,
    on_trial: OnTrial = lambda number, record: None,
    ensembles: "Mapping[str, Ensemble] | None" = None,
) -> None:
    """Bring a study to its number of trials, or to the end of one of its budgets.

    Trials are told in order of their numbers, and each is asked for when the one has been told
    that is as many before it as may be in hand (see `Turns`). So what a sampler knows when it
    draws a trial does not depend on which worker was faster, nor on where an earlier run was cut
    off. Other processes may work on the study at the same time; trials that one of them leaves
    behind are taken up.

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
    known = Known(scorer, clock)
    known.catch_up(study)
    first_of = known.first_of
    with (
        _stoppable(study),
        Presence(study) as presence,
        scoring(scorer, config.study.workers, config.proxies.timeout) as submit,
    ):
        presence.settle()
        catch_up = partial(known.catch_up, study, on_trial)
        turns = Turns(study, config, space, clock, presence, catch_up)
        in_hand: deque[tuple[Trial, AnyArchitecture]] = deque()
        jobs: dict[str, Future[Scores]] = {}
        functions: set[str] = set()
        while True:
            for trial, architecture in turns.begin(len(in_hand)):
                in_hand.append((trial, architecture))
                presence.hold(t.number for t, _ in in_hand)
                key, text = architecture.function_key, str(architecture)
                if stored := TrialRecord.of(trial):  # cut off while it was told
                    known.remember(Scores(architecture, stored.proxies, stored.failures))
                # Another one of a function in hand waits for it, and is spared what they share.
                waits = text in jobs or key in functions or scorer.knows(architecture)
                if architecture.infeasible is None and not waits:
                    jobs[text] = submit(architecture, known.scores.get(key))
                    functions.add(key)
            if not in_hand:
                return
            trial, architecture = in_hand[0]
            key = architecture.function_key
            scores = None
            if architecture.infeasible is None:
                job = jobs.pop(str(architecture), None)
                if job is None and not scorer.knows(architecture):
                    job = submit(architecture, known.scores.get(key))
                if job is not None:
                    known.remember(job.result())
                functions.discard(key)
                scores = scorer.score(architecture) if job is None else job.result()
            record = make_record(
                architecture,
                scores,
                benchmark,
                repeat_of=first_of.get(key),
                data=scorer.batch.fingerprint,
            )
            if stored := TrialRecord.of(trial):
                record = replace(record, seconds=stored.seconds)
            record = with_predictions(record, ensembles)
            known.count(trial.number, record)
            try:
                told = tell(study, trial, config, record)
            except (UpdateFinishedTrialError, ValueError):
                # Optuna says either, by the moment at which another process was faster.
                if not study._storage.get_trial(trial._trial_id).state.is_finished():
                    raise
                logger.info("trial %d was told by another process", trial.number)
            else:
                on_trial(trial.number, told)
            in_hand.popleft()
            presence.hold(t.number for t, _ in in_hand)


@contextmanager
def _stoppable(study: Study) -> Iterator[None]:
    """Let a sampler call `Study.stop`, as a brute-force search does in the end."""
    here = study._thread_local
    before, here.in_optimize_loop = here.in_optimize_loop, True
    try:
        yield
    finally:
        here.in_optimize_loop = before
