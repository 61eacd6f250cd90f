"""What a trial found out: one JSON user attribute, from which every table is rebuilt."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from optuna.trial import FrozenTrial

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
        infeasible: Why no objective value was told, if none was.
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
        """Rebuild a record; the inverse of `to_json`. Keys of later versions are ignored."""
        known = {key: plain[key] for key in cls.__dataclass_fields__ if key in plain}
        known["proxies"] = {name: float(v) for name, v in plain.get("proxies", {}).items()}
        return cls(**known)

    @classmethod
    def of(cls, trial: FrozenTrial) -> "TrialRecord | None":
        """Return a trial's record, or None if it has none."""
        plain = trial.user_attrs.get(RECORD)
        return cls.from_json(plain) if isinstance(plain, Mapping) else None
