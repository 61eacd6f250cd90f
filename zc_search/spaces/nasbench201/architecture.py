"""The NAS-Bench-201 cell as a value, in every way that the field writes it, and its space."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import product
from numbers import Integral
from operator import itemgetter
from typing import ClassVar, Self

from zc_search.errors import ArchitectureError
from zc_search.spaces.base import AnyArchitecture, ProductSpace, place_of, values_at
from zc_search.spaces.nasbench201.graph import (
    EDGES,
    OPERATIONS,
    PARAMETERS,
    FunctionForm,
    function_form,
    live_edges,
    pruned_form,
)

_NONE, _SKIP, _CONV1, _CONV3, _POOL = OPERATIONS

MASE_OPERATIONS = (_NONE, _SKIP, _CONV3, _CONV1, _POOL)
"""Meaning of MASE's integers 0 to 4; note that the convolutions stand in another order."""

NASLIB_OPERATIONS = (_SKIP, _NONE, _CONV3, _CONV1, _POOL)
"""Meaning of NASLib's integers 0 to 4."""

_STRING = re.compile(
    r"\|([^|~]+)~0\|\+\|([^|~]+)~0\|([^|~]+)~1\|\+\|([^|~]+)~0\|([^|~]+)~1\|([^|~]+)~2\|"
)
_EXAMPLE = "|nor_conv_3x3~0|+|nor_conv_3x3~0|skip_connect~1|+|none~0|avg_pool_3x3~1|nor_conv_1x1~2|"


@dataclass(frozen=True)
class Architecture(AnyArchitecture):
    """One of the 15,625 cells: a frozen, hashable value."""

    ops: tuple[str, ...]
    """Six operation names, in the order of the architecture string (`EDGES`)."""

    space: ClassVar[str] = "nasbench201"

    def __post_init__(self) -> None:
        if isinstance(self.ops, str) or not isinstance(self.ops, Sequence) or len(self.ops) != 6:
            raise ArchitectureError(
                f"an architecture has six operations (edges {', '.join(PARAMETERS)}), "
                f"got {self.ops!r}",
                given=self.ops,
            )
        for edge, operation in zip(PARAMETERS, self.ops, strict=True):
            if operation not in OPERATIONS:
                raise ArchitectureError.unknown("operation", operation, OPERATIONS, key=edge)
        object.__setattr__(self, "ops", tuple(self.ops))

    # Text -------------------------------------------------------------------------------------

    @classmethod
    def is_written(cls, text: str) -> bool:
        """Whether a text has the form of such a cell, whatever its operations are."""
        return text.strip().startswith("|")

    @classmethod
    def from_string(cls, text: str) -> Self:
        """Read the benchmark's notation, such as ``|nor_conv_3x3~0|+|none~0|...~1|+|...~2|``."""
        match = _STRING.fullmatch(text.strip()) if isinstance(text, str) else None
        if match is None:
            raise ArchitectureError(
                f"not an architecture string: {text!r}; such as {_EXAMPLE}", given=text
            )
        return cls(match.groups())

    def to_string(self) -> str:
        """Write the benchmark's notation; the inverse of `from_string`."""
        a, b, c, d, e, f = self.ops
        return f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|"

    # Numbers ----------------------------------------------------------------------------------

    @property
    def index(self) -> int:
        """Place among all cells, 0 to 15,624, the last edge changing fastest.

        This is not the benchmark's own numbering, which `Benchmark.index` knows.
        """
        return place_of(self.ops, OPERATIONS)

    @classmethod
    def from_index(cls, index: int) -> Self:
        """Return the cell at `index`."""
        return cls(values_at(index, OPERATIONS, len(EDGES)))

    @classmethod
    def from_mase(cls, codes: Sequence[int]) -> Self:
        """Read MASE's six integers, in the order of the architecture string."""
        return cls(_decode(codes, MASE_OPERATIONS, "MASE"))

    @classmethod
    def from_naslib(cls, codes: Sequence[int]) -> Self:
        """Read NASLib's tuple, edges by source: (1,2) (1,3) (1,4) (2,3) (2,4) (3,4)."""
        operations = _decode(codes, NASLIB_OPERATIONS, "NASLib")
        by_edge = dict(zip(sorted(EDGES, key=itemgetter(1)), operations, strict=True))
        return cls(tuple(by_edge[edge] for edge in EDGES))

    # What the cell computes -------------------------------------------------------------------

    @cached_property
    def form(self) -> FunctionForm:
        """What the cell computes at initialisation, and which convolution plays which part."""
        return function_form(self.ops)

    @property
    def function_key(self) -> str:
        """Equal for two cells exactly if they compute the same function at initialisation.

        Finer than `canonical`: it tells one convolution used twice from two convolutions.
        """
        return self.form.key

    @property
    def reaches_output(self) -> bool:
        """Whether the cell's input influences its output at all."""
        return bool(live_edges(self.ops))

    @property
    def infeasible(self) -> str | None:
        """Why there is nothing to score; None where the input reaches the output."""
        return None if self.reaches_output else "the input does not reach the output"

    def canonical(self) -> "Architecture":
        """Return the first cell, by `index`, that is isomorphic to this one.

        Isomorphic by the benchmark's rule on strings with ``none`` and ``skip_connect`` resolved
        and dead edges removed; 4,930 of the 15,625 cells are their own canonical form.
        """
        return _first(pruned_form)[pruned_form(self.ops)]

    def representative(self) -> "Architecture":
        """Return the first cell, by `index`, with this cell's `function_key`; there are 5,044.

        It has no dead edge, so it is the cheapest network to score on behalf of all of them.
        """
        return _first(_function_key)[self.function_key]


