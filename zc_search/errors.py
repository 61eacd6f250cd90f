"""Errors a user can act on: what was wrong, what was given, what is allowed, what was meant."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Self


class ZcSearchError(Exception):
    """Base of every error that zc-search raises for a user's input; the command exits with 2.

    Attributes:
        key: The setting or argument that is wrong, such as ``study.sampler``; None if none is.
        given: What was given for it.
        allowed: The names that may stand there.
        hint: The nearest of them, or another way out.
    """

    def __init__(
        self,
        message: str = "",
        *,
        key: str | None = None,
        given: object = None,
        allowed: Iterable[str] = (),
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.key, self.given, self.allowed, self.hint = key, given, tuple(allowed), hint

    def at(self, key: str) -> Self:
        """Return the same error of the setting ``key``, which the message then begins with."""
        message = f"{key}: {str(self).removeprefix(f'{self.key}: ')}" if key else str(self)
        return type(self)(
            message, key=key or None, given=self.given, allowed=self.allowed, hint=self.hint
        )

    @classmethod
    def unknown(
        cls, kind: str, given: object, allowed: Iterable[str], *, key: str | None = None
    ) -> Self:
        """Return the error for a name that is no known ``kind``; see `unknown_name`."""
        allowed = tuple(allowed)
        message, hint = unknown_name(kind, given, allowed), nearest(str(given), allowed)
        message = f"{key}: {message}" if key else message
        return cls(message, key=key, given=given, allowed=allowed, hint=hint)


class ConfigError(ZcSearchError, ValueError):
    """One or more settings are wrong; the message lists all of them.

    Attributes:
        problems: An error a wrong setting, each with its own key; none where it is not the settings
            that are wrong but their file.
    """

    problems: tuple["ConfigError", ...] = ()

    @classmethod
    def of(cls, source: str, problems: Iterable["ConfigError"]) -> Self:
        """Return the error that lists ``problems``, each once, under the name of their source."""
        listed = {str(problem): problem for problem in problems}
        count = "1 setting is" if len(listed) == 1 else f"{len(listed)} settings are"
        error = cls("\n  ".join((f"{source}: {count} wrong", *listed)))
        error.problems = tuple(listed.values())
        if len(listed) == 1:
            (only,) = error.problems
            error.key, error.given = only.key, only.given
            error.allowed, error.hint = only.allowed, only.hint
        return error


class UsageError(ZcSearchError):
    """Options of the command that are missing, or that do not go together."""


class ArchitectureError(ZcSearchError, ValueError):
    """A text, tuple or index that names no architecture of the search space."""


class DataError(ZcSearchError):
    """Images that cannot be found, read or used."""


class ProxyError(ZcSearchError):
    """An unknown proxy, or one that broke its contract."""


class ScoresError(ZcSearchError):
    """A scores file that cannot be read, written or gone on with."""


class BenchmarkError(ZcSearchError, LookupError):
    """A benchmark that is not at hand, or a figure that it does not hold."""


class StudyError(ZcSearchError):
    """A study that cannot be created, resumed or written."""


class EnsembleError(ZcSearchError, ValueError):
    """Scores that no ensemble can be fitted to, or an ensemble that does not fit the scores."""


class EvaluationError(ZcSearchError, ValueError):
    """Scores and accuracies that cannot be compared."""


class ReportError(ZcSearchError, ValueError):
    """A run that cannot be shown, or a figure that it has no data for."""


def nearest(given: str, allowed: Iterable[str]) -> str | None:
    """Return the allowed spelling closest to ``given``, ignoring case, or None if none is near."""
    by_lower = {name.lower(): name for name in allowed}
    matches = get_close_matches(given.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[matches[0]] if matches else None


def unknown_name(kind: str, given: object, allowed: Iterable[str]) -> str:
    """Say that ``given`` is no known ``kind``, list what is, and suggest the nearest spelling.

    >>> unknown_name("proxy", "snap", ["snip", "grasp"])
    "unknown proxy 'snap'; did you mean 'snip'? Allowed: snip, grasp"
    """
    allowed = list(allowed)
    close = nearest(str(given), allowed)
    hint = f"; did you mean {close!r}?" if close else ";"
    return f"unknown {kind} {given!r}{hint} Allowed: {', '.join(allowed) or 'none'}"


Location = tuple[str | int, ...]
"""A key of a search file, from the outside in: ``("space", "op_1_0", 2)``."""


def dotted(location: Location) -> str:
    """Write a location as users do.

    >>> dotted(("space", "op_1_0", 2))
    'space.op_1_0[2]'
    """
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return "".join(parts).removeprefix(".")


def unknown_key(key: str, allowed: Sequence[str], kind: str = "key", home: str = "") -> ConfigError:
    """Say that ``key`` is unknown, and what was meant, or in which section it is right."""
    close = nearest(key, allowed)
    hint = f"it belongs in [{home}]. " if home else f"did you mean {close!r}? " if close else ""
    message = f"unknown {kind}; {hint}Allowed: {', '.join(allowed)}"
    return ConfigError(message, given=key, allowed=allowed, hint=home or close)
