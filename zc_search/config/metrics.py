"""The metrics of tabular benchmarks: names, other names, which way is better, units.

``train``, ``val`` and ``test`` say what a figure was measured on; ``valtest`` is both of the last.
"""

from collections.abc import Mapping
from typing import NamedTuple

from zc_search.proxies.catalogue import Direction


class Metric(NamedTuple):
    """Which way of a metric is better, and its unit; "" where it has none."""

    direction: Direction
    unit: str


_ENDINGS: Mapping[str, tuple[Metric, str]] = {  # with MASE's and the benchmarks' own ending
    "loss": (Metric("minimize", ""), "loss"),
    "accuracy": (Metric("maximize", "%"), "accuracy"),
    "seconds_per_epoch": (Metric("minimize", "s"), "per-time"),
    "seconds": (Metric("minimize", "s"), "all-time"),
}
ENDINGS = tuple(_ENDINGS)
"""What there is of each split, as the ending of a metric's name."""

_SPLITS = {"train": "train", "val": "valid", "test": "test", "valtest": "valtest"}

DRIFTS = ("minute", "hour", "day", "month")
RETAINED = ("int8", "analog", "analog_month")
"""Accuracies of which there is also the share of the float accuracy."""

_ON_HARDWARE = (
    *(f"{net}_accuracy" for net in ("float", "int8", "qat", "noisy", "analog")),
    *(f"{net}_{drift}_accuracy" for net in ("noisy", "analog") for drift in DRIFTS),
    *(f"{net}_retention" for net in RETAINED),
)

METRICS: Mapping[str, Metric] = {
    **{f"{split}_{end}": metric for split in _SPLITS for end, (metric, _) in _ENDINGS.items()},
    "latency_seconds": Metric("minimize", "s"),
    "model_size": Metric("minimize", "million parameters"),
    "model_flops": Metric("minimize", "million"),
    **{f"halfway_{split}_accuracy": Metric("maximize", "%") for split in ("val", "test", "train")},
    "halfway_train_seconds": Metric("minimize", "s"),
    **{name: Metric("maximize", "%") for name in _ON_HARDWARE},
}
"""Every metric of any benchmark; ``halfway_*`` are those after half of the same training."""

ALIASES: Mapping[str, str] = {
    "table_latency": "latency_seconds",
    **{
        f"{theirs}-{their_end}": f"{split}_{end}"
        for split, theirs in _SPLITS.items()
        for end, (_, their_end) in _ENDINGS.items()
    },
}
"""What MASE and ``get_more_info`` call them, such as ``valid-accuracy`` and ``test-all-time``."""

METRIC_DIRECTIONS: Mapping[str, Direction] = {
    name: METRICS[name].direction
    for name in (
        "val_accuracy",
        "test_accuracy",
        "latency_seconds",
        "train_seconds",
        "train_accuracy",
        "train_loss",
        "val_loss",
        "test_loss",
        *_ON_HARDWARE,
    )
}
"""The metrics that a search file may name, with the direction that ``"default"`` means."""


def canonical(name: str) -> str:
    """Return a metric's name, whichever spelling is given; others as they are.

    >>> canonical("valid-accuracy"), canonical("val_accuracy"), canonical("snip")
    ('val_accuracy', 'val_accuracy', 'snip')
    """
    return ALIASES.get(name, name)
