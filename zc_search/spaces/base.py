"""What the rest of the package asks of an architecture and of a search space, whichever it is."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, Self, TypeVar

import numpy as np

from zc_search._utils.plugins import is_plugin
from zc_search.errors import ArchitectureError, ConfigError

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.distributions import BaseDistribution

    from zc_search.images.datasets import Task


class AnyArchitecture(Protocol):
    """An architecture: a frozen, hashable value that has a text form."""

    space: ClassVar[str]
    """Name of its search space."""

    legend: ClassVar[str]
    """What the characters of `compact` mean."""

    written: ClassVar[re.Pattern[str]]
    """The form of its text, whatever it says."""

    @property
    def index(self) -> int:
        """What the architectures of one space are sorted by; equal for equal ones only."""

    @property
    def function_key(self) -> str:
        """Equal for two architectures of a space exactly if they compute the same function."""

    @property
    def infeasible(self) -> str | None:
        """Why there is no network to score; None where there is one."""

    def representative(self) -> AnyArchitecture:
        """Return the architecture that is scored on behalf of all of one `function_key`."""
        return self

    def to_string(self) -> str:
        """Write it in its space's notation; `read_architecture` reads it."""
        ...

    def compact(self) -> str:
        """Write it in few characters, for tables in a terminal."""
        return self.to_string()

    def __str__(self) -> str:
        return self.to_string()


@dataclass(frozen=True)
class ProductArchitecture(AnyArchitecture):
    """An architecture that is a tuple: for each of some names one of its values."""

    everything: ClassVar[Mapping[str, tuple[Any, ...]]]
    value: ClassVar[str]  # what a value is called in messages

    def __post_init__(self) -> None:
        given, everything = self.values, self.everything
        row = isinstance(given, Iterable) and not isinstance(given, str | bytes)
        values = tuple(given) if row else ()
        if len(values) != len(everything):
            raise ArchitectureError(
                f"an architecture of {self.space} has {len(everything)} values "
                f"({', '.join(everything)}), got {given!r}",
                given=given,
            )
        plain = []
        for value, (name, allowed) in zip(values, everything.items(), strict=True):
            if value not in allowed:
                raise ArchitectureError.unknown(self.value, value, map(str, allowed), key=name)
            plain.append(allowed[allowed.index(value)])
        object.__setattr__(self, self.__match_args__[0], tuple(plain))  # type: ignore[misc]

    @property
    def values(self) -> tuple[Any, ...]:
        """The tuple that it was made of, its one field."""
        values: tuple[Any, ...] = getattr(self, self.__match_args__[0])  # type: ignore[misc]
        return values

    @property
    def index(self) -> int:
        """Place among all, from 0, the last value changing fastest."""
        place = 0
        for value, allowed in zip(self.values, self.everything.values(), strict=True):
            place = place * len(allowed) + allowed.index(value)
        return place

    @classmethod
    def from_index(cls, index: int) -> Self:
        """Return the architecture at `index`."""
        shape = [*map(len, cls.everything.values())]
        whole = isinstance(index, int | np.integer) and not isinstance(index, bool)
        if not whole or not 0 <= index < prod(shape):
            message = f"architecture index {index!r} is not in 0 to {prod(shape) - 1}"
            raise ArchitectureError(message, given=index)
        places = zip(cls.everything.values(), np.unravel_index(int(index), shape), strict=True)
        return cls(tuple(allowed[place] for allowed, place in places))  # type: ignore[call-arg]


A = TypeVar("A", bound=AnyArchitecture)
P = TypeVar("P", bound=ProductArchitecture)


