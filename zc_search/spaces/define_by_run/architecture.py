"""Parameters as an architecture, and the function of the user's that asks for them, as a space."""

import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from itertools import product
from math import isfinite, prod
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from zc_search._utils.plugins import load_plugin
from zc_search.errors import ArchitectureError, ConfigError
from zc_search.images.datasets import Task, task_of
from zc_search.spaces.base import AnyArchitecture, AnySpace, SearchSpace

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.distributions import BaseDistribution

KEY = "space.name"
"""The setting that names the code."""

_EXAMPLE = '{"depth":2,"norm":"batch"}'
_PLAIN = (str, int, float, bool, type(None))


@dataclass(frozen=True)
class Parameters(AnyArchitecture):
    """What a trial was asked for, a frozen, hashable value; two of equal text are equal."""

    text: str
    """The parameters as JSON, sorted by name, without spaces."""

    key: str = field(default="", compare=False)
    """What its space says of its function; by default the text."""

    infeasible: str | None = field(default=None, compare=False)

    first: str = field(default="", compare=False)
    """The text of the one that stands for all of its function; by default its own."""

    space: ClassVar[str] = "module:function"
    legend: ClassVar[str] = "cell: the parameters' values, sorted by name"
    written: ClassVar = re.compile(r"\{.*\}", re.DOTALL)

    @classmethod
    def of(cls, parameters: Mapping[str, Any], **more: Any) -> Self:
        """Return the architecture of some parameters: texts, numbers, true, false and null."""
        for name, value in parameters.items():
            infinite = isinstance(value, float) and not isfinite(value)
            if not isinstance(value, _PLAIN) or infinite:
                message = f"{name} = {value!r} is given; Allowed: text, a finite number, bool, None"
                raise ArchitectureError(message, key=name, given=value)
        form: Any = {"sort_keys": True, "separators": (",", ":"), "ensure_ascii": False}
        return cls(json.dumps(dict(parameters), **form), **more)

    def representative(self) -> "Parameters":
        return replace(self, text=self.first) if self.first else self

    @classmethod
    def from_string(cls, text: str) -> Self:
        """Read a JSON object of plain values."""
        try:
            return cls.of(json.loads(text))
        except (AttributeError, RecursionError, TypeError, ValueError) as error:
            message = f"no parameters: {text!r}; such as {_EXAMPLE}"
            raise ArchitectureError(message, given=text) from error

    def to_string(self) -> str:
        return self.text

    def compact(self) -> str:
        """Write the values alone, in the order of their names."""
        values = self.values.values()
        shown = " ".join(f"{v:.3g}" if isinstance(v, float) else str(v) for v in values)
        return shown if len(shown) <= 25 else f"{shown[:24]}…"

    @property
    def values(self) -> dict[str, Any]:
        """The parameters by name."""
        return dict(json.loads(self.text))

    @property
    def index(self) -> int:
        """A number that follows from the text, which the architectures have no other order by."""
        return int(sha256(self.text.encode()).hexdigest()[:15], 16)

    @property
    def function_key(self) -> str:
        """Its key, or its text: nothing is known of what other parameters compute."""
        return f"function {self.key or self.text}"


