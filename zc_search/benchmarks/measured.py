"""Accuracies that are made while a search runs: by a function of the user's, or by training."""

import inspect
import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from math import isfinite
from numbers import Real
from pathlib import Path
from threading import Lock
from typing import Any

from zc_search._utils.files import lock_beside, write_atomically, writing
from zc_search._utils.plugins import load_plugin
from zc_search.benchmarks.accuracy_table import KEY
from zc_search.config.metrics import ALIASES
from zc_search.errors import ArchitectureError, BenchmarkError, ZcSearchError
from zc_search.images.datasets import Task
from zc_search.spaces import AnyArchitecture, AnySpace

logger = logging.getLogger("zc_search")

FILE = "accuracies.csv"
"""Where in a run's folder answers are kept: a table that ``benchmark.name`` may name."""

_MEANT = {  # by what is asked for, the names and annotations of parameters
    "network": {"network", "model", "net", "Module"},
    "params": {"params", "parameters", "dict"},
    "text": {"text", "str"},
    "task": {"task"},
}
_GIVEN = ("architecture", *_MEANT)


class Measured:
    """A look-up whose answers are made by a call, once a function of the space, and kept.

    What raises, or returns no finite number of percent, is asked for once, too, and costs its
    trials alone.

    Args:
        measure: Called with an architecture; returns a number, of ``metric``, or several by name.
            If it has a method ``keep_in`` it is told the folder, too.
        name: What to call it in messages.
        metric: What a number means that has no name.
        fingerprint, provenance: See `zc_search.benchmarks.Benchmark`.
        known: The metrics that it is known to give; None if that is not known.
    """

    per_function = True

    def __init__(
        self,
        measure: Callable[[AnyArchitecture], Any],
        *,
        name: str,
        metric: str,
        fingerprint: str,
        provenance: str,
        known: tuple[str, ...] | None = None,
    ) -> None:
        self.measure, self.name, self.metric = measure, name, metric
        self.fingerprint, self.provenance, self._metrics = fingerprint, provenance, known
        self._answers: dict[str, dict[str, float]] = {}
        self._refused: dict[str, str] = {}
        self._file: Path | None = None
        self._locks: dict[str, Lock] = {}

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_locks": {}}

    def require(self, metrics: Iterable[str]) -> None:
        """Refuse metrics that it is known not to give."""
        for metric in metrics:
            if self._metrics is not None and metric not in self._metrics:
                raise BenchmarkError.unknown("metric", metric, self._metrics, key=KEY)

    def keep_in(self, folder: Path) -> None:
        """Keep answers in a folder from now on, and take those that it has."""
        self._file = folder / FILE
        if (keep := getattr(self.measure, "keep_in", None)) is not None:
            keep(folder)
        if self._file.exists():
            for row in self._kept(self._file):
                key = str(row.pop("function_key"))
                row.pop("architecture")
                figures = {name: float(v) for name, v in row.items() if v == v}
                self._answers.setdefault(key, figures)

    def remember(self, function_key: str, figures: Mapping[str, float]) -> None:
        """Take an answer that another process has, or had."""
        if figures:
            self._answers.setdefault(function_key, dict(figures))

    def knows(self, architecture: AnyArchitecture) -> bool:
        """Whether the answer is there, or was refused, so that nothing will be measured."""
        key = architecture.function_key
        return key in self._answers or key in self._refused

    def query(self, architecture: AnyArchitecture) -> Mapping[str, float]:
        """Return the figures of an architecture by metric, measured now unless they are known."""
        if architecture.infeasible is not None:
            raise ArchitectureError(architecture.infeasible, given=str(architecture))
        key = architecture.function_key
        with self._locks.setdefault(key, Lock()):
            if key not in self._answers and key not in self._refused:
                asked = architecture.representative()
                try:
                    figures = self._figures(self.measure(asked))
                except Exception as error:  # it is anybody's code
                    ours = isinstance(error, ZcSearchError)
                    why = str(error) if ours else f"raised {type(error).__name__}: {error}"
                    self._refused[key] = f"{self.name}: {why}"
                    logger.warning("%s, for %s", self._refused[key], asked)
                else:
                    self._answers[key] = figures
                    self._keep(str(asked), key, figures)
        if key in self._refused:
            raise BenchmarkError(self._refused[key], key=KEY, given=str(architecture))
        return dict(self._answers[key])

    def _figures(self, given: Any) -> dict[str, float]:
        several = given if isinstance(given, Mapping) else {self.metric: given}
        figures = {}
        for name, value in several.items():
            number = isinstance(value, Real) or hasattr(value, "__float__")
            if not isinstance(name, str) or isinstance(value, bool) or not number:
                shown = f"{type(value).__name__} {value!r}"[:80]
                raise BenchmarkError(f"{name} is {shown}; Allowed: a number", given=value)
            figures[ALIASES.get(name, name)] = figure = float(value)
            percent = name == self.metric or ALIASES.get(name, name).endswith("accuracy")
            if not isfinite(figure) or (percent and not 0 <= figure <= 100):
                allowed = "0 to 100, in percent" if percent else "a finite number"
                raise BenchmarkError(f"{name} is {figure:g}; Allowed: {allowed}", given=figure)
        if self.metric not in figures:
            has = ", ".join(figures) or "nothing"
            raise BenchmarkError(f"it gave {has}, and no {self.metric}", given=tuple(figures))
        return figures

    def _keep(self, architecture: str, key: str, figures: Mapping[str, float]) -> None:
        if self._file is None:
            return
        import pandas as pd

        with writing(str(self._file), BenchmarkError), lock_beside(self._file):
            rows = self._kept(self._file) if self._file.exists() else []
            rows = [row for row in rows if row["function_key"] != key]
            rows.append({"architecture": architecture, "function_key": key, **figures})
            write_atomically(self._file, pd.DataFrame(rows).to_csv(index=False))

    @staticmethod
    def _kept(file: Path) -> list[dict[Any, Any]]:
        import pandas as pd

        try:
            text = {"architecture": str, "function_key": str}
            table = pd.read_csv(file, dtype=text, engine="python", keep_default_na=True)
            return table.dropna(subset=[*text]).to_dict("records")
        except (OSError, ValueError, KeyError) as error:
            message = f"{file} cannot be read ({error}); move it away to measure anew"
            raise BenchmarkError(message, key=KEY, given=str(file)) from error


