"""One search on a table: what it looked at, in which order."""

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import optuna
from optuna.trial import Trial

from zc_search._utils.files import write_atomically
from zc_search.compare.algorithms import SPACE, Algorithm, make_search, pick
from zc_search.compare.settings import Race
from zc_search.compare.table import Table, table_of
from zc_search.samplers import distributions

_TRIALS = 20
"""Trials for each accuracy that a search may use up before it counts as stuck."""


@dataclass(frozen=True)
class Search:
    """What a search did.

    Attributes:
        looked: `Architecture.index` of each cell looked at, in order, none twice.
        seen: The accuracy that it was told of each, in percent.
        picked: What it chose without looking, if it looked at none.
        seconds: How long it took, looking up included.
    """

    looked: list[int] = field(default_factory=list)
    seen: list[float] = field(default_factory=list)
    picked: int | None = None
    seconds: float = 0.0

    def save(self, path: Path) -> None:
        """Write the file of a finished search."""
        write_atomically(path, json.dumps(asdict(self)) + "\n")

    @classmethod
    def load(cls, path: Path) -> "Search | None":
        """Read the file of a finished search; None if there is none, or a damaged one."""
        try:
            return cls(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None


def search(algorithm: Algorithm, race: Race, dataset: str, seed: int) -> Search:
    """Run one algorithm with one seed.

    It ends when it has looked at as many accuracies as it may, or their training has taken as long
    as it may. A cell that it suggests again is told again at no cost.

    Raises:
        ConfigError: The algorithm cannot be made.
    """
    begun = time.perf_counter()
    if not algorithm.looks:
        picked = pick(algorithm, seed).index
        return Search(picked=picked, seconds=time.perf_counter() - begun)
    table = table_of(dataset)
    known: dict[int, float] = {}
    spent, limit = 0.0, race.simulated_seconds or float("inf")
    chance = np.random.default_rng([seed, 1])
    edges = distributions(SPACE)
    study = optuna.create_study(direction="maximize", sampler=make_search(algorithm, seed))
    for _ in range(_TRIALS * race.accuracies):
        if len(known) == race.accuracies or spent >= limit:
            break
        trial = study.ask(dict(edges))
        index = _index(trial)
        if index not in known:
            known[index] = _look(table, index, chance if race.one_training else None)
            spent += float(table.seconds[index])
        study.tell(trial, known[index])
    seconds = time.perf_counter() - begun
    return Search(list(known), list(known.values()), seconds=seconds)


def _index(trial: Trial) -> int:
    return SPACE.architecture(trial.params).index


def _look(table: Table, index: int, chance: np.random.Generator | None) -> float:
    if chance is not None:
        return table.one_training(index, chance)
    return float(table.validation[index])
