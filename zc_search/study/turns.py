"""Which trials this process scores next, and when there are no more, alone or among others."""

import logging
import math
import time
from collections.abc import Callable, Sequence

from optuna.exceptions import UpdateFinishedTrialError
from optuna.samplers import GridSampler
from optuna.study import Study
from optuna.trial import Trial, TrialState

from zc_search.config import Config
from zc_search.scoring.scorer import Scorer, Scores
from zc_search.spaces import AnyArchitecture, AnySpace, read_architecture
from zc_search.study.clock import Clock
from zc_search.study.objective import suggest
from zc_search.study.presence import Presence
from zc_search.study.record import TrialRecord
from zc_search.study.study import finished_trials, taken_up

logger = logging.getLogger("zc_search")

Begun = tuple[Trial, AnyArchitecture]
"""A trial to be scored, and its architecture."""

_PAUSE = 1.0  # seconds between two looks at whether the others are done
_LOOK = 5.0  # seconds between two looks for what others left behind


class Known:
    """What the finished trials of a study found, this process's and those of others.

    Attributes:
        first_of: Number of the first trial of each function, by function key.
        scores: Those of it that were computed, by function key.
    """

    def __init__(self, scorer: Scorer, clock: Clock) -> None:
        self.first_of: dict[str, int] = {}
        self.scores: dict[str, Scores] = {}
        self._scorer = scorer
        self._clock = clock
        self._numbers: set[int] = set()

    def count(self, number: int, record: TrialRecord) -> None:
        """Take a finished trial into account."""
        self._numbers.add(number)
        self.first_of.setdefault(record.function_key, number)
        self._clock.count(record)

    def remember(self, scores: Scores) -> None:
        """Let the scorer know what was computed."""
        self._scorer.remember(scores)
        if scores.values:
            self.scores.setdefault(scores.architecture.function_key, scores)

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
                self.remember(Scores(architecture, record.proxies, record.failures))
                on_trial(trial.number, record)


class Turns:
    """Begins the trials of a study, as many at a time as keep the workers busy.

    That is one for one worker and twice as many for several, since trials are told in order of
    their numbers and architectures take different times.

    Args:
        study: The study.
        config: Its configuration.
        space: Where architectures come from.
        clock: Says what is left of the budgets.
        presence: Says who else works on the study.
        catch_up: Takes the trials of others into account.
    """

    def __init__(
        self,
        study: Study,
        config: Config,
        space: AnySpace,
        clock: Clock,
        presence: Presence,
        catch_up: Callable[[], None],
    ) -> None:
        self._study = study
        self._config = config
        self._space = space
        self._clock = clock
        self._presence = presence
        self._catch_up = catch_up
        workers = config.study.workers
        self._most = 2 * workers if workers > 1 else 1
        self._n_trials = config.study.n_trials
        if config.study.sampler == "brute_force":
            self._n_trials = min(self._n_trials, space.size or self._n_trials)
        self._asked = _asked([t.state for t in study.get_trials(deepcopy=False)])
        self._looked = -math.inf
        self._beside = 0
        self._were_others = False

    def begin(self, in_hand: int) -> list[Begun]:
        """Begin the trials that may be scored now: those that were cut off, then new ones.

        Args:
            in_hand: How many that were begun here have not been told.

        Returns:
            Nothing if enough are in hand. If none is: the study has its trials and none of them
            is running any more, or one of its budgets is spent.
        """
        while True:
            others = self._presence.others()
            if others or self._were_others:  # what they told before they left counts as well
                self._catch_up()
                states = [t.state for t in self._study.get_trials(deepcopy=False)]
                self._asked = _asked(states)
                running = states.count(TrialState.RUNNING)
                self._beside = max(0, running - in_hand) if others else 0
            self._were_others = bool(others)
            begun = self._cut_off() if not in_hand or (others and self._is_time()) else []
            while self._has_room(in_hand + len(begun)):
                trial = self._study.ask()
                self._asked += 1
                if _is_surplus(self._study, trial, self._n_trials):
                    self._study.tell(trial, state=TrialState.FAIL)
                    break
                begun += self._suggested(trial)
            left = 0 if self._study._stop_flag else self._clock.left(self._config, self._most)
            if begun or in_hand or not left:
                return begun
            if not self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                return []
            time.sleep(_PAUSE)

    def _has_room(self, in_hand: int) -> bool:
        return (
            in_hand < self._most
            # Of a budget, what others have in hand may be spent already.
            and in_hand + self._beside < self._clock.left(self._config, self._most + self._beside)
            and self._asked < self._n_trials
            and not self._study._stop_flag  # a sampler has nothing left to suggest
            and not _is_exhausted(self._study)
        )

    def _is_time(self) -> bool:
        """Whether to look again for trials of processes that died; a look costs two queries."""
        now = time.monotonic()
        if now - self._looked < _LOOK:
            return False
        self._looked = now
        return True

    def _cut_off(self) -> list[Begun]:
        begun: list[Begun] = []
        abandoned = self._presence.abandoned()
        for trial in taken_up(self._study, abandoned, len(self._space.choices)):
            begun += self._suggested(trial)
        return begun

    def _suggested(self, trial: Trial) -> list[Begun]:
        """Return a trial with its architecture, if it has one."""
        try:
            return [(trial, suggest(trial, self._space))]
        except UpdateFinishedTrialError:  # by somebody who was thought to be dead
            return []
        except ValueError as error:
            stored = self._study._storage.get_trial(trial._trial_id)
            if "fixed_params" not in stored.system_attrs:
                raise
            logger.warning("enqueued trial %d is not of the space: %s", trial.number, error)
            self._study.tell(trial, state=TrialState.FAIL)
            self._asked -= 1
            return []


def _is_exhausted(study: Study) -> bool:
    """Whether the sampler, one of a grid, has suggested all there is; also in an earlier run."""
    sampler = study.sampler
    return isinstance(sampler, GridSampler) and sampler.is_exhausted(study)


def _asked(states: Sequence[TrialState]) -> int:
    """Return how many trials count towards the study's number of trials.

    Those that a user enqueued count when they are asked for.
    """
    return len(states) - states.count(TrialState.FAIL) - states.count(TrialState.WAITING)


def _is_surplus(study: Study, trial: Trial, n_trials: int) -> bool:
    """Whether others asked for the last trials at the same moment."""
    if trial.number < n_trials:
        return False
    trials = study.get_trials(deepcopy=False)
    before = sum(t.number < trial.number and t.state != TrialState.FAIL for t in trials)
    return before >= n_trials
