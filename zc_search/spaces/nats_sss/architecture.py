"""The size space of NATS-Bench (Dong et al. 2021, section 3.2): channels of five stages.

The topology is fixed, and what is searched is how wide the network is: after the stem, in and
after the first down-sampling, in and after the second one.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from numbers import Integral
from typing import Any, ClassVar, Self

from zc_search.errors import ArchitectureError, unknown_name
from zc_search.spaces.product_space import ProductSpace
from zc_search.spaces.vocabulary import CHANNELS, STAGES

_STRING = re.compile(r"\d{1,4}(?::\d{1,4})+", re.ASCII)
EXAMPLE = "24:32:48:64:64"


@dataclass(frozen=True)
class SizeArchitecture:
    """One of the 32,768 architectures: a frozen, hashable value.

    Attributes:
        channels: Of the five stages, each 8 to 64 in steps of 8.

    Raises:
        ArchitectureError: Not five numbers, or one that is not among `CHANNELS`.
    """

    channels: tuple[int, ...]

    space: ClassVar[str] = "nats_sss"

    def __post_init__(self) -> None:
        channels = tuple(self.channels) if isinstance(self.channels, Iterable) else ()
        if len(channels) != len(STAGES):
            raise ArchitectureError(
                f"an architecture of the size space has {len(STAGES)} numbers of channels, such as "
                f"{EXAMPLE}, got {self.channels!r}"
            )
        for stage, count in zip(STAGES, channels, strict=True):
            if count not in CHANNELS:
                allowed = ", ".join(map(str, CHANNELS))
                raise ArchitectureError(f"{stage}: {count!r} channels; Allowed: {allowed}")
        object.__setattr__(self, "channels", tuple(int(count) for count in channels))

    @classmethod
    def is_written(cls, text: str) -> bool:
        """Whether a text has the form of such an architecture, whatever its numbers are."""
        return _STRING.fullmatch(text.strip()) is not None

    @classmethod
    def from_string(cls, text: str) -> Self:
        """Read the benchmark's notation, such as ``24:32:48:64:64``.

        Raises:
            ArchitectureError: Another form, or a number of channels that is not in the space.
        """
        if not isinstance(text, str) or not cls.is_written(text):
            raise ArchitectureError(
                f"not an architecture of the size space: {text!r}; such as {EXAMPLE}"
            )
        return cls(tuple(map(int, text.strip().split(":"))))

    def to_string(self) -> str:
        """Write the benchmark's notation; the inverse of `from_string`."""
        return ":".join(map(str, self.channels))

    def __str__(self) -> str:
        return self.to_string()

    @property
    def index(self) -> int:
        """The benchmark's own number, 0 to 32,767, the last stage changing fastest."""
        value = 0
        for count in self.channels:
            value = value * len(CHANNELS) + CHANNELS.index(count)
        return value

    @classmethod
    def from_index(cls, index: int) -> Self:
        """Return the architecture of a number in the benchmark.

        Raises:
            ArchitectureError: Outside 0 to 32,767.
        """
        count = len(CHANNELS) ** len(STAGES)
        if isinstance(index, bool) or not isinstance(index, Integral) or not 0 <= index < count:
            raise ArchitectureError(f"architecture index {index!r} is not in 0 to {count - 1}")
        rest, channels = int(index), []
        for _ in STAGES:
            rest, digit = divmod(rest, len(CHANNELS))
            channels.append(CHANNELS[digit])
        return cls(tuple(reversed(channels)))

    @property
    def function_key(self) -> str:
        """Its channels: no two of these networks compute the same function."""
        return f"channels {self.to_string()}"

    @property
    def infeasible(self) -> str | None:
        """None: every one of them is a network."""
        return None

    def representative(self) -> Self:
        """Return this architecture, which stands for itself alone."""
        return self


def _everything() -> dict[str, tuple[int, ...]]:
    return dict.fromkeys(STAGES, CHANNELS)


@dataclass(frozen=True)
class SizeSpace(ProductSpace[SizeArchitecture]):
    """The numbers of channels that a search may visit.

    Attributes:
        choices: For each stage (`STAGES`), the channels it may have; all eight by default.

    Raises:
        ArchitectureError: A stage is missing or unknown, has no choice or one outside the space.
    """

    choices: Mapping[str, tuple[int, ...]] = field(default_factory=_everything)

    name: ClassVar[str] = "nats_sss"
    kind = SizeArchitecture

    def __post_init__(self) -> None:
        for stage, allowed in self.choices.items():
            if stage not in STAGES:
                raise ArchitectureError(unknown_name("stage", stage, STAGES))
            if not allowed or len(set(allowed)) < len(allowed) or set(allowed) - set(CHANNELS):
                numbers = ", ".join(map(str, CHANNELS))
                raise ArchitectureError(
                    f"{stage}: {tuple(allowed)!r} is given; Allowed: some of {numbers}, each once"
                )
        missing = [stage for stage in STAGES if stage not in self.choices]
        if missing:
            raise ArchitectureError(f"no channels given for {', '.join(missing)}")
        object.__setattr__(self, "choices", {stage: tuple(self.choices[stage]) for stage in STAGES})

    def __hash__(self) -> int:
        return hash(tuple(self.choices.values()))

    def architecture(self, parameters: Mapping[str, Any]) -> SizeArchitecture:
        """Return the architecture that an Optuna trial's parameters name.

        Raises:
            ArchitectureError: A stage is missing.
        """
        missing = [stage for stage in STAGES if stage not in parameters]
        if missing:
            raise ArchitectureError(f"no channels given for {', '.join(missing)}")
        return SizeArchitecture(tuple(parameters[stage] for stage in STAGES))

    @staticmethod
    def values(architecture: SizeArchitecture) -> tuple[int, ...]:
        """Return the channels of an architecture's stages."""
        return architecture.channels