def all_architectures() -> Iterator[Architecture]:
    """Yield all 15,625 cells in the order of `Architecture.index`."""
    return map(Architecture, product(OPERATIONS, repeat=len(EDGES)))


def _decode(codes: Sequence[int], operations: Sequence[str], notation: str) -> tuple[str, ...]:
    codes = tuple(codes)
    whole = all(isinstance(code, Integral) and not isinstance(code, bool) for code in codes)
    if len(codes) != len(EDGES) or not whole or not set(codes) <= set(range(len(operations))):
        meaning = ", ".join(f"{code} {name}" for code, name in enumerate(operations))
        raise ArchitectureError(
            f"{notation} writes a cell as six integers ({meaning}), got {codes!r}", given=codes
        )
    return tuple(operations[code] for code in codes)


def _function_key(ops: Sequence[str]) -> str:
    return function_form(ops).key


@cache
def _first(form: Callable[[Sequence[str]], str]) -> dict[str, Architecture]:
    # The first of several goes last into the dictionary.
    return {form(cell.ops): cell for cell in reversed([*all_architectures()])}


_CHOICES = dict.fromkeys(PARAMETERS, OPERATIONS)


@dataclass(frozen=True)
class CellSpace(ProductSpace[Architecture]):
    """The cells that a search may visit."""

    choices: Mapping[str, tuple[str, ...]] = field(default_factory=_CHOICES.copy)
    """For each edge (`PARAMETERS`), the operations it may hold; all five by default."""

    name: ClassVar[str] = "nasbench201"
    kind = Architecture
    example = _EXAMPLE
    folder = "zc_search.spaces.nasbench201"
    settings: ClassVar = {"channels": 16, "cells": 5, **_CHOICES}
    everything: ClassVar = _CHOICES
    parameter = "edge"

    __hash__ = ProductSpace.__hash__

    @staticmethod
    def values(architecture: Architecture) -> tuple[str, ...]:
        """Return the operations of a cell's edges."""
        return architecture.ops

    def structure(self, architecture: Architecture) -> Mapping[str, float]:
        """Return how a signal flows through a cell; see `structure.flow_features`."""
        table = self._part("structure").flow_features([architecture.to_string()])
        return {str(name): float(value) for name, value in table.iloc[0].items()}

    def draw(self, architecture: Architecture) -> str:
        """Return the cell as an SVG graph, dead edges faint."""
        return str(self._part("drawing").draw_cell(architecture))
