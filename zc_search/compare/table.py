"""A data set's accuracies and training times by `Architecture.index`, ready to be looked at."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from zc_search.benchmarks import Benchmark, open_benchmark
from zc_search.spaces import Architecture

VALIDATION = "val_accuracy"
TEST = "test_accuracy"
_TRAINING = "train_seconds"

Floats = NDArray[np.float64]


class Table(NamedTuple):
    """What training gave, one entry a cell.

    Attributes:
        benchmark: Where it comes from.
        validation: Validation accuracy in percent, mean of all training seeds.
        test: Test accuracy in percent, where the benchmark has it. Nothing is chosen by it.
        seconds: Of training one seed.
        optimum: The best validation accuracy.
    """

    benchmark: Benchmark
    validation: Floats
    test: Floats | None
    seconds: Floats
    optimum: float

    def one_training(self, index: int, rng: np.random.Generator) -> float:
        """Return the validation accuracy of one training seed, drawn at random, in percent."""
        cell = Architecture.from_index(index)
        seeds = self.benchmark.query(cell).seeds
        seen = self.benchmark.query(cell, seed=int(rng.integers(seeds)), metrics=[VALIDATION])
        return seen[VALIDATION]


@lru_cache(maxsize=4)
def table_of(dataset: str) -> Table:
    """Return a data set's table.

    Raises:
        BenchmarkError: The benchmark cannot be had.
    """
    benchmark = open_benchmark(dataset=dataset)
    places = [benchmark.index(Architecture.from_index(i)) for i in range(len(benchmark))]
    validation = benchmark.column(VALIDATION)[places]
    test = benchmark.column(TEST)[places] if TEST in benchmark.metrics else None
    seconds = benchmark.column(_TRAINING)[places]
    return Table(benchmark, validation, test, seconds, float(validation.max()))
