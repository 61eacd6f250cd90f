"""Which proxy is in hand, so that one that takes too long costs only itself."""

from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from zc_search.proxies import Probe, Proxy, Scalar
from zc_search.scoring.crew import Crew

WORKER_DIED = "the worker process died with it, twice"
"""The reason for a value that is missing because its worker was killed."""

_LIMIT = "which is proxies.timeout"


def too_long(seconds: float) -> str:
    """Return the reason for a value that is missing because of ``proxies.timeout``."""
    return f"no value within {seconds:g} s, {_LIMIT}"


def worth_another_try(reason: str) -> bool:
    """Tell whether a value is missing for a reason that need not be there the next time."""
    return reason == WORKER_DIED or reason.endswith(_LIMIT)


T = TypeVar("T")


class GivenUpError(Exception):
    """A proxy that is not computed, because it took too long before."""


@dataclass(frozen=True)
class Watch:
    """Notes which proxy is in hand, and leaves out those that were given up.

    Attributes:
        note: The file that says it.
        given_up: Reasons by proxy.
    """

    note: Path
    given_up: Mapping[str, str]

    def begin(self) -> None:
        """Note that none is in hand."""
        with suppress(OSError):
            self.note.write_text("", encoding="utf-8")

    def in_hand(self) -> str:
        """Return the name of the proxy in hand, empty if that is none or not known."""
        try:
            return self.note.read_text(encoding="utf-8")
        except OSError:
            return ""

    def over(self, proxy: Proxy) -> Proxy:
        """Return the proxy, watched."""
        return replace(proxy, function=_Watched(self, proxy))


@dataclass(frozen=True)
class _Watched:
    watch: Watch
    proxy: Proxy

    def __call__(self, probe: Probe, **options: Any) -> Scalar:
        if reason := self.watch.given_up.get(self.proxy.name):
            raise GivenUpError(reason)
        with suppress(OSError):  # a full disk is no failure of the proxy
            self.watch.note.write_text(self.proxy.name, encoding="utf-8")
        return self.proxy.function(probe, **options)


class Attempt(Generic[T]):
    """A task of a crew, tried until all that is left of its proxies has been computed.

    Args:
        crew: Who does it.
        note: A file of its own, for the watch.
        task: Importable; called with `args` and the watch.
        args: What can be pickled.
        timeout: Seconds after which the proxy in hand is given up; None for no limit.
        reason: What then is said of it.
        lost: Makes what comes out if nothing can be computed, for a reason.

    Attributes:
        outcome: What comes out.
    """

    def __init__(
        self,
        crew: Crew,
        note: Path,
        task: Callable[..., T],
        args: tuple[Any, ...],
        *,
        timeout: float | None,
        reason: str,
        lost: Callable[[str], T],
    ) -> None:
        self.outcome: Future[T] = Future()
        self._crew = crew
        self._task = task
        self._args = args
        self._timeout = timeout
        self._reason = reason
        self._lost = lost
        self._watch = Watch(note, {})
        self._try()

    def _try(self) -> None:
        self._watch.begin()
        self._crew.submit(
            self._task, *self._args, self._watch, timeout=self._timeout
        ).add_done_callback(self._tried)

    def _tried(self, done: Future[T]) -> None:
        try:
            result = done.result()
        except CancelledError:
            self.outcome.cancel()
        except TimeoutError:
            self._give_up(self._reason)
        except Exception as error:
            self._failed(error)
        else:
            self._watch.note.unlink(missing_ok=True)
            self.outcome.set_result(result)

    def _failed(self, error: Exception) -> None:
        self.outcome.set_exception(error)

    def _give_up(self, reason: str) -> None:
        """Go on without the proxy in hand, or without all where it was none of them."""
        name = self._watch.in_hand()
        if name and name not in self._watch.given_up:
            self._watch = Watch(self._watch.note, {**self._watch.given_up, name: reason})
            self._try()
        else:
            self.outcome.set_result(self._lost(reason))
