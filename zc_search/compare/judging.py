"""Scores beside what training gave: which proxies order architectures, and how well."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import as_completed
from functools import partial
from typing import Any, NamedTuple

import pandas as pd

from zc_search._utils.cores import available_cores
from zc_search.benchmarks import open_benchmark
from zc_search.config import parse_config
from zc_search.errors import ScoresError, unknown_name
from zc_search.evaluation import BASELINES, evaluate
from zc_search.proxies.catalogue import Direction, default_direction
from zc_search.scoring.workers import Crew

_WORTH_PROCESSES = 5_000_000
"""Resampled pairs that take some seconds, which is what processes take to start."""


class Judgement(NamedTuple):
    """What proxies are worth.

    Attributes:
        table: As `evaluate` returns it, params and flops first, then in the order of the file.
        scored: The data set that the scores were computed for.
        dataset: The data set whose accuracies they are judged by.
        metric: The benchmark's name of that accuracy.
        provenance: One sentence: what was trained on what, judged on what, with how many seeds.
    """

    table: pd.DataFrame
    scored: str
    dataset: str
    metric: str
    provenance: str


def judge(
    scores: pd.DataFrame,
    said: Mapping[str, Any],
    *,
    dataset: str | None = None,
    metric: str = "val_accuracy",
    proxies: Sequence[str] | None = None,
    n_bootstrap: int = 1000,
    on_proxy: Callable[[int, int], None] = lambda done, total: None,
) -> Judgement:
    """Judge what `load_scores` returned by the benchmark's accuracies, means of all seeds.

    Args:
        scores: The table.
        said: What its file says of itself.
        dataset: By default the one that the scores were computed for.
        metric: A metric of the benchmark that is better when larger.
        proxies: By default all; params and flops are always there.
        n_bootstrap: Resamples an interval is made of; 0 for no intervals.
        on_proxy: Called with how many proxies are judged, and of how many.

    Raises:
        ScoresError: An unknown proxy or metric, or scores without a benchmark.
        BenchmarkError: An unknown data set.
    """
    known: Mapping[str, Direction] = said["proxies"]
    config = parse_config(said["config"], source="the scores file's configuration")
    for name in proxies or ():
        if name not in known:
            raise ScoresError(unknown_name("column", name, known))
    if config.benchmark.name == "none":
        raise ScoresError(
            "these scores were computed with benchmark.name = 'none': there are no accuracies to "
            "judge proxies by; on images of your own, `zc-search train` makes some"
        )
    benchmark = open_benchmark(
        config.benchmark.name, dataset or config.space.dataset, config.benchmark.path
    )
    accuracies = [m for m in benchmark.metrics if benchmark.directions[m] == "maximize"]
    if metric not in accuracies:
        raise ScoresError(unknown_name("accuracy", metric, accuracies))
    names = list(dict.fromkeys((*BASELINES, *(proxies or known))))
    accuracy = benchmark.table()[metric]
    jobs = {
        name: (scores[[name]], accuracy, {name: default_direction(name) or known[name]})
        for name in names
    }
    tables: dict[str, pd.DataFrame] = {}
    on_proxy(0, len(names))
    if len(scores) * n_bootstrap * len(names) < _WORTH_PROCESSES:
        for name, job in jobs.items():
            tables[name] = evaluate(*job, n_bootstrap=n_bootstrap)
            on_proxy(len(tables), len(names))
    else:
        with Crew(min(len(names), available_cores())) as crew:
            futures = {
                crew.submit(partial(evaluate, n_bootstrap=n_bootstrap), *job): name
                for name, job in jobs.items()
            }
            for future in as_completed(futures):
                tables[futures[future]] = future.result()
                on_proxy(len(tables), len(names))
    return Judgement(
        pd.concat([tables[name] for name in names], ignore_index=True),
        config.space.dataset,
        benchmark.dataset,
        metric,
        benchmark.provenance,
    )
