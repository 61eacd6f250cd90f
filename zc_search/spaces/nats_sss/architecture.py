"""The size space of NATS-Bench (Dong et al. 2021, section 3.2): channels of five stages.

The topology is fixed, and what is searched is how wide the network is: after the stem, in and
after the first down-sampling, in and after the second one.
"""

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Self

from zc_search.errors import ArchitectureError
from zc_search.spaces.base import ProductArchitecture, ProductSpace

CHANNELS = (8, 16, 24, 32, 40, 48, 56, 64)
"""What a stage may have, in the benchmark's order."""

STAGES = tuple(f"stage_{number}" for number in range(1, 6))
"""The names of the stages in a configuration and in an Optuna trial."""

_EXAMPLE = "24:32:48:64:64"


@dataclass(frozen=True)
class SizeArchitecture(ProductArchitecture):
    """One of the 32,768 architectures: a frozen, hashable value; `index` is the benchmark's own."""

    channels: tuple[int, ...]
    """Of the five stages, each 8 to 64 in steps of 8 (`CHANNELS`)."""

    space: ClassVar[str] = "nats_sss"

    legend: ClassVar[str] = "cell: channels of the five stages"
    written: ClassVar = re.compile(r"\d{1,4}(?::\d{1,4})+", re.ASCII)
    everything: ClassVar = dict.fromkeys(STAGES, CHANNELS)
    value: ClassVar[str] = "number of channels"

    @classmethod
    def from_string(cls, text: str) -> Self:
        """Read the benchmark's notation, such as ``24:32:48:64:64``."""
        if not isinstance(text, str) or not cls.written.fullmatch(text.strip()):
            message = f"not an architecture of the size space: {text!r}; such as {_EXAMPLE}"
            raise ArchitectureError(message, given=text)
        return cls(tuple(map(int, text.strip().split(":"))))

    def to_string(self) -> str:
        """Write the benchmark's notation; the inverse of `from_string`."""
        return ":".join(map(str, self.channels))

    @property
    def function_key(self) -> str:
        """Its channels: no two of these networks compute the same function."""
        return f"channels {self.to_string()}"


class SizeSpace(ProductSpace[SizeArchitecture]):
    """The numbers of channels that a search may visit: for each stage (`STAGES`) some."""

    name, kind, example, parameter = "nats_sss", SizeArchitecture, _EXAMPLE, "stage"
    settings: ClassVar = SizeArchitecture.everything

    def structure(self, architecture: SizeArchitecture) -> dict[str, float]:
        """Return the widths, the products of those that follow each other, and the squares' sum."""
        widths = architecture.channels
        products = {
            f"stage_{place} x stage_{place + 1}": float(one * other)
            for place, (one, other) in enumerate(pairwise(widths), 1)
        }
        squares = float(sum(width * width for width in widths))
        return {**super().structure(architecture), **products, "sum of squares": squares}
