"""Which architectures are trained: the best few of a search, and what they have to beat."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from zc_search.ensemble.tables import flags
from zc_search.errors import ConfigError, StudyError
from zc_search.spaces import AnyArchitecture, AnySpace, read_architecture
from zc_search.study.result import SearchResult

CHOSEN = "chosen"
RANDOM = "random"
LARGEST = "most parameters"

_DRAWS_EACH = 200


class Entrant(NamedTuple):
    """An architecture to be trained, and as what: `CHOSEN`, `RANDOM` or `LARGEST`."""

    group: str
    architecture: str


def choose_entrants(
    result: SearchResult,
    space: AnySpace,
    top: int,
    seed: int,
    allowed: Callable[[AnyArchitecture], bool],
) -> list[Entrant]:
    """Return the first of a run's ranking, as many at random, and the one with most parameters.

    Args:
        result: Of the search.
        space: To draw from at random; functions once each, whether the search met them or not.
        top: How many.
        seed: Of the draw; a smaller draw is the beginning of a larger one.
        allowed: Whether an architecture keeps the constraints of the search.

    Raises:
        StudyError: The run ranks nothing.
        ConfigError: Hardly an architecture keeps the constraints.
    """
    if result.ranking.empty:
        raise StudyError(
            f"the run in {str(result.folder)!r} ranks no architecture, so there is none to train"
        )
    chosen: dict[str, str] = {}
    for text in result.ranking["architecture"]:
        chosen.setdefault(read_architecture(str(text)).function_key, str(text))
    entrants = [Entrant(CHOSEN, text) for text in list(chosen.values())[:top]]
    rng = np.random.default_rng([seed, 3])
    drawn: dict[str, str] = {}
    for _ in range(_DRAWS_EACH * top):
        if len(drawn) == len(entrants):
            break
        architecture = space.sample(rng)
        key = architecture.function_key
        if architecture.infeasible is None and key not in drawn and allowed(architecture):
            drawn[key] = architecture.to_string()
    else:
        raise ConfigError(
            f"constraints: of {_DRAWS_EACH * top} random architectures {len(drawn)} satisfy them; "
            f"{len(entrants)} are needed to compare with"
        )
    entrants += [Entrant(RANDOM, text) for text in drawn.values()]
    trials = result.trials[flags(result.trials, "feasible", default=True)]
    if "params" in trials:
        largest = int(trials["params"].to_numpy(dtype=float).argmax())
        entrants.append(Entrant(LARGEST, str(trials["architecture"].iloc[largest])))
    return entrants
