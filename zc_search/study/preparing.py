"""What a search works with, made from its settings: the same for the search and its workers."""

from collections.abc import Mapping
from typing import NamedTuple

from zc_search.benchmarks import Benchmark, open_benchmark
from zc_search.config import METRIC_DIRECTIONS, Config
from zc_search.ensemble import Ensemble
from zc_search.ensemble.models import make_model
from zc_search.ensemble.without_accuracies import load_transferred
from zc_search.errors import BenchmarkError
from zc_search.images import Batch
from zc_search.proxies import Proxy, resolve_proxies
from zc_search.scoring.cache import open_cache
from zc_search.scoring.images import batch_and_task
from zc_search.scoring.scorer import Scorer
from zc_search.spaces import AnySpace, make_space
from zc_search.study import check_constraints, load_ensembles


class Prepared(NamedTuple):
    """What a search works with.

    Attributes:
        proxies: What is computed.
        definitions: What each of them means, by name.
        ensembles: Those whose predictions are objectives.
        benchmark: Says what training gave; None without one.
        space: Where architectures come from.
        batch: The images.
        about_images: What to tell of them.
        scorer: Computes the proxies.
    """

    proxies: tuple[Proxy, ...]
    definitions: Mapping[str, str]
    ensembles: Mapping[str, Ensemble]
    benchmark: Benchmark | None
    space: AnySpace
    batch: Batch
    about_images: tuple[str, ...]
    scorer: Scorer


def prepare(config: Config) -> Prepared:
    """Make what a search works with; nothing is computed yet.

    Raises:
        ZcSearchError: Something in the configuration cannot be had.
    """
    proxies = resolve_proxies(config.proxies_to_compute)
    ensembles = load_ensembles(config, proxies)
    benchmark = _open_benchmark(config)
    space = make_space(config.space)
    batch, task, about_images = batch_and_task(config)
    scorer = Scorer.of(config, proxies, batch, task, open_cache(config.proxies.cache))
    definitions = {p.name: p.definition for p in proxies}
    # Complain now, not after the last trial.
    make_model(config.ensemble.model, None, config.ensemble.seed)
    load_transferred(config, definitions)
    check_constraints(config, batch, task)
    return Prepared(
        proxies, definitions, ensembles, benchmark, space, batch, tuple(about_images), scorer
    )


def _open_benchmark(config: Config) -> Benchmark | None:
    if config.benchmark.name == "none":
        return None
    benchmark = open_benchmark(config.benchmark.name, config.space.dataset, config.benchmark.path)
    wanted = [o.name for o in config.objectives if o.name in METRIC_DIRECTIONS]
    any_architecture = benchmark.architecture(0)
    for metric in (config.benchmark.metric, *wanted):
        try:
            benchmark.query(any_architecture, metrics=[metric])
        except BenchmarkError as error:
            raise BenchmarkError(f"benchmark.metric or objectives: {error}") from error
    return benchmark
