"""What the rest of the package asks of an architecture and of a search space, whichever it is."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Protocol, TypeVar

import numpy as np


class AnyArchitecture(Protocol):
    """An architecture: a frozen, hashable value that has a text form.

    Attributes:
        space: Name of its search space.
    """

    space: ClassVar[str]

    @property
    def index(self) -> int:
        """What the architectures of one space are sorted by; equal for equal ones only."""

    @property
    def function_key(self) -> str:
        """Equal for two architectures of a space exactly if they compute the same function."""

    @property
    def infeasible(self) -> str | None:
        """Why there is no network to score; None where there is one."""

    def representative(self) -> "AnyArchitecture":
        """Return the architecture that is scored on behalf of all of one `function_key`."""

    def to_string(self) -> str:
        """Write it; `zc_search.spaces.read_architecture` reads it."""


A = TypeVar("A", bound=AnyArchitecture)


class SearchSpace(Protocol[A]):
    """The architectures that a search may visit.

    Attributes:
        name: As in a configuration, and in the architectures' ``space``.
        choices: The parameters of an Optuna trial, each with the values it may take.
    """

    name: ClassVar[str]

    @property
    def choices(self) -> Mapping[str, tuple[str | int, ...]]:
        """The parameters of an Optuna trial, each with the values it may take."""

    @property
    def size(self) -> int | None:
        """How many architectures it has; None where nobody has counted them."""

    def architecture(self, parameters: Mapping[str, Any]) -> A:
        """Return the architecture that a trial's parameters name; it may be infeasible.

        Raises:
            ArchitectureError: A parameter is missing, or has no such value.
        """

    def parameters(self, architecture: A) -> dict[str, Any]:
        """Return parameters that name an architecture.

        Raises:
            ArchitectureError: It is not in this space.
        """

    def sample(self, rng: np.random.Generator) -> A:
        """Draw a feasible architecture."""

    def neighbours(self, architecture: A) -> Iterator[A]:
        """Yield the feasible architectures that are one step away.

        Raises:
            ArchitectureError: `architecture` is not in this space.
        """

    def __contains__(self, architecture: object) -> bool: ...


AnySpace = SearchSpace[Any]
"""A search space where it does not matter of what."""
