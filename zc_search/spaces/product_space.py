"""Spaces in which every value of one parameter goes with every value of the others."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from itertools import product
from math import prod
from typing import Any, ClassVar, Generic

import numpy as np

from zc_search.errors import ArchitectureError
from zc_search.spaces.base import A


class ProductSpace(ABC, Generic[A]):
    """What such spaces have in common; see `SearchSpace`.

    Attributes:
        kind: Makes an architecture of a tuple, one value a parameter.
        choices: The values that each parameter may take, in the order of that tuple.
    """

    kind: ClassVar[type[Any]]
    choices: Mapping[str, tuple[Any, ...]]

    @staticmethod
    @abstractmethod
    def values(architecture: A) -> tuple[Any, ...]:
        """Return the tuple that an architecture was made of."""

    @property
    def size(self) -> int:
        """How many architectures it has."""
        return len(self)

    def parameters(self, architecture: A) -> dict[str, Any]:
        """Return the Optuna parameters of an architecture; the inverse of `architecture`.

        Raises:
            ArchitectureError: It is not in this space.
        """
        if architecture not in self:
            raise ArchitectureError(f"{architecture} is outside the search space")
        return dict(zip(self.choices, self.values(architecture), strict=True))

    def sample(self, rng: np.random.Generator) -> A:
        """Draw an architecture, each parameter's value uniformly and independently."""
        drawn = (allowed[rng.integers(len(allowed))] for allowed in self.choices.values())
        architecture: A = self.kind(tuple(drawn))
        return architecture

    def neighbours(self, architecture: A) -> Iterator[A]:
        """Yield the architectures of this space that differ in the value of one parameter.

        Raises:
            ArchitectureError: `architecture` itself is not in this space.
        """
        values = tuple(self.parameters(architecture).values())
        for place, allowed in enumerate(self.choices.values()):
            for value in allowed:
                if value != values[place]:
                    yield self.kind((*values[:place], value, *values[place + 1 :]))

    def __contains__(self, architecture: object) -> bool:
        if not isinstance(architecture, self.kind):
            return False
        pairs = zip(self.values(architecture), self.choices.values(), strict=True)
        return all(value in allowed for value, allowed in pairs)

    def __iter__(self) -> Iterator[A]:
        return map(self.kind, product(*self.choices.values()))

    def __len__(self) -> int:
        return prod(len(allowed) for allowed in self.choices.values())
