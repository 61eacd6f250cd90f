"""The metrics of tabular benchmarks: names, other names, which way is better, units."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from zc_search.proxies.catalogue import Direction

TABLE_FILES = (".csv", ".parquet")
"""What the name of a table of accuracies of the user's own ends in."""


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

_OF_TASKS: Mapping[str, Metric] = {  # of TransNAS-Bench-101
    f"{split}_{name}": Metric(
        "minimize" if name == "l1_loss" else "maximize", "%" if name == "top5_accuracy" else ""
    )
    for split in ("train", "val", "test")
    for name in ("top5_accuracy", "miou", "ssim", "neg_loss", "l1_loss")
}

METRICS: Mapping[str, Metric] = {
    **{f"{split}_{end}": metric for split in _SPLITS for end, (metric, _) in _ENDINGS.items()},
    "latency_seconds": Metric("minimize", "s"),
    "model_size": Metric("minimize", "million parameters"),
    "model_flops": Metric("minimize", "million"),
    **{f"halfway_{split}_accuracy": Metric("maximize", "%") for split in ("val", "test", "train")},
    "halfway_train_seconds": Metric("minimize", "s"),
    **{name: Metric("maximize", "%") for name in _ON_HARDWARE},
    **_OF_TASKS,
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
        *("val_accuracy", "test_accuracy", "latency_seconds", "train_seconds"),
        *("train_accuracy", "train_loss", "val_loss", "test_loss"),
        *_ON_HARDWARE,
        *(name for name in _OF_TASKS if not name.startswith("train_")),
    )
}
"""The metrics that a search file may name, with the direction that ``"default"`` means."""


_WORDS: Mapping[Direction, str] = {
    "minimize": "loss error err latency seconds time ms energy memory size cost rmse mae",
    "maximize": "accuracy acc top1 top5 auc f1 precision recall score map iou",
}


def guessed_direction(name: str) -> Direction | None:
    """Return which way a metric is better, by its name, or None where that does not say.

    >>> guessed_direction("val_accuracy"), guessed_direction("energy-mJ"), guessed_direction("x")
    ('maximize', 'minimize', None)
    """
    if name in METRICS:
        return METRICS[name].direction
    words = set(re.split(r"[^a-z0-9]+", name.lower()))
    return next((way for way, known in _WORDS.items() if words & set(known.split())), None)


def unit_of(name: str) -> str:
    """Return a metric's unit; of one that is the user's own "", or %, if it is an accuracy."""
    metric = METRICS.get(ALIASES.get(name, name))
    return metric.unit if metric else "%" if name.endswith("accuracy") else ""
