"""The accuracies that an ensemble may look at: joined to scores, or drawn from all there are."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from zc_search.benchmarks import Benchmark, open_benchmark
from zc_search.config import Config
from zc_search.ensemble.sources import Source
from zc_search.ensemble.splits import draw_rows
from zc_search.ensemble.tables import finite, flags, function_keys
from zc_search.errors import EnsembleError, unknown_name
from zc_search.images.datasets import DATASETS
from zc_search.spaces import CellSpace


def open_accuracies(source: Source, config: Config, dataset: str | None = None) -> Benchmark:
    """Open the benchmark whose accuracies belong to a source.

    Args:
        source: Scores.
        config: Its section ``benchmark`` counts.
        dataset: Whose accuracies; by default those of the data set scored for.

    Raises:
        EnsembleError: The settings name no benchmark, or a metric that is no accuracy.
        BenchmarkError: A benchmark, data set or metric that cannot be had.
    """
    if config.benchmark.name == "none":
        known = (
            source.config.space.name == CellSpace.name and (dataset or source.dataset) in DATASETS
        )
        raise EnsembleError(
            f"{source.path} has no accuracies: benchmark.name = 'none'. Without any, rank by the "
            "accuracy-free aggregate"
            + ("; --set benchmark.name=nasbench201 looks accuracies up" if known else "")
        )
    benchmark = open_benchmark(
        config.benchmark.name, dataset or source.dataset, config.benchmark.path
    )
    metric = config.benchmark.metric
    benchmark.column(metric)  # says where it is to be had, if not here
    accuracies = [name for name in benchmark.metrics if benchmark.directions[name] == "maximize"]
    if metric not in accuracies:
        raise EnsembleError(f"benchmark.metric: {unknown_name('accuracy', metric, accuracies)}")
    return benchmark


def with_accuracies(table: pd.DataFrame, benchmark: Benchmark, metric: str) -> pd.DataFrame:
    """Return a table with a column of accuracies, in percent, means of all training seeds.

    Raises:
        EnsembleError: The benchmark knows none of the architectures.
    """
    values = benchmark.table()[metric].reindex(table["architecture"]).to_numpy()
    if len(values) and not np.isfinite(values).any():
        raise EnsembleError(
            f"the benchmark {benchmark.name} knows none of the architectures, such as "
            f"{table['architecture'].iloc[0]!r}"
        )
    return table.assign(**{metric: values})


def provenance(benchmark: Benchmark, rows: pd.DataFrame) -> dict[str, Any]:
    """Describe the accuracies of some rows: data set, split, epochs and training seeds."""
    results = [benchmark.query(cell) for cell in rows["architecture"]]
    described: dict[str, Any] = {
        "dataset": benchmark.dataset,
        "accuracies": benchmark.provenance,
    }
    if results:
        seeds = [result.seeds for result in results]
        described |= {
            "split": results[0].split,
            "epochs": results[0].epochs,
            "training_seeds": {"least": min(seeds), "most": max(seeds)},
        }
    return described


def hide_all_but(
    table: pd.DataFrame, proxies: Sequence[str], target: str, count: int, seed: int
) -> pd.DataFrame:
    """Return a table in which only `count` architectures, drawn at random, have an accuracy.

    No two of them compute the same function. A smaller draw of one seed is the beginning of a
    larger one, and the first draw of `learning_curve`.

    Raises:
        EnsembleError: Fewer than 2 are asked for, or all there are.
    """
    usable = flags(table, "feasible", default=True) & finite(table, [target, *proxies])
    positions = np.flatnonzero(usable)
    keys = pd.factorize(function_keys(table)[positions])[0]
    functions = int(keys.max(initial=-1)) + 1
    if not 2 <= count < functions:
        raise EnsembleError(
            f"accuracies: {count} is given; allowed are 2 to {functions - 1}, because one at least "
            f"of the {functions} functions with finite proxies and an accuracy must be left to "
            "judge"
        )
    hidden = np.ones(len(table), dtype=bool)
    hidden[positions[draw_rows(keys, count, [seed, 0])]] = False
    return table.assign(**{target: table[target].mask(hidden)})
