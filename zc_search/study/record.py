"""What a trial found out: one JSON user attribute, from which every table is rebuilt."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any, Self

from optuna.trial import FrozenTrial, Trial
from pydantic import TypeAdapter

from zc_search.errors import StudyError

RECORD = "zc_search"
"""The key of the user attribute that holds a trial's record."""


@dataclass(frozen=True)
class TrialRecord:
    """Everything known of a trial's architecture.

    Attributes:
        architecture: The architecture string.
        function_key: Equal for architectures that compute the same function.
        proxies: Every proxy's value, objectives or not; may be NaN or infinite.
        failures: By proxy, why its value is not finite.
        benchmark: The benchmark's figures by metric; empty without a benchmark.
        repeat_of: Number of the first trial of the same function, if there was one.
        infeasible: Why the architecture is no answer: it has no objective value, or it is beyond
            a constraint.
        seconds: Cost by stage: ``proxies`` and ``benchmark``.
        data: Fingerprint of the batch.
    """

    architecture: str
    function_key: str
    proxies: Mapping[str, float] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)
    benchmark: Mapping[str, float] = field(default_factory=dict)
    repeat_of: int | None = None
    infeasible: str | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    data: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types; a number that is not finite becomes its name."""
        plain = asdict(self)
        plain["proxies"] = {
            name: value if math.isfinite(value) else str(value)
            for name, value in self.proxies.items()
        }
        return plain

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """Rebuild a record; a ValueError says what is wrong. Keys of later versions are ignored."""
        known = {key: plain[key] for key in cls.__dataclass_fields__ if key in plain}
        record: Self = _checker().validate_python(known)
        return record

    @classmethod
    def of(cls, trial: Trial | FrozenTrial) -> "TrialRecord | None":
        """Return a trial's record, or None if it has none; a StudyError if it is not ours."""
        plain = trial.user_attrs.get(RECORD)
        if not isinstance(plain, Mapping):
            return None
        try:
            return cls.from_json(plain)
        except ValueError as error:
            what = " ".join(str(error).split())
            raise StudyError(f"trial {trial.number} holds no record of ours: {what}") from error


@cache
def _checker() -> TypeAdapter[Any]:
    return TypeAdapter(TrialRecord)
