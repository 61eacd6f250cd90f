"""The metrics of trained cells: which training and which split each one is of, on each data set.

``cifar10`` means what the benchmark's own API means: trained on all 50,000 images and tested; as
nothing is left to validate on, ``val_*`` are of ``cifar10-valid``, trained on one half and judged
on the other.
"""

from collections.abc import Mapping
from typing import NamedTuple

from zc_search.benchmarks.base import Direction


class Origin(NamedTuple):
    """Where in a table a metric stands.

    Attributes:
        trained: Data set of the training, in the benchmark's names.
        figure: One of `trials.FIGURES`.
        per_epoch: Whether it is divided by the length of the training.
    """

    trained: str
    figure: str
    per_epoch: bool = False


SPLITS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "cifar10": {
        "train": ("cifar10", "train"),
        "val": ("cifar10-valid", "x-valid"),
        "test": ("cifar10", "ori-test"),
    },
    "cifar10-valid": {
        "train": ("cifar10-valid", "train"),
        "val": ("cifar10-valid", "x-valid"),
        "test": ("cifar10-valid", "ori-test"),
    },
    **{
        dataset: {
            "train": (dataset, "train"),
            "val": (dataset, "x-valid"),
            "test": (dataset, "x-test"),
            "valtest": (dataset, "ori-test"),
        }
        for dataset in ("cifar100", "ImageNet16-120")
    },
}
"""Of each data set the splits: what was trained on, and the set judged on. ``valtest`` is both."""

_WHAT: Mapping[str, tuple[str, Direction]] = {
    "loss": ("loss", "minimize"),
    "accuracy": ("accuracy", "maximize"),
    "seconds_per_epoch": ("per-time", "minimize"),
    "seconds": ("all-time", "minimize"),
}
"""Of each figure MASE's and the API's ending, and the direction."""

_COSTS = {"latency_seconds": "latency", "model_size": "params", "model_flops": "flops"}

DIRECTIONS: Mapping[str, Direction] = {
    **{
        f"{split}_{what}": direction
        for split in ("train", "val", "test", "valtest")
        for what, (_, direction) in _WHAT.items()
    },
    **dict.fromkeys(_COSTS, "minimize"),
}
"""All metrics of any data set."""

ALIASES: Mapping[str, str] = {
    f"{'valid' if split == 'val' else split}-{theirs}": f"{split}_{what}"
    for split in ("train", "val", "test", "valtest")
    for what, (theirs, _) in _WHAT.items()
}
"""MASE's spelling, which is that of ``get_more_info``: ``valid-accuracy``, ``test-all-time``."""


def origins(dataset: str) -> dict[str, Origin]:
    """Return where each metric of a data set stands."""
    found = {}
    for split, (trained, judged) in SPLITS[dataset].items():
        for what in _WHAT:
            figure = f"{judged}_{what.removesuffix('_per_epoch')}"
            found[f"{split}_{what}"] = Origin(trained, figure, what == "seconds_per_epoch")
    return found | {name: Origin(dataset, figure) for name, figure in _COSTS.items()}


def split_metrics(dataset: str, split: str) -> tuple[str, ...] | None:
    """Return the metrics of a split, named as here or as in the benchmark, or None if unknown.

    >>> split_metrics("cifar100", "x-test")
    ('test_loss', 'test_accuracy', 'test_seconds_per_epoch', 'test_seconds')
    """
    own = "val" if split == "valid" else split
    for name, (_, judged) in SPLITS[dataset].items():
        if own in (name, judged):
            return tuple(f"{name}_{what}" for what in _WHAT)
    return None