def plain(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters of which those that cannot be written are texts."""
    written = {name: isinstance(value, _PLAIN) for name, value in parameters.items()}
    return {name: v if written[name] and v == v else str(v) for name, v in parameters.items()}


class FunctionSpace(SearchSpace[Parameters]):
    """The networks that ``build(trial, task) -> nn.Module`` returns.

    An object with such a method, or a class of it, may have more: ``size``, a number, and of
    parameters by name ``function_key``, a text that is equal for those of one function,
    ``neighbours``, other parameters, ``structure``, numbers by name, and ``draw``, an SVG.
    """

    name: ClassVar[str] = "module:function"
    kind = Parameters
    example = _EXAMPLE
    settings: ClassVar = {"choices": None}

    def __init__(
        self, name: str, task: Task | None = None, choices: Mapping[str, Any] | None = None
    ) -> None:
        self.name = name  # type: ignore[misc]
        self.task = task or task_of("cifar10")
        self.choices = {name: tuple(values) for name, values in (choices or {}).items()}
        self._made = load_plugin(name, KEY, ConfigError)
        self._meta = True  # whether the builder works on a device without memory
        self._points: dict[str, tuple[Parameters, dict[str, BaseDistribution]]] = {}
        self._found: dict[str, BaseDistribution] | None = None
        self._function = self._load(name)

    def _load(self, name: str) -> Callable[[Any, Task], Any]:
        message = f"{KEY}: {name}() raised"
        try:
            self._made = self._made() if isinstance(self._made, type) else self._made
            message = f"{KEY}: {name!r} must be build(trial, task), or an object with that method:"
            function: Callable[..., Any] = getattr(self._made, "build", self._made)
            inspect.signature(function).bind(None, None)
        except Exception as error:  # anybody's code
            message = f"{message} {type(error).__name__}: {error}"
            raise ConfigError(message, key=KEY, given=name) from error
        return function

    @classmethod
    def from_settings(cls, section: Any) -> "FunctionSpace":
        return own_space(section.name, task_of(section.dataset), section.choices)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.name, self.task, self.choices)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FunctionSpace) and self.__reduce__() == other.__reduce__()

    def __hash__(self) -> int:
        return hash((self.name, self.task, tuple(self.choices.items())))

    def for_task(self, task: Task) -> Self:
        return self if task == self.task else type(self)(self.name, task, self.choices)

    @property
    def definition(self) -> str:
        """Name and a digest of the file that the builder stands in."""
        digest = "unknown"
        with suppress(OSError, TypeError):  # made by exec, or not in Python
            source = inspect.getsource(inspect.getmodule(self._function) or self._function)
            digest = sha256(source.encode()).hexdigest()[:12]
        return f"{self.name}, source {digest}"

    # Parameters -----------------------------------------------------------------------------------

    def suggest(self, trial: "Trial") -> Parameters:
        """Have the builder ask a trial; what it raises makes the architecture infeasible."""
        fault = self._asked(trial)
        return self._architecture(trial.params, fault)

    def architecture(self, parameters: Mapping[str, Any]) -> Parameters:
        """Return the architecture that a builder makes of parameters.

        What it does not ask for is left out; what it lacks is the lowest value, or the first.
        """
        return self._point(Parameters.of(parameters).text)[0]

    def parameters(self, architecture: Parameters) -> dict[str, Any]:
        return architecture.values

    def is_complete(self, parameters: Mapping[str, Any]) -> bool:
        return Parameters.of(parameters) in self

    def read(self, text: str) -> Parameters:
        return self._architecture(Parameters.from_string(text).values, None)

    def __contains__(self, architecture: object) -> bool:
        ours = isinstance(architecture, Parameters)
        return ours and self._point(architecture.text)[0] == architecture  # type: ignore[attr-defined]

    def distributions(self) -> "dict[str, BaseDistribution]":
        """Return every parameter that was asked for in some case, conditional ones too.

        The builder is asked at random and then for the values of each parameter in turn. A
        parameter that hangs on a rare combination may be missed; samplers draw it by itself.

        Raises:
            ConfigError: The builder fails whatever it is given.
        """
        if self._found is None:
            self._found, fault = self._part("trial").explored(self._asked)
            if fault:
                message = f"{KEY}: {self.name} fails whatever it is given: {fault}"
                raise ConfigError(message, key=KEY, given=self.name)
        return dict(self._found)

    def sample(self, rng: np.random.Generator) -> Parameters:
        """Draw an architecture as Optuna's random sampler does."""
        part = self._part("trial")
        found = self._answered(part.PointTrial({}, part.drawn(int(rng.integers(2**32)))))
        self._points[found[0].text] = found
        return found[0]

    def neighbours(self, architecture: Parameters) -> Iterator[Parameters]:
        """Yield the architectures of the values next to one parameter's, categories all others."""
        here = architecture.values
        if more := self._more("neighbours"):
            yield from map(self.architecture, more(here))
            return
        for name, kind in self._point(architecture.text)[1].items():
            for value in self._part("trial").next_to(kind, here[name]):
                yield self.architecture({**here, name: value})

    def structure(self, architecture: Parameters) -> Mapping[str, float]:
        """Return the parameters as numbers, categories by their place, logarithms of log scales."""
        if more := self._more("structure"):
            return dict(more(architecture.values))
        kinds, place = self._point(architecture.text)[1], self._part("trial").place
        return {n: place(kinds[n], v) for n, v in architecture.values.items() if n in kinds}

    @property
    def size(self) -> int | None:
        size = getattr(self._made, "size", None)
        return size() if callable(size) else size

    # Networks -------------------------------------------------------------------------------------

    def build(self, architecture: Parameters, task: Task, seed: int = 0, **sizes: Any) -> Any:
        """Return the network of an architecture, initialised as its builder does under a seed.

        Raises:
            ArchitectureError: The builder raised, returned no such network, is not repeatable, or
                left another global state behind; its message names the parameters.
        """
        return self._part("network").build_network(self._builder, architecture, task, seed)

    def draw(self, architecture: Parameters) -> str:
        """Draw the network's modules as a tree, unless the user's object draws it."""
        if more := self._more("draw"):
            return str(self._drawn(lambda: more(architecture.values), architecture))
        return str(self._part("network").draw(self.build(architecture, self.task)))

    def _drawn(self, draw: Callable[[], Any], architecture: Parameters) -> Any:
        try:
            return draw()
        except Exception as error:  # anybody's code
            message = f"draw raised {type(error).__name__}: {error}, for {architecture}"
            raise ArchitectureError(message, given=str(architecture)) from error

    def _builder(self, trial: Any, task: Task) -> Any:
        return self._function(trial, task)

    def _asked(self, trial: Any) -> str | None:
        ask = partial(self._part("network").ask, self._builder, trial, self.task)
        if self._meta and ask(meta=True) is None:
            return None
        fault: str | None = ask(meta=False)
        self._meta = self._meta and fault is not None
        return fault

    def _point(self, text: str) -> "tuple[Parameters, dict[str, BaseDistribution]]":
        """Return what a builder makes of parameters, and what it asked for."""
        part = self._part("trial")
        if text not in self._points:
            self._points[text] = self._answered(part.PointTrial(json.loads(text), part.lowest))
        return self._points[text]

    def _answered(self, trial: Any) -> "tuple[Parameters, dict[str, BaseDistribution]]":
        fault = self._asked(trial)
        return self._architecture(trial.params, fault), trial.distributions

    def _architecture(self, parameters: Mapping[str, Any], fault: str | None) -> Parameters:
        try:
            Parameters.of(parameters)
        except ArchitectureError as error:
            fault = fault or f"the builder asks for what is no plain value: {error}"
            parameters = plain(parameters)
        more = self._more("function_key")
        key = str(more(dict(parameters))) if more and not fault else ""
        return Parameters.of(parameters, key=key, infeasible=fault)

    def _more(self, name: str) -> Callable[..., Any] | None:
        found = getattr(self._made, name, None)
        return found if callable(found) else None


class ProductOfChoices(FunctionSpace):
    """The networks that ``build(params, task)`` returns for a value of each of some choices."""

    def _builder(self, trial: Any, task: Task) -> Any:
        asked = {n: trial.suggest_categorical(n, values) for n, values in self.choices.items()}
        return self._function(asked, task)

    @property
    def size(self) -> int:
        return prod(map(len, self.choices.values()))

    def __iter__(self) -> Iterator[Parameters]:
        for values in product(*self.choices.values()):
            yield self._architecture(dict(zip(self.choices, values, strict=True)), None)


class OwnSpace(FunctionSpace):
    """What a user's subclass of `SearchSpace` answers, or an object of one.

    The class is made by its ``from_settings``. Its architectures may be of any kind; here, and in
    tables, they are `Parameters`, and networks are checked as those of a function.
    """

    def _load(self, name: str) -> Callable[..., Any]:
        made: Any = self._made
        if self.choices and "choices" not in made.settings:
            message = f"space.choices have no meaning for {name}, whose settings name none"
            raise ConfigError(message, key="space.choices", given=dict(self.choices))
        section = SimpleNamespace(name=name, dataset=self.task.name, choices=self.choices or None)
        try:
            kind: Any = made if isinstance(made, type) else None
            made = kind.from_settings(section) if kind else made
            self.space: AnySpace = made.for_task(self.task)
            self._found = self.space.distributions()
        except Exception as error:  # anybody's code
            message = f"{KEY}: {name} cannot be made: {type(error).__name__}: {error}"
            raise ConfigError(message, key=KEY, given=name) from error
        return type(self.space)  # its source is that of the networks

    def _of(self, made: Callable[[], Any], parameters: Mapping[str, Any]) -> Parameters:
        """Return an architecture of the user's as ours; one that fails has no network."""
        try:
            architecture = made()
            parameters = self.space.parameters(architecture)
            first = self.space.parameters(architecture.representative())
            key, why = architecture.function_key, architecture.infeasible
            stands = Parameters.of(first).text
            return Parameters.of(parameters, key=key, infeasible=why, first=stands)
        except ArchitectureError as error:
            why = str(error)
        except Exception as error:  # anybody's code
            why = f"the space raised {type(error).__name__}: {error}"
        return Parameters.of(plain(parameters), infeasible=why)

    def _more(self, name: str) -> None:
        return None  # what the class offers is asked for as of any space

    def _inner(self, architecture: Parameters) -> Any:
        return self.space.architecture(architecture.values)

    def suggest(self, trial: "Trial") -> Parameters:
        return self._of(lambda: self.space.suggest(trial), trial.params)

    def architecture(self, parameters: Mapping[str, Any]) -> Parameters:
        return self._of(lambda: self.space.architecture(parameters), parameters)

    def read(self, text: str) -> Parameters:
        return self.architecture(Parameters.from_string(text).values)

    def is_complete(self, parameters: Mapping[str, Any]) -> bool:
        return self.space.is_complete(parameters)

    def __contains__(self, architecture: object) -> bool:
        if not isinstance(architecture, Parameters):
            return False
        try:
            return self._inner(architecture) in self.space
        except (ArchitectureError, LookupError, TypeError, ValueError):
            return False

    def sample(self, rng: np.random.Generator) -> Parameters:
        return self._of(lambda: self.space.sample(rng), {})

    def neighbours(self, architecture: Parameters) -> Iterator[Parameters]:
        for other in self.space.neighbours(self._inner(architecture)):
            yield self._of(lambda other=other: other, {})  # type: ignore[misc]

    def structure(self, architecture: Parameters) -> Mapping[str, float] | None:  # type: ignore[override]
        return self.space.structure(self._inner(architecture))

    def live_operations(self, architecture: Parameters) -> Mapping[str, float] | None:
        return self.space.live_operations(self._inner(architecture))

    def costs(self, architecture: Parameters, task: Any, **_: Any) -> Mapping[str, float] | None:
        return self.space.costs(self._inner(architecture), task)

    @property
    def size(self) -> int | None:
        return self.space.size

    def build(self, architecture: Parameters, task: Task, seed: int = 0, **sizes: Any) -> Any:
        def builder(trial: Any, task: Task) -> Any:
            return self.space.build(self.space.suggest(trial), task, seed)

        return self._part("network").build_network(builder, architecture, task, seed)

    def draw(self, architecture: Parameters) -> str:
        drawn = self._drawn(lambda: self.space.draw(self._inner(architecture)), architecture)
        return drawn or super().draw(architecture)


class ListedSpace(OwnSpace):
    """A space of the user's that can be gone through."""

    def __iter__(self) -> Iterator[Parameters]:
        for architecture in self.space:  # type: ignore[attr-defined]
            yield self._of(lambda architecture=architecture: architecture, {})  # type: ignore[misc]


def own_space(
    name: str, task: Task | None = None, choices: Mapping[str, Any] | None = None
) -> FunctionSpace:
    """Return the space that ``module:name`` names: a function's, or a `SearchSpace` of the user's.

    With ``choices`` a function's is a product of them; a ConfigError says what is wrong.
    """
    made = load_plugin(name, KEY, ConfigError)
    of_ours = issubclass(made, SearchSpace) if isinstance(made, type) else False
    if of_ours or isinstance(made, SearchSpace):
        kind = made if isinstance(made, type) else type(made)
        return (ListedSpace if getattr(kind, "__iter__", None) else OwnSpace)(name, task, choices)
    return (ProductOfChoices if choices else FunctionSpace)(name, task, choices)
