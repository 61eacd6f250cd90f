"""How one proxy's values become columns: as they are, on a log, as ranks, or as ramps of ranks.

Every scale is a frozen record of the constants it was fitted with, and plain arithmetic on them:
what is written to a file is all that is needed to apply it again.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

RECORD = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

Floats = npt.NDArray[np.float64]
Numbers = tuple[float, ...]

FENCE = 3.0
"""Interquartile ranges beyond the quartiles at which a value is "far out" (Tukey 1977, EDA)."""


class _Scale(BaseModel):
    model_config = RECORD

    proxy: str

    def names(self) -> list[str]:
        """Return the names of the columns that `columns` gives, in its order."""
        return [self.proxy]


class _Clipped(_Scale):
    low: float
    high: float

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        return self


class RawScale(_Clipped):
    """The proxy's own value, outliers clipped.

    Attributes:
        proxy: Column of the scores table.
        low: Smallest value let through, in the proxy's unit.
        high: Largest value let through, in the proxy's unit.
    """

    kind: Literal["raw"] = "raw"

    @classmethod
    def fit(cls, proxy: str, values: Floats) -> Self:
        """Take the bounds from finite training values."""
        low, high = _fences(values)
        return cls(proxy=proxy, low=low, high=high)

    def columns(self, values: Floats) -> list[Floats]:
        """Return one column, of the values' length; NaN stays NaN."""
        return [np.clip(values, self.low, self.high)]


class LogScale(_Clipped):
    """``sign(v) · log((|v| + unit) / unit)``: linear near zero, logarithmic in the decades above.

    Attributes:
        proxy: Column of the scores table.
        unit: Magnitude where the logarithm sets in, in the proxy's unit; above zero.
        low: Smallest logarithm let through.
        high: Largest logarithm let through.
    """

    kind: Literal["log"] = "log"
    unit: Annotated[float, Field(gt=0)]

    @classmethod
    def fit(cls, proxy: str, values: Floats) -> "LogScale | RawScale":
        """Fit, or return a `RawScale` where the magnitudes stay within one decade.

        The decade is that from the 5% to the 95% quantile. Where both signs occur, values near
        zero are small by chance, and the median takes the place of the 5% quantile.
        """
        known = values[values != 0]
        if known.size == 0:
            return RawScale.fit(proxy, values)
        both_signs = abs(np.sign(known).mean()) < 0.9
        small, large = np.quantile(np.abs(known), [0.5 if both_signs else 0.05, 0.95])
        if large < 10 * small:
            return RawScale.fit(proxy, values)
        low, high = _fences(_signed_log(values, float(small)))
        return cls(proxy=proxy, unit=float(small), low=low, high=high)

    def columns(self, values: Floats) -> list[Floats]:
        """Return one column, of the values' length; NaN stays NaN."""
        return [np.clip(_signed_log(values, self.unit), self.low, self.high)]


class _Ranked(_Scale):
    """The share of training architectures below a value, interpolated between those seen."""

    KNOTS: ClassVar[int] = 101

    knots: Numbers
    levels: Numbers

    @classmethod
    def fit(cls, proxy: str, values: Floats) -> Self:
        """Take the quantiles from finite training values; tied values share their mean rank."""
        knots, counts = np.unique(values, return_counts=True)
        levels = (np.cumsum(counts) - counts / 2) / values.size
        if knots.size > cls.KNOTS:
            kept = np.linspace(0, knots.size - 1, cls.KNOTS).round().astype(int)
            knots, levels = knots[kept], levels[kept]
        return cls(proxy=proxy, knots=tuple(knots.tolist()), levels=tuple(levels.tolist()))

    def rank(self, values: Floats) -> Floats:
        """Return the share of training values below each value, in [0, 1]; NaN stays NaN."""
        return np.interp(values, self.knots, self.levels)

    @model_validator(mode="after")
    def _matching(self) -> Self:
        if not self.knots or len(self.knots) != len(self.levels):
            raise ValueError(f"{len(self.knots)} knots but {len(self.levels)} levels")
        if np.any(np.diff(self.knots) <= 0) or np.any(np.diff(self.levels) <= 0):
            raise ValueError("knots and levels must ascend")
        return self


class RankScale(_Ranked):
    """The share of training architectures below a value, interpolated between those seen.

    Attributes:
        proxy: Column of the scores table.
        knots: Training values, ascending, in the proxy's unit; 101 at most.
        levels: Mid-rank of each knot, as a share in [0, 1].
    """

    kind: Literal["rank"] = "rank"

    def columns(self, values: Floats) -> list[Floats]:
        """Return one column in [0, 1], of the values' length; NaN stays NaN."""
        return [self.rank(values)]


class SplineScale(_Ranked):
    """Ramps on the rank scale, each rising from 0 to 1 between two neighbouring breaks.

    They are I-splines of degree one (Ramsay 1988, Monotone regression splines in action): any
    piecewise linear function of the rank is a sum of them, and weights of one sign make it
    monotone. A weight is what the prediction gains while the proxy crosses that range of ranks.

    Attributes:
        proxy: Column of the scores table.
        knots: Training values, ascending, in the proxy's unit; 101 at most.
        levels: Mid-rank of each knot, as a share in [0, 1].
        breaks: Shares where the slope may change, ascending from 0 to 1.
    """

    kind: Literal["spline"] = "spline"
    breaks: Numbers = (0.0, 0.25, 0.5, 0.75, 1.0)

    def names(self) -> list[str]:
        """Return the names of the columns that `columns` gives, such as ``snip[0.25-0.5]``."""
        return [f"{self.proxy}[{a:g}-{b:g}]" for a, b in pairwise(self.breaks)]

    def columns(self, values: Floats) -> list[Floats]:
        """Return a column in [0, 1] for each ramp, of the values' length; NaN stays NaN."""
        rank = self.rank(values)
        return [np.clip((rank - a) / (b - a), 0.0, 1.0) for a, b in pairwise(self.breaks)]

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if len(self.breaks) < 2 or np.any(np.diff(self.breaks) <= 0):
            raise ValueError("breaks must ascend, two at least")
        return self


def _fences(values: Floats) -> tuple[float, float]:
    """Return the values beyond which one is far out; the extremes where the quartiles agree."""
    lower, upper = np.quantile(values, [0.25, 0.75])
    if lower == upper:
        return float(values.min()), float(values.max())
    return float(lower - FENCE * (upper - lower)), float(upper + FENCE * (upper - lower))


def _signed_log(values: Floats, unit: float) -> Floats:
    # A difference of logarithms: the quotient could overflow.
    logarithms: Floats = np.sign(values) * (np.log(np.abs(values) + unit) - np.log(unit))
    return logarithms


Scale = Annotated[RawScale | LogScale | RankScale | SplineScale, Field(discriminator="kind")]

FIT_SCALE: dict[str, Callable[[str, Floats], RawScale | LogScale | RankScale | SplineScale]] = {
    "standard": LogScale.fit,
    "raw": RawScale.fit,
    "rank": RankScale.fit,
    "spline": SplineScale.fit,
}
"""Feature sets by name, each with what fits a proxy's scale to its finite training values."""
