"""Which processes work on a study, and which of its trials are nobody's any more.

Optuna has heartbeats for databases alone, and one that dies between asking for a trial and its
first beat leaves that trial running for ever. Here each process writes a study's attribute that
says how often it has beaten and what it has in hand; who looks on compares two of these by a clock
of its own, so that the clocks of two machines need not agree and may be set back.
"""

import logging
import time
from collections.abc import Iterable
from threading import Event, Thread
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from optuna.exceptions import OptunaError
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from zc_search.errors import StudyError
from zc_search.study.identity import has_ended, this_process

logger = logging.getLogger("zc_search")

WORKER = "zc_search_worker:"
"""What the keys of the study's user attributes begin with that say who works on it."""

EVERY = 10.0
"""Seconds between two beats."""

GRACE = 45.0
"""Seconds without a beat after which a process counts as dead."""


class Presence:
    """Shows a study that this process works on it; a context manager.

    Args:
        study: The study.
        every: Seconds between two beats.
        grace: Seconds without a beat after which another process counts as dead, and for which a
            trial may be in nobody's hand.

    Attributes:
        name: Of this process: machine, process number, and eight characters of its own.
    """

    def __init__(self, study: Study, *, every: float = EVERY, grace: float = GRACE) -> None:
        self._here = this_process()
        self.name = f"{self._here['host']}:{self._here['pid']}:{uuid4().hex[:8]}"
        self._study = study
        self._every = every
        self._grace = grace
        self._held: tuple[int, ...] = ()
        self._beats = 0
        self._seen: dict[str, tuple[object, float]] = {}
        self._loose_since: dict[int, float] = {}
        self._others: dict[str, dict[str, Any]] = {}
        self._unsure: set[str] = set()
        self._looked = -float("inf")
        self._over = Event()
        self._thread = Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Self:
        _ours.add(self.name)
        self._write()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join(1.0)
        _ours.discard(self.name)
        if isinstance(error, StudyError):
            return  # the storage is away, and was waited for
        try:
            self._write(left=True)
        except (OptunaError, StudyError) as failure:
            logger.warning("the storage was not told that this process leaves: %s", failure)

    def _beat(self) -> None:
        while not self._over.wait(self._every):
            try:
                self._write()
            except Exception as error:  # the next beat may succeed; the search itself decides
                logger.warning("a heartbeat failed: %s", error)

    def _write(self, *, left: bool = False) -> None:
        self._beats += 1
        said = {
            "beat": self._beats,
            "trials": list(self._held),
            "process": dict(self._here),
        }
        self._study.set_user_attr(WORKER + self.name, {**said, "left": True} if left else said)

    def hold(self, numbers: Iterable[int]) -> None:
        """Say which trials this process has in hand from now on; the next beat writes it down."""
        self._held = tuple(numbers)

    def others(self, within: float = 2.0) -> list[str]:
        """Return the names of the other processes that are alive, as of so many seconds ago."""
        now = time.monotonic()
        if now - self._looked > within:
            self._looked = now
            attributes = self._study.user_attrs
            self._others = {
                name: said
                for key, said in attributes.items()
                if key.startswith(WORKER)
                and (name := key.removeprefix(WORKER)) != self.name
                and self._is_alive(name, said, now)
            }
        return [*self._others]

    def _is_alive(self, name: str, said: object, now: float) -> bool:
        if not isinstance(said, dict) or said.get("left"):
            return False
        process = said.get("process")
        ended = has_ended(process, self._here)
        # One of our own that does not say that it left ended with an error.
        if ended or (process == self._here and name not in _ours):
            return False
        if ended is None and name not in self._seen:
            self._unsure.add(name)
        beat, since = self._seen.get(name, (said.get("beat"), now))
        if beat != said.get("beat"):
            beat, since = said.get("beat"), now
            self._unsure.discard(name)
        self._seen[name] = beat, since
        if now - since <= self._grace:
            return True
        # So that nobody waits for it again; its next beat takes this back if it was only slow.
        self._study.set_user_attr(WORKER + name, {**said, "left": True})
        return False

    def settle(self) -> None:
        """Wait until it is known which processes are alive, if trials may be in their hands.

        So that what a process on another machine had in hand when it died is taken up before new
        trials are begun, which would be drawn otherwise. One that is alive shows it within `every`
        seconds, and one of this machine at once.
        """
        told = False
        while unsure := self._unsure.intersection(self.others(within=0.0)):
            if not self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
                return
            if not told:
                names = sorted({name.rpartition(":")[0] for name in unsure})
                logger.warning(
                    "waiting up to %g s for a sign of life from %s, where trials may be in hand",
                    self._grace,
                    ", ".join(names),
                )
                told = True
            time.sleep(min(1.0, self._grace / 10))

    def abandoned(self) -> list[FrozenTrial]:
        """Return the trials that were begun and that no living process has in hand.

        Where another process is alive, a trial that none of them names counts only after a
        while, since those of the last seconds are not written down yet.
        """
        others = self.others(within=0.0)
        now = time.monotonic()
        held = {number for said in self._others.values() for number in said.get("trials", ())}
        running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        loose = [t for t in running if t.number not in held and t.number not in self._held]
        self._loose_since = {t.number: self._loose_since.get(t.number, now) for t in loose}
        if not others:
            return loose
        return [t for t in loose if now - self._loose_since[t.number] > self._grace]


_ours: set[str] = set()