class SearchSpace(ABC, Generic[A]):
    """The architectures that a search may visit; what a space has no answer to is None.

    Attributes:
        name: As in a configuration, and in the architectures' ``space``.
        kind: The class of its architectures, with ``written`` and ``from_string``.
        example: An architecture's text, for messages.
        settings: The keys of ``[space]`` that not every space has, with their defaults.
        choices: The parameters of an Optuna trial, each with the values it may take.
    """

    name: ClassVar[str]
    kind: ClassVar[type[Any]]
    example: ClassVar[str]
    settings: ClassVar[Mapping[str, Any]] = {}
    choices: Mapping[str, tuple[Any, ...]]

    @classmethod
    def from_settings(cls, section: Any) -> Self:
        """Return the space that ``[space]`` describes; its keys are the section's attributes."""
        return cls()

    @abstractmethod
    def architecture(self, parameters: Mapping[str, Any]) -> A:
        """Return the architecture that a trial's parameters name; it may be infeasible."""

    @abstractmethod
    def parameters(self, architecture: A) -> dict[str, Any]:
        """Return parameters that name an architecture."""

    @abstractmethod
    def __contains__(self, architecture: object) -> bool: ...

    @property
    def size(self) -> int | None:
        """How many architectures it has, where that has been counted."""

    def distributions(self) -> dict[str, BaseDistribution]:
        """Return every parameter that a trial may be asked for."""
        from optuna.distributions import CategoricalDistribution

        return {name: CategoricalDistribution(values) for name, values in self.choices.items()}

    def is_complete(self, parameters: Mapping[str, Any]) -> bool:
        """Whether a trial that has these parameters is asked for no others."""
        return self.choices.keys() <= parameters.keys()

    def for_task(self, task: Task) -> Self:
        """Return the space for networks of a task, which only somebody's own may depend on."""
        return self

    def read(self, text: str) -> A:
        """Read one of its architectures."""
        architecture: A = self.kind.from_string(text)
        return architecture

    def suggest(self, trial: Trial) -> A:
        """Return the architecture that an Optuna trial asks for; it may be infeasible."""
        return self.architecture(
            {name: trial.suggest_categorical(name, values) for name, values in self.choices.items()}
        )

    def sample(self, rng: np.random.Generator) -> A:
        """Draw an architecture, each parameter's value uniformly and independently."""
        return self.architecture(
            {name: values[rng.integers(len(values))] for name, values in self.choices.items()}
        )

    def neighbours(self, architecture: A) -> Iterator[A]:
        """Yield the architectures that differ in the value of one parameter."""
        here = self.parameters(architecture)
        for name, values in self.choices.items():
            for value in values:
                if value != here[name]:
                    yield self.architecture({**here, name: value})

    def build(self, architecture: A, task: Task, seed: int = 0, **sizes: int | None) -> Any:
        """Return the network of a feasible architecture, with fresh weights.

        Of ``channels`` and ``cells``, what is None or unknown to this space is passed over.
        """
        return self.build_shipped(architecture, task, seed, **sizes)

    @classmethod
    def build_shipped(cls, architecture: A, task: Task, seed: int, **sizes: int | None) -> Any:
        """Do as `build`, for which a space of this project needs no choices."""
        known = {key: n for key, n in sizes.items() if n is not None and key in cls.settings}
        return cls._part("network").build_network(architecture, task, seed=seed, **known)

    def costs(self, architecture: A, task: Any, **sizes: int | None) -> Mapping[str, float] | None:
        """Return ``params`` and ``flops`` in millions, where no network is needed to know them."""

    def structure(self, architecture: A) -> Mapping[str, float] | None:
        """Return features of an architecture's structure by name."""

    def live_operations(self, architecture: A) -> Mapping[str, float] | None:
        """Return which operation lies where, 0 or 1 by names such as ``nor_conv_3x3 on 1<-0``.

        An operation that has no part in the output counts as absent.
        """

    def draw(self, architecture: A) -> str | None:
        """Return an SVG drawing of an architecture."""

    def _require_inside(self, architecture: A) -> None:
        if architecture not in self:
            message = f"{architecture} is outside the search space"
            raise ArchitectureError(message, given=str(architecture))

    @classmethod
    def _part(cls, name: str) -> Any:
        # By name and late: a network needs torch, features need pandas, and a space neither.
        return import_module(f"{cls.__module__.rpartition('.')[0]}.{name}")


AnySpace = SearchSpace[Any]
"""A search space where it does not matter of what."""


@dataclass(frozen=True)
class ProductSpace(SearchSpace[P]):
    """A space in which every value of one parameter goes with every value of the others."""

    settings: ClassVar[Mapping[str, Any]] = {"choices": None}
    parameter: ClassVar[str] = "parameter"  # what one is called in messages

    choices: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """The values that each parameter may have; all where none are given."""

    def __post_init__(self) -> None:
        everything = self.kind.everything
        for name, given in self.choices.items():
            if name not in everything:
                raise ArchitectureError.unknown(self.parameter, name, everything)
            check_choices(name, given, everything[name])
        whole = {**everything, **self.choices}
        ordered = {name: tuple(whole[name]) for name in everything}
        object.__setattr__(self, "choices", ordered)

    def __hash__(self) -> int:
        return hash(tuple(self.choices.values()))

    @classmethod
    def from_settings(cls, section: Any) -> Self:
        """Return the space of the values that a section, or its ``choices``, has by parameter."""
        if "choices" in cls.settings:
            return cls.of_choices(section.choices or {})
        return cls({name: getattr(section, name) for name in cls.kind.everything})

    @classmethod
    def of_choices(cls, choices: Mapping[str, Sequence[Any]]) -> Self:
        """Return the space of such values; a ConfigError where they are none."""
        try:
            return cls({name: tuple(values) for name, values in choices.items()})
        except ArchitectureError as error:
            more: dict[str, Any] = {**vars(error), "key": None}
            raise ConfigError(str(error), **more) from error

    @property
    def size(self) -> int:
        """How many architectures it has."""
        return prod(map(len, self.choices.values()))

    def architecture(self, parameters: Mapping[str, Any]) -> P:
        """Return the architecture that an Optuna trial's parameters name."""
        require(self.kind.everything, parameters)
        made: P = self.kind(tuple(parameters[name] for name in self.kind.everything))
        return made

    def parameters(self, architecture: P) -> dict[str, Any]:
        """Return the Optuna parameters of an architecture; the inverse of `architecture`."""
        self._require_inside(architecture)
        return dict(zip(self.choices, architecture.values, strict=True))

    def structure(self, architecture: P) -> dict[str, float]:
        """Return the parameters as numbers, what is none by its place."""
        everything = self.kind.everything.items()
        return {
            name: float(value if isinstance(value, int) else allowed.index(value))
            for value, (name, allowed) in zip(architecture.values, everything, strict=True)
        }

    def __contains__(self, architecture: object) -> bool:
        if not isinstance(architecture, self.kind):
            return False
        pairs = zip(architecture.values, self.choices.values(), strict=True)
        return all(value in allowed for value, allowed in pairs)

    def __iter__(self) -> Iterator[P]:
        return map(self.kind, product(*self.choices.values()))

    def __len__(self) -> int:
        return self.size


