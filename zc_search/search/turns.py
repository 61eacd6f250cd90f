"""Which trials this process scores next, and when there are no more, alone or among others."""

import time
from collections.abc import Callable, Iterator, Sequence

from optuna.exceptions import UpdateFinishedTrialError
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from zc_search.config import Config
from zc_search.scoring import Scorer, Scores
from zc_search.search.clock import Clock
from zc_search.search.objective import suggest
from zc_search.search.presence import Presence
from zc_search.search.record import TrialRecord
from zc_search.search.study import finished_trials, taken_up
from zc_search.spaces import AnyArchitecture, AnySpace, read_architecture

Turn = list[tuple[Trial, AnyArchitecture]]
"""Trials to be scored together, in order of their numbers."""

_PAUSE = 1.0  # seconds between two looks at what the others do


class Known:
    """What the finished trials of a study found, this process's and those of others.

    Attributes:
        first_of: Number of the first trial of each function, by function key.
    """

    def __init__(self, scorer: Scorer, clock: Clock) -> None:
        self.first_of: dict[str, int] = {}
        self._scorer = scorer
        self._clock = clock
        self._numbers: set[int] = set()

    def count(self, number: int, record: TrialRecord) -> None:
        """Take a finished trial into account."""
        self._numbers.add(number)
        self.first_of.setdefault(record.function_key, number)
        self._clock.count(record)

    def catch_up(
        self,
        study: Study,
        on_trial: Callable[[int, TrialRecord], None] = lambda number, record: None,
    ) -> None:
        """Take what is new in the study into account, and remember its scores.

        Args:
            study: The study.
            on_trial: Called with the number and the record of each new trial.
        """
        for trial in finished_trials(study):
            if trial.number not in self._numbers and (record := TrialRecord.of(trial)):
                self.count(trial.number, record)
                architecture = read_architecture(record.architecture)
                self._scorer.remember(Scores(architecture, record.proxies, record.failures))
                on_trial(trial.number, record)


def turns(
    study: Study,
    config: Config,
    space: AnySpace,
    clock: Clock,
    presence: Presence,
    catch_up: Callable[[], None],
) -> Iterator[Turn]:
    """Yield the next trials to score together: first those that were cut off, then new ones.

    It ends when the study has its trials and none of them is running any more, or when one of its
    budgets is spent.

    Args:
        study: The study.
        config: Its configuration.
        space: Where architectures come from.
        clock: Says what is left of the budgets.
        presence: Says who else works on the study.
        catch_up: Takes the trials of others into account.
    """
    size = config.study.workers

    def begun(trials: Sequence[FrozenTrial]) -> Turn:
        turn = []
        for trial in taken_up(study, trials, len(space.choices)):
            try:
                turn.append((trial, suggest(trial, space)))
            except UpdateFinishedTrialError:  # by somebody who was thought to be dead
                continue
        return turn

    turn = begun(presence.abandoned())
    asked = _asked(study)
    while True:
        if presence.others():
            catch_up()
            asked = _asked(study)
        room = min(clock.left(config), config.study.n_trials - asked + len(turn))
        # A turn ends at a multiple of its size, wherever an earlier run was cut off.
        while len(turn) < room and (not turn or asked % size):
            trial = study.ask()
            asked += 1
            if _is_surplus(study, trial, config.study.n_trials):
                study.tell(trial, state=TrialState.FAIL)
                break
            turn.append((trial, suggest(trial, space)))
        if turn:
            presence.hold(trial.number for trial, _ in turn)
            yield turn
            presence.hold(())
            turn = begun(presence.abandoned()) if presence.others() else []
            continue
        if not clock.left(config):
            return
        turn = begun(presence.abandoned())
        if not turn:
            if not study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                return
            time.sleep(_PAUSE)


def _asked(study: Study) -> int:
    """Return how many trials count towards the study's number of trials."""
    return sum(t.state != TrialState.FAIL for t in study.get_trials(deepcopy=False))


def _is_surplus(study: Study, trial: Trial, n_trials: int) -> bool:
    """Whether others asked for the last trials at the same moment."""
    if trial.number < n_trials:
        return False
    trials = study.get_trials(deepcopy=False)
    before = sum(t.number < trial.number and t.state != TrialState.FAIL for t in trials)
    return before >= n_trials
