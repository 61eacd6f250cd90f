"""The searches that are compared, by name."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from optuna.samplers import BaseSampler

from zc_search.config import SAMPLERS
from zc_search.errors import ConfigError, ZcSearchError
from zc_search.samplers import check_options, make_sampler, zero_cost
from zc_search.spaces import Architecture, CellSpace

ZERO_COST = "zero_cost"
"""The algorithm that looks at no accuracy: it takes the best of random candidates by proxies."""

SPACE = CellSpace()


class Algorithm(NamedTuple):
    """An algorithm as a comparison's file describes it.

    Attributes:
        label: What it is called in the results.
        kind: `ZERO_COST`, a key of `SAMPLERS`, or ``module:Class``.
        options: Its options, and `scores` where it uses proxies and there are any.
    """

    label: str
    kind: str
    options: Mapping[str, Any]

    @property
    def looks(self) -> bool:
        """Whether it looks at accuracies at all."""
        return self.kind != ZERO_COST

    @property
    def guided(self) -> bool:
        """Whether it knows something of cells before it looks at accuracies."""
        if self.kind == "regularized_evolution":
            return bool(self.options.get("warmup")) or self.options.get("moves", 1) > 1
        return self.kind in (ZERO_COST, "predictor_guided")


def describe(label: str, table: Mapping[str, Any], scores: str | None) -> Algorithm:
    """Read an algorithm from its table in a comparison's file.

    Raises:
        ConfigError: Unknown options, or an unknown sampler.
    """
    options = dict(table)
    kind = str(options.pop("sampler", label))
    algorithm = Algorithm(label, kind, options)
    if algorithm.guided and scores is not None:
        options.setdefault("scores", scores)
    return algorithm


def make_search(algorithm: Algorithm, seed: int) -> BaseSampler:
    """Return the sampler of an algorithm that looks at accuracies.

    Raises:
        ConfigError: It does not take its options, or there is no such sampler.
    """
    options = dict(algorithm.options)
    distinct = options.pop("distinct", True)
    key = f"algorithms.{algorithm.label}"
    if algorithm.kind not in SAMPLERS and ":" not in algorithm.kind:
        allowed = (*SAMPLERS, ZERO_COST, "module:Class")
        raise ConfigError.unknown("sampler", algorithm.kind, allowed, key=key)
    return make_sampler(
        algorithm.kind,
        options,
        seed,
        space=SPACE,
        distinct=distinct,
        resumable=False,
        keys=(key, key),
    )


def pick(algorithm: Algorithm, seed: int) -> Architecture:
    """Return what an algorithm chooses that looks at no accuracy.

    Raises:
        ConfigError: It does not take its options, or what guides it cannot be had.
    """
    key = f"algorithms.{algorithm.label}"
    check_options(ZERO_COST, zero_cost, algorithm.options, key)
    try:
        return zero_cost(SPACE, seed, **algorithm.options)
    except (TypeError, ValueError, ZcSearchError) as error:
        raise ConfigError(f"{key}: {error}", key=key, given=algorithm.options) from error
