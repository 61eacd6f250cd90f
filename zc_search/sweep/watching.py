"""Which proxy is in hand, so that one that takes too long costs only itself."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from zc_search.proxies import Probe, Proxy, Scalar

WORKER_DIED = "the worker process died with it, twice"
"""The reason for a value that is missing because its worker was killed."""

_LIMIT = "which is proxies.timeout"


def too_long(seconds: float) -> str:
    """Return the reason for a value that is missing because of ``proxies.timeout``."""
    return f"no value within {seconds:g} s, {_LIMIT}"


def worth_another_try(reason: str) -> bool:
    """Tell whether a value is missing for a reason that need not be there the next time."""
    return reason == WORKER_DIED or reason.endswith(_LIMIT)


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
