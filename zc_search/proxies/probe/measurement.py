"""What a measurement is: it knows which pass it needs, what that costs, and what came of it."""

from collections.abc import Mapping
from typing import Any, ClassVar, Generic, Self, TypeVar

from zc_search.proxies.probe.passes import Subject

T = TypeVar("T")


class Measurement(Generic[T]):
    """One thing to be measured of a subject; made anew for each pass that it takes part in.

    Attributes:
        cost: Time of it alone, in units of a plain forward and backward pass; measured on a CPU
            with a NAS-Bench-201 network and a batch of 64. Of those that share a pass, the second
            and every further one costs only what it adds.
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
