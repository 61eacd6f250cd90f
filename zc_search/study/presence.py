"""Which processes work on a study, and which of its trials are nobody's any more.

Optuna has heartbeats for databases alone, and one that dies between asking for a trial and its
first beat leaves that trial running for ever. Here each process writes an attribute of the study
that says how often it has beaten and what it has in hand; who looks on compares two of these by a
clock of its own. Who is alone needs none of this: every trial that runs is its own.
"""

import logging
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from platform import node
from threading import Event, Thread
from typing import Any, Self
from uuid import uuid4

import psutil
from optuna.exceptions import OptunaError
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from zc_search.errors import StudyError

logger = logging.getLogger("zc_search")

WORKER = "zc_search_worker:"
"""What the keys of the study's attributes begin with that say who works on it."""


class Presence:
    """Shows a study that this process works on it; a context manager.

    Optuna deletes no attribute, so who leaves or is dead leaves its key, empty, to the next one.
    Who can be there once only has a `name`, and comes in place of what it was before a kill. Beats
    come `every` so many seconds; after `grace` seconds without one a process counts as dead.
    """

    def __init__(
        self, study: Study, name: str | None = None, *, every: float = 10.0, grace: float = 45.0
    ) -> None:
        self.key = WORKER + (name or uuid4().hex[:8])
        self._named = name is not None
        self._id = uuid4().hex
        self._study = study
        self._every, self._grace = every, grace
        self._held: tuple[int, ...] = ()
        self._beats = 0
        self._seen: dict[str, tuple[object, float]] = {}
        self._loose_since: dict[int, float] = {}
        self._others: list[dict[str, Any]] = []
        self._looked = -float("inf")
        self._over = Event()
        self._thread = Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Self:
        if not self._named:
            self.others()  # which frees the keys of the dead
            free = [k for k, v in self._study.user_attrs.items() if k.startswith(WORKER) and not v]
            self.key = free[0] if free else self.key
        self._write()
        self._thread.start()
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self._over.set()
        self._thread.join(1.0)
        if isinstance(error, StudyError):
            return  # the storage is away, and was waited for
        try:
            self._study.set_user_attr(self.key, None)
        except (OptunaError, StudyError) as failure:
            logger.warning("the storage was not told that this process leaves: %s", failure)

    def _beat(self) -> None:
        while not self._over.wait(self._every):
            try:
                self._write()
            except Exception as error:  # the next beat may succeed; the search itself decides
                logger.warning("a heartbeat failed: %s", error)

    def _write(self) -> None:
        there = self._study.user_attrs.get(self.key)
        if not self._named and there and there.get("id") != self._id:  # another took it as well
            self.key = WORKER + uuid4().hex[:8]
        self._beats += 1
        beat = {"id": self._id, "beat": self._beats, "trials": [*self._held]}
        self._study.set_user_attr(self.key, {**beat, "process": this_process()})

    def hold(self, numbers: Iterable[int]) -> None:
        """Say which trials this process has in hand from now on; the next beat writes it down."""
        self._held = tuple(numbers)

    def others(self, within: float = 2.0) -> list[dict[str, Any]]:
        """Return what the other processes wrote that are alive, as of so many seconds ago."""
        now = time.monotonic()
        if now - self._looked > within:
            self._looked = now
            self._others = [
                beat
                for key, beat in self._study.user_attrs.items()
                if key.startswith(WORKER) and key != self.key and self._is_alive(key, beat, now)
            ]
        return self._others

    def _is_alive(self, key: str, beat: Any, now: float) -> bool:
        if not isinstance(beat, dict):
            return False
        mark = (beat.get("id"), beat.get("beat"))
        before, since = self._seen.get(key, (None, now))
        self._seen[key] = mark, (since if before in (None, mark) else now)
        if now - self._seen[key][1] <= self._grace and not has_ended(beat.get("process")):
            return True
        # Its next beat takes this back, if it was only slow.
        self._study.set_user_attr(key, None)
        del self._seen[key]
        return False

    def abandoned(self) -> list[FrozenTrial]:
        """Return the trials that were begun and that no living process has in hand.

        Where others are alive that takes a while: their last seconds are not written down yet.
        """
        running = self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        loose = [trial for trial in running if trial.number not in self._held]
        others, now = self.others(within=0.0) if loose else [], time.monotonic()
        if not others:
            return loose
        held = {number for beat in others for number in beat.get("trials", ())}
        loose = [trial for trial in loose if trial.number not in held]
        self._loose_since = {t.number: self._loose_since.get(t.number, now) for t in loose}
        return [t for t in loose if now - self._loose_since[t.number] > self._grace]


def this_process() -> dict[str, str | int | float]:
    """Return what tells this process from all others: its machine, number and start."""
    process = psutil.Process()
    return {"host": _place(), "pid": process.pid, "started": _started(process)}


def has_ended(other: object) -> bool:
    """Whether a process is known to have ended; of one on another machine that is never known."""
    if not isinstance(other, dict) or other.get("host") != _place():
        return False
    try:
        process = psutil.Process(int(other["pid"]))
        if process.status() == psutil.STATUS_ZOMBIE:
            return True
        return abs(_started(process) - float(other["started"])) > 1.0  # another of that number
    except (psutil.Error, KeyError, TypeError, ValueError) as error:
        return isinstance(error, psutil.NoSuchProcess)


def _place() -> str:
    """Return the machine, or the container: two of these may share a name, not process numbers."""
    namespace = ""
    with suppress(OSError, NotImplementedError):  # of Linux alone
        namespace = str(Path("/proc/self/ns/pid").readlink())
    return f"{node()} {namespace}".strip()


def _started(process: psutil.Process) -> float:
    """Return seconds between the machine's start and the process's; no clock is set back by."""
    return round(float(process.create_time() - psutil.boot_time()), 2)
