"""The size space of NATS-Bench from a converted file: 1, 12 and 90 epochs, three data sets.

Trainings of 12 epochs have three seeds (777, 888, 999), those of 1 and of 90 epochs one.
"""

from typing import Any, ClassVar

from zc_search.benchmarks.trial_benchmark import TrialBenchmark
from zc_search.spaces import SizeArchitecture


class SizeBenchmark(TrialBenchmark):
    """A converted NATS-Bench size file, on one data set; see `TrialBenchmark`."""

    name = "nats_sss"
    kind: ClassVar[type[Any]] = SizeArchitecture