@dataclass(frozen=True)
class Call:
    """A function of the user's, called with what its parameters' names or annotations ask for.

    ``network``, ``model``, ``net`` or ``nn.Module`` is the network with fresh weights; ``params``
    or ``dict`` the parameters by name; ``text`` or ``str`` the architecture's text; ``task`` the
    classes, channels and resolution. Any other first parameter is the architecture.
    """

    function: Callable[..., Any]
    wanted: tuple[str, ...]
    space: AnySpace
    task: Task
    sizes: Mapping[str, int | None]
    seed: int

    def __call__(self, architecture: AnyArchitecture) -> Any:
        """Call it for an architecture."""
        return self.function(*(self._given(name, architecture) for name in self.wanted))

    def _given(self, name: str, architecture: AnyArchitecture) -> Any:
        if name == "network":
            return self.space.build(architecture, self.task, self.seed, **self.sizes)
        if name == "params":
            return self.space.parameters(architecture)
        return {"text": str(architecture), "task": self.task}.get(name, architecture)


def wanted_by(function: Callable[..., Any], name: str) -> tuple[str, ...]:
    """Return what each required parameter of a function means, see `Call`; or a BenchmarkError."""
    try:
        parameters = [*inspect.signature(function, eval_str=True).parameters.values()]
    except Exception:  # of a built-in, or annotations that cannot be evaluated
        try:
            parameters = [*inspect.signature(function).parameters.values()]
        except (TypeError, ValueError):
            return ("architecture",)
        parameters = [p.replace(annotation=p.empty) for p in parameters]
    required = [p for p in parameters if p.default is p.empty]
    meant = []
    for place, parameter in enumerate(p for p in required if p.kind <= p.POSITIONAL_OR_KEYWORD):
        kind = parameter.annotation
        bases = inspect.getmro(kind) if isinstance(kind, type) else ()
        words = {parameter.name, str(kind).partition("[")[0], *(base.__name__ for base in bases)}
        known = [what for what, names in _MEANT.items() if words & names]
        if not known and place > 0:
            raise BenchmarkError.unknown(f"parameter of {name}", parameter.name, _GIVEN, key=KEY)
        meant += known[:1] or ["architecture"]
    alone = [p.name for p in required if p.kind == p.KEYWORD_ONLY]
    if not meant or alone:
        given = alone[0] if alone else "()"
        raise BenchmarkError.unknown(f"parameter of {name}", given, _GIVEN, key=KEY)
    return tuple(meant)


def of_object(
    given: Any,
    name: str,
    metric: str,
    space: AnySpace,
    task: Task,
    sizes: Mapping[str, int | None],
    seed: int,
) -> Measured:
    """Return the look-up of a function, or of an object or class with a method ``query``."""
    try:
        made = given() if isinstance(given, type) else given
    except Exception as error:  # it is anybody's code
        message = f"{KEY}: {name}() raised {type(error).__name__}: {error}"
        raise BenchmarkError(message, key=KEY, given=name) from error
    function = getattr(made, "query", made)
    if not callable(function):
        message = f"{KEY}: {name} is no function, and has no method query(architecture)"
        raise BenchmarkError(message, key=KEY, given=name)
    call = Call(function, wanted_by(function, name), space, task, sizes, seed)
    digest = "unknown"
    with suppress(OSError, TypeError):  # made by exec, or not in Python
        digest = sha256(inspect.getsource(function).encode()).hexdigest()[:12]
    return Measured(
        call,
        name=name,
        metric=metric,
        fingerprint=f"{name}, source {digest}",
        provenance=str(
            getattr(made, "provenance", None)
            or f"Accuracies are what {name} returns, called once for all architectures of one "
            "function."
        ),
    )


def name_of(given: Any) -> str:
    """Return the name ``module:attribute`` of an object's class, or of a function."""
    kind = given if hasattr(given, "__qualname__") else type(given)
    return f"{kind.__module__}:{kind.__qualname__.rpartition('.')[2].strip('<>')}"


def of_plugin(name: str, *more: Any) -> Measured:
    """Return the look-up of what ``module:function`` names; see `of_object`."""
    return of_object(load_plugin(name, KEY, BenchmarkError), name, *more)
