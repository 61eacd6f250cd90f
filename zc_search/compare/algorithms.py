"""The searches that are compared, by name."""

import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler

from zc_search.errors import StudyError, ZcSearchError, unknown_name
from zc_search.samplers import (
    OWN,
    SAMPLERS,
    check_options,
    distributions,
    find_sampler,
    function_key,
    make_own,
    zero_cost,
)
from zc_search.samplers.portable import DistinctSampler
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
        StudyError: Unknown options, or an unknown sampler.
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
        StudyError: It does not take its options, or there is no such sampler.
    """
    name, options = algorithm.kind, dict(algorithm.options)
    if name in OWN:
        return make_own(name, options, seed, SPACE)
    distinct = options.pop("distinct", True)
    try:
        kind = find_sampler(name)
    except StudyError:
        if ":" in name:
            raise
        raise StudyError(
            f"{unknown_name('sampler', name, (*SAMPLERS, ZERO_COST))}, module:Class"
        ) from None
    check_options(name, kind, options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        try:
            sampler = kind(**{"seed": seed, **options})
        except (TypeError, ValueError) as error:
            raise StudyError(f"options of {name!r}: {error}") from error
    if not distinct:
        return sampler
    return DistinctSampler(sampler, search_space=distributions(SPACE), key=function_key, seed=seed)


def pick(algorithm: Algorithm, seed: int) -> Architecture:
    """Return what an algorithm chooses that looks at no accuracy.

    Raises:
        StudyError: It does not take its options, or what guides it cannot be had.
    """
    check_options(ZERO_COST, zero_cost, algorithm.options)
    try:
        return zero_cost(SPACE, seed, **algorithm.options)
    except (TypeError, ValueError, ZcSearchError) as error:
        raise StudyError(f"options of {ZERO_COST!r}: {error}") from error
