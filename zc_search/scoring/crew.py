"""Worker processes that may die, hang or be killed one by one, without loss to the others.

``concurrent.futures`` ends a whole pool with one of its processes and cannot stop a task that
hangs. Here each process has a pipe and a thread of the parent to itself, so nothing is shared that
a killed process could leave locked or half written.
"""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from queue import SimpleQueue
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Any, Self

from zc_search.scoring.workers import begin


class WorkerDiedError(Exception):
    """The process that a task was given to ended without an answer."""


class WorkerNeverBeganError(Exception):
    """A process ended before it was ready for its first task."""


@dataclass
class _Task:
    function: Callable[..., Any]
    args: tuple[Any, ...]
    timeout: float | None
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
    """Fresh processes, each of which runs `prepare` before its first task; a context manager.

    A process that dies is replaced when the next task comes. Nothing survives the block: tasks
    that are not done then are dropped, and the processes are killed.

    Args:
        workers: How many processes.
        threads: Threads that torch may use in each.
        prepare: Importable function, called once in each process.
        *args: For `prepare`.
    """

    def __init__(
        self, workers: int, threads: int, prepare: Callable[..., None], *args: Any
    ) -> None:
        self._preparation = (threads, prepare, args)
        self._tasks: SimpleQueue[_Task | None] = SimpleQueue()
        self._alive: dict[int, _Member] = {}
        self._lock = Lock()
        self._over = Event()
        self._threads = [Thread(target=self._serve, args=(n,), daemon=True) for n in range(workers)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._lock:
            self._over.set()
            for member in self._alive.values():
                member.process.kill()
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join()

    def submit(
        self, function: Callable[..., Any], *args: Any, timeout: float | None = None
    ) -> Future[Any]:
        """Hand out a task.

        Args:
            function: Importable; called as ``function(*args)`` in one of the processes.
            *args: What can be pickled.
            timeout: Seconds from its start, after which its process is killed.

        Returns:
            A future of the function's result, or of its exception; of a `TimeoutError` after the
            timeout; of a `WorkerDiedError` if the process died.
        """
        task = _Task(function, args, timeout)
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
                member = self._alive.get(place) or self._start(place)
                done, value = self._ask(member, task)
            except BaseException as error:
                self._end(place)
                task.outcome.set_exception(error)
            else:
                (task.outcome.set_result if done else task.outcome.set_exception)(value)
        self._end(place)

    def _end(self, place: int) -> None:
        if place in self._alive:
            self._alive.pop(place).end()

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

    def _ask(self, member: _Member, task: _Task) -> tuple[bool, Any]:
        try:
            member.pipe.send((task.function, task.args))
            if not wait([member.pipe, member.process.sentinel], task.timeout):
                raise TimeoutError
            answer: tuple[bool, Any] = member.pipe.recv()
        except (EOFError, OSError) as error:
            if isinstance(error, TimeoutError):  # which is an OSError
                raise
            member.process.join()
            raise WorkerDiedError(f"exit code {member.process.exitcode}") from None
        return answer


def _work(
    pipe: Connection, threads: int, prepare: Callable[..., None], args: tuple[Any, ...]
) -> None:
    try:
        begin(threads, prepare, args, {})
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
        pipe.send(answer)
