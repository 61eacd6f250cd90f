"""A `SearchSpace` of somebody's own, whose architectures are written as their parameters."""

from collections.abc import Callable, Iterator, Mapping
from inspect import isclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from zc_search._utils.plugins import load_plugin
from zc_search.errors import ArchitectureError, ConfigError
from zc_search.images.datasets import Task
from zc_search.spaces.base import AnySpace, SearchSpace
from zc_search.spaces.define_by_run.architecture import (
    KEY,
    FunctionSpace,
    Parameters,
    ProductOfChoices,
    plain,
)

if TYPE_CHECKING:
    from optuna import Trial


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
            kind: Any = made if isclass(made) else None
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
