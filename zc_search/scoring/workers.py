"""Worker processes that may die, hang or be killed one by one, without loss to the others.

``concurrent.futures`` ends a whole pool with one process and cannot stop a task that hangs. Here
each has a pipe and a thread of the parent to itself: nothing shared is left locked or half written.
"""

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from queue import SimpleQueue
from threading import Event, Lock, Thread
from typing import Any, Self

from zc_search.errors import ZcSearchError


class WorkerDiedError(ZcSearchError):
    """The process that a task was given to ended without an answer; `note` was its last one."""

    def __init__(self, message: str, note: Any = None) -> None:
        super().__init__(message)
        self.note = note


class WorkerNeverBeganError(ZcSearchError):
    """A process ended before it was ready for its first task."""

    def __init__(self) -> None:
        message = "the worker processes end before they begin (their messages are above); a script "
        message += 'that scores or searches must do so under `if __name__ == "__main__":`'
        super().__init__(message)


class TaskTimeoutError(Exception):
    """A task took too long; `note` was its last one."""

    def __init__(self, note: Any) -> None:
        super().__init__(note)
        self.note = note


@dataclass
class _Task:
    function: Callable[..., Any]
    args: tuple[Any, ...]
    timeout: float | None
    tries: int
    outcome: Future[Any] = field(default_factory=Future)


@dataclass
class _Member:
    process: SpawnProcess
    pipe: Connection

    def end(self) -> None:
        """Kill the process; what it was doing is lost."""
        self.process.kill()
        self.process.join()
        self.pipe.close()


class Crew:
    """Fresh processes, each of which calls ``prepare(*args)`` first; a context manager.

    One that dies is replaced when the next task comes. None survives the block, nor the caller.
    """

    def __init__(
        self, workers: int, prepare: Callable[..., None] | None = None, *args: Any
    ) -> None:
        self._preparation = (prepare, args)
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._alive: dict[int, _Member] = {}
        self._lock = Lock()
        self._over = Event()
        self._threads = [Thread(target=self._serve, args=(n,), daemon=True) for n in range(workers)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._over.set()
            for member in [*self._alive.values()]:  # the threads take members out all the while
                member.process.kill()
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join()

    def submit(
        self, function: Callable[..., Any], *args: Any, timeout: float | None = None, tries: int = 2
    ) -> Future[Any]:
        """Hand out a task: an importable function, which may `note` how far it is.

        Its exception is the future's, or `TaskTimeoutError`, or `WorkerDiedError` after `tries`.
        """
        task = _Task(function, args, timeout, tries)
        self._tasks.put(task)
        return task.outcome

    def _serve(self, place: int) -> None:
        """Do tasks in one process after another, until the crew is sent home."""
        while (task := self._tasks.get()) is not None:
            if self._over.is_set():
                task.outcome.cancel()
            if not task.outcome.set_running_or_notify_cancel():
                continue
            try:
                done, value = self._answer(place, task)
            except BaseException as error:
                self._end(place)
                task.outcome.set_exception(error)
            else:
                (task.outcome.set_result if done else task.outcome.set_exception)(value)
        self._end(place)

    def _answer(self, place: int, task: _Task) -> tuple[bool, Any]:
        try:
            return _ask(self._alive.get(place) or self._start(place), task)
        except WorkerDiedError:
            self._end(place)
            task.tries -= 1
            if task.tries < 1 or self._over.is_set():
                raise
            return self._answer(place, task)

    def _end(self, place: int) -> None:
        if (member := self._alive.pop(place, None)) is not None:
            member.end()

    def _start(self, place: int) -> _Member:
        context = get_context("spawn")  # a fork would copy locks that torch's threads hold
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs, *self._preparation))
        with self._lock:
            if self._over.is_set():
                raise WorkerDiedError("the crew was sent home")
            process.start()
            member = self._alive[place] = _Member(process, ours)
        theirs.close()
        wait([ours, process.sentinel])
        try:
            error = ours.recv()
        except (EOFError, OSError):
            raise WorkerNeverBeganError from None
        if error is not None:
            raise error
        return member


def _ask(member: _Member, task: _Task) -> tuple[bool, Any]:
    """Return whether a task succeeded, and its result or its exception."""
    last = None
    end = None if task.timeout is None else time.monotonic() + task.timeout
    try:
        member.pipe.send((task.function, task.args))
        while True:
            left = None if end is None else max(0.0, end - time.monotonic())
            if not wait([member.pipe, member.process.sentinel], left):
                raise TaskTimeoutError(last)
            kind, value = member.pipe.recv()
            if kind is not None:
                return kind, value
            last = value
    except (EOFError, OSError):
        member.process.join()
        raise WorkerDiedError(f"exit code {member.process.exitcode}", last) from None


_pipe: Connection


def note(value: Any) -> None:
    """Tell the parent, from within a task, what it shall know if the task does not end well."""
    _pipe.send((None, value))


def _work(pipe: Connection, prepare: Callable[..., None] | None, args: tuple[Any, ...]) -> None:
    global _pipe
    _pipe = pipe
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_leave_with_parent, daemon=True).start()
    try:
        if prepare is not None:
            prepare(*args)
    except Exception as error:  # said in the parent, by the task that started this process
        pipe.send(error)
        return
    pipe.send(None)
    while True:
        try:
            function, arguments = pipe.recv()
        except EOFError:
            return
        try:
            answer = True, function(*arguments)
        except Exception as error:  # the parent's to judge
            answer = False, error
        try:
            pipe.send(answer)
        except Exception as error:  # what does not pickle is no death of the process
            pipe.send((False, TypeError(f"the answer cannot be sent: {error}")))


def _leave_with_parent() -> None:
    # A worker waits for work on a pipe whose other end it holds itself, so it would wait forever.
    if parent := parent_process():
        parent.join()
        os._exit(1)
