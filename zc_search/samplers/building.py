"""The samplers of this project on the search space of a configuration."""

from collections.abc import Hashable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np

from zc_search.errors import ZcSearchError
from zc_search.samplers.cells import distributions, key_of
from zc_search.samplers.knowledge import Knowledge, gather
from zc_search.samplers.portable import (
    LocalSearchSampler,
    PredictorGuidedSampler,
    RegularizedEvolutionSampler,
)
from zc_search.samplers.regressors import Model, find_model
from zc_search.spaces import AnySpace, CellSpace


def regularized_evolution(
    space: AnySpace,
    seed: int,
    *,
    population_size: int = 50,
    tournament_size: int = 10,
    warmup: int = 0,
    moves: int = 1,
    scores: str | None = None,
    aggregate: Sequence[str] | None = None,
) -> RegularizedEvolutionSampler:
    """Return regularized evolution of cells, no function of which is suggested twice.

    Args:
        space: The search space.
        seed: Of all random choices.
        population_size: See `RegularizedEvolutionSampler`.
        tournament_size: See there.
        warmup: See there; what is thought of a cell beforehand is `Knowledge.prior`.
        moves: See there.
        scores: See `gather`.
        aggregate: See ``among`` of `gather`.

    Raises:
        ZcSearchError: See `gather`.
        ValueError: A number is out of range, or scores are given that nothing is chosen by.
    """
    table: dict[Hashable, float] | None = None
    if warmup or moves > 1:
        known = _known(space, scores, among=aggregate)
        keys = (architecture.function_key for architecture in known.architectures)
        table = dict(zip(keys, known.prior.tolist(), strict=True))
    elif scores or aggregate:
        raise ValueError("scores and aggregate have no use without warmup or moves")
    return RegularizedEvolutionSampler(
        population_size=population_size,
        tournament_size=tournament_size,
        score=table,
        warmup=warmup,
        moves=moves,
        search_space=distributions(space),
        key=key_of(space),
        seed=seed,
    )


def local_search(space: AnySpace, seed: int) -> LocalSearchSampler:
    """Return local search of cells, no function of which is suggested twice."""
    return LocalSearchSampler(search_space=distributions(space), key=key_of(space), seed=seed)


def predictor_guided(
    space: AnySpace,
    seed: int,
    *,
    model: str = "gp",
    scores: str | None = None,
    proxies: Sequence[str] | None = None,
    aggregate: Sequence[str] | None = None,
    cell: bool = True,
    acquisition: Literal["ucb", "thompson"] = "ucb",
    kappa: float | None = None,
    copies: int | None = None,
    startup: int = 4,
    startup_share: float = 0.05,
    refit_every: int = 1,
) -> PredictorGuidedSampler:
    """Return a search of cells that is guided by a predictor of their accuracy.

    Args:
        space: The search space.
        seed: Of all random choices.
        model: See `find_model`.
        scores: See `gather`.
        proxies: See `gather`.
        aggregate: See ``among`` of `gather`.
        cell: See `gather`.
        acquisition: See `PredictorGuidedSampler`.
        kappa: See there; by default the model's own.
        copies: See there; by default the model's own.
        startup: See there.
        startup_share: See there.
        refit_every: See there.

    Raises:
        ZcSearchError: See `gather` and `find_model`.
        ValueError: A number is out of range.
    """
    chosen = find_model(model)
    known = _known(space, scores, proxies=proxies, among=aggregate, cell=cell)
    if ":" in model:
        _try_out(model, chosen, known, max(startup // max(refit_every, 1) * refit_every, 1))
    return PredictorGuidedSampler(
        [space.parameters(architecture) for architecture in known.architectures],
        known.features,
        chosen.make,
        acquisition=acquisition,
        kappa=chosen.kappa if kappa is None else kappa,
        copies=chosen.copies if copies is None else copies,
        prior=known.prior,
        startup=startup,
        startup_share=startup_share,
        refit_every=refit_every,
        search_space=distributions(space),
        key=key_of(space),
        seed=seed,
    )


def _try_out(name: str, model: Model, known: Knowledge, values: int) -> None:
    """Fit somebody else's regressor to as few values as it will be fitted to first."""
    rows = known.features[:values]
    try:
        model.make(0).fit(rows, np.arange(len(rows), dtype=float)).predict(rows)
    except Exception as error:  # anybody's code
        raise ZcSearchError(
            f"model {name!r} cannot be fitted to the first {values} accuracies: {error}; a larger "
            "startup gives it more"
        ) from error


def _known(
    space: AnySpace,
    scores: str | None,
    *,
    proxies: Sequence[str] | None = None,
    among: Sequence[str] | None = None,
    cell: bool = True,
) -> Knowledge:
    if not isinstance(space, CellSpace):
        raise ZcSearchError(
            "what is known beforehand is known of cells of NAS-Bench-201 only, and space.name = "
            f"{space.name!r}; Allowed: another sampler, or regularized_evolution without warmup "
            "and moves"
        )
    written = Path(scores).stat().st_mtime_ns if scores and Path(scores).exists() else 0
    return _gather_once(space, scores, written, tuple(proxies or ()), tuple(among or ()), cell)


@lru_cache(maxsize=8)  # many searches of one space differ in nothing but their seed
def _gather_once(
    space: CellSpace,
    scores: str | None,
    written: int,
    proxies: tuple[str, ...],
    among: tuple[str, ...],
    cell: bool,
) -> Knowledge:
    return gather(space, scores, proxies=proxies, among=among, cell=cell)
