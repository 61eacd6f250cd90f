"""What a measurement is: it knows which pass it needs, what that costs, and what came of it."""

from collections.abc import Mapping
from typing import Any, ClassVar, Generic, Self, TypeVar

from zc_search.proxies.probe.passes import Subject

T = TypeVar("T")


class Measurement(Generic[T]):
    """One thing to be measured of a subject; made anew for each pass that it takes part in.

    Attributes:
        cost: Time of it alone on a CPU, in plain forward and backward passes of a NAS-Bench-201
            network and a batch of 64. Of those that share a pass, further ones only cost what
            they add.
        family: Those of one family share passes; None for one that has passes of its own.
    """

    cost: ClassVar[float]
    family: ClassVar[str | None] = None

    def __init__(self, subject: Subject) -> None:
        self.subject = subject

    @classmethod
    def together(cls, subject: Subject, kinds: Mapping[str, type[Self]]) -> dict[str, Any]:
        """Measure several of a family in one pass; return the results by name."""
        return {name: kind(subject).measure() for name, kind in kinds.items()}

    def measure(self) -> T:
        """Return the result; of those without family."""
        raise NotImplementedError
