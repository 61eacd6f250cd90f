"""A crew: processes that die, hang or end one by one. Nothing here loads torch, in none of them."""

import os
import time
from pathlib import Path

import pytest

from zc_search.scoring.workers import (
    Crew,
    TaskTimeoutError,
    WorkerDiedError,
    WorkerNeverBeganError,
    note,
)

STATE: list[int] = []


def prepare(value: int) -> None:
    STATE.append(value)


def prepared() -> int:
    (value,) = STATE
    return value


def no_way() -> None:
    raise RuntimeError("there is no such device")


def leave() -> None:
    os._exit(3)


def fail() -> None:
    raise KeyError("of mine")


def leave_once(mark: Path) -> str:
    if not mark.exists():
        mark.touch()
        leave()
    return "done"


def hold() -> None:
    note("in hand")
    time.sleep(60)


def unsendable() -> object:
    return lambda: 0


def test_a_crew_outlives_whatever_its_tasks_do(tmp_path: Path) -> None:
    with Crew(2, prepare, 7) as crew:
        first = crew.submit(os.getpid)
        late = crew.submit(hold, timeout=0.2)
        with pytest.raises(KeyError, match="of mine"):
            crew.submit(fail).result()
        with pytest.raises(TypeError, match="the answer cannot be sent"):
            crew.submit(unsendable).result()
        with pytest.raises(WorkerDiedError, match="exit code 3"):
            crew.submit(leave, tries=1).result()
        assert crew.submit(leave_once, tmp_path / "mark").result() == "done"
        with pytest.raises(TaskTimeoutError) as timeout:
            late.result()
        assert timeout.value.note == "in hand"
        assert crew.submit(prepared).result() == 7
        pid = first.result()
        left = crew.submit(time.sleep, 60)
        dropped = [crew.submit(time.sleep, 60) for _ in range(3)]
        started = time.monotonic()
    assert time.monotonic() - started < 30
    assert left.cancelled() or isinstance(left.exception(), WorkerDiedError)
    assert all(task.cancelled() or task.exception() for task in dropped)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_crew_that_cannot_begin_says_why() -> None:
    with Crew(1, no_way) as one, Crew(1, leave) as other:
        said, silent = one.submit(os.getpid), other.submit(os.getpid)
        with pytest.raises(RuntimeError, match="there is no such device"):
            said.result()
        with pytest.raises(WorkerNeverBeganError, match="__main__"):
            silent.result()


class Leaving:
    """A process whose thread takes it out of the crew the moment that it is killed."""

    def __init__(self, alive: dict[int, "Leaving"], place: int) -> None:
        self.process, self.alive, self.place = self, alive, place

    def kill(self) -> None:
        del self.alive[self.place]

    def end(self) -> None:
        """Nothing is left to end."""


def test_a_crew_may_shrink_while_it_is_sent_home() -> None:
    with Crew(0) as crew:
        crew._alive.update({place: Leaving(crew._alive, place) for place in range(8)})
    assert not crew._alive