def path_features(paths: Sequence[Sequence[str]], operations: Sequence[str]) -> dict[str, float]:
    """Count paths through a cell, and the fewest and most operations on one, in all and by kind."""
    found = {"paths": float(len(paths))}
    for name, counts in {
        "operations": [len(path) for path in paths],
        **{kind: [sum(op == kind for op in path) for path in paths] for kind in operations},
    }.items():
        found |= {
            f"fewest {name} on a path": float(min(counts, default=0)),
            f"most {name} on a path": float(max(counts, default=0)),
        }
    return found


def require(names: Iterable[str], given: Mapping[str, Any]) -> None:
    """Refuse parameters without a value for each of some names."""
    if missing := [name for name in names if name not in given]:
        raise ArchitectureError(f"nothing given for {', '.join(missing)}", key=missing[0])


def check_choices(key: str, given: Sequence[Any], allowed: Sequence[Any]) -> None:
    """Refuse choices for a parameter that are none, unknown or given twice."""
    shown = tuple(map(str, allowed))
    for value in given:
        if value not in allowed:
            raise ArchitectureError.unknown("choice", value, shown, key=key)
    if not given or len(set(given)) < len(given):
        raise ArchitectureError(
            f"{key}: {tuple(given)!r} is given; Allowed: one or more of {', '.join(shown)}, "
            "each once",
            key=key,
            given=tuple(given),
            allowed=shown,
        )


# By name ------------------------------------------------------------------------------------------

SPACES: dict[str, type[AnySpace]] = {}
"""The search spaces; each is entered in ``zc_search/spaces/__init__.py``, the rest follows."""


PLUGIN = "module:function"
"""The name in `SPACES` of what is a user's own."""


def space_named(name: object) -> type[AnySpace] | None:
    """Return the class of a space by its name in a configuration; None where there is none."""
    return SPACES.get(PLUGIN if is_plugin(name) else str(name))


def make_space(section: Any, task: Task | None = None) -> AnySpace:
    """Return the space of a section ``[space]``, for networks of a task or of its ``dataset``."""
    kind = space_named(section.name)
    if kind is None:
        raise ConfigError.unknown("name", section.name, SPACES, key="space.name")
    space = kind.from_settings(section)
    return space if task is None else space.for_task(task)


def space_written(text: object) -> type[AnySpace] | None:
    """Return the space of which a text has the form, whatever it says; None if it has none's."""
    given = text.strip() if isinstance(text, str) else ""
    return next((s for s in SPACES.values() if s.kind.written.fullmatch(given)), None)


def read_architecture(text: str) -> AnyArchitecture:
    """Read the text form of an architecture; its form says of which space it is."""
    if space := space_written(text):
        architecture: AnyArchitecture = space.kind.from_string(text)
        return architecture
    *examples, last = such = [space.example for space in SPACES.values()]
    message = f"not an architecture string: {text!r}; such as {', '.join(examples)} or {last}"
    raise ArchitectureError(message, given=text, allowed=such)


def compact(architecture: str) -> str:
    """Write an architecture in at most 25 characters; a text that is none stays.

    >>> compact("|nor_conv_3x3~0|+|nor_conv_1x1~0|none~1|+|skip_connect~0|none~1|avg_pool_3x3~2|")
    '3|1-|s-p'
    >>> compact("110.01.1:conv3x3-bn-relu,maxpool3x3")
    '3/0|p/0|/12'
    """
    try:
        return read_architecture(architecture).compact()
    except ArchitectureError:
        return architecture


def legend(architectures: Iterable[str]) -> str:
    """Say how `compact` wrote the first of some architectures."""
    space = space_written(next(iter(architectures), "")) or next(iter(SPACES.values()))
    return str(space.kind.legend)
