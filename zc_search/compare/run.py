"""The searches of a comparison, in processes; each leaves a file, so that none is run twice."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import as_completed
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import optuna
from joblib import cpu_count
from numpy.typing import NDArray
from optuna.samplers import BaseSampler

from zc_search._utils.files import write_atomically, writing
from zc_search._utils.text import versions
from zc_search.benchmarks import Benchmark, open_benchmark
from zc_search.compare.settings import Comparison, Race
from zc_search.config import SAMPLERS
from zc_search.errors import ConfigError, StudyError, ZcSearchError
from zc_search.samplers import check_options, make_sampler, zero_cost
from zc_search.scoring.scores_file import located, of_dataset
from zc_search.scoring.workers import Crew, WorkerDiedError
from zc_search.spaces import Architecture, CellSpace

Floats = NDArray[np.float64]

ZERO_COST = "zero_cost"
"""The algorithm that looks at no accuracy: it takes the best of random candidates by proxies."""

SPACE = CellSpace()
VALIDATION, TEST = "val_accuracy", "test_accuracy"

_RULES = 1  # raised when what a search may do changes, so that old files are not taken for new ones
_TRIALS = 20  # for each accuracy that a search may use up before it counts as stuck


class Algorithm(NamedTuple):
    """An algorithm of a comparison's file: its name in the results, what it is, its options."""

    label: str
    kind: str  # `ZERO_COST`, a key of `SAMPLERS`, or ``module:Class``
    options: Mapping[str, Any]  # with ``scores`` where it uses proxies and there are any

    @classmethod
    def of(cls, label: str, table: Mapping[str, Any], scores: str | None) -> "Algorithm":
        """Read an algorithm from its table in a comparison's file."""
        kind = str(table.get("sampler", label))
        given = {key: value for key, value in table.items() if key != "sampler"}
        guided = cls(label, kind, given).guided and scores is not None
        return cls(label, kind, {"scores": scores, **given} if guided else given)

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

    def sampler(self, seed: int) -> BaseSampler:
        """Return the sampler of an algorithm that looks at accuracies."""
        key, options = f"algorithms.{self.label}", dict(self.options)
        if self.kind not in SAMPLERS and ":" not in self.kind:
            allowed = (*SAMPLERS, ZERO_COST, "module:Class")
            raise ConfigError.unknown("sampler", self.kind, allowed, key=key)
        distinct, keys = options.pop("distinct", True), (key, key)
        return make_sampler(
            self.kind, options, seed, space=SPACE, distinct=distinct, resumable=False, keys=keys
        )

    def pick(self, seed: int) -> Architecture:
        """Return what an algorithm chooses that looks at no accuracy."""
        key = f"algorithms.{self.label}"
        check_options(ZERO_COST, zero_cost, self.options, key)
        try:
            return zero_cost(SPACE, seed, **self.options)
        except (TypeError, ValueError, ZcSearchError) as error:
            raise ConfigError(f"{key}: {error}", key=key, given=self.options) from error


class Table(NamedTuple):
    """What training gave, one entry a cell, by `Architecture.index`."""

    benchmark: Benchmark
    validation: Floats  # in percent, mean of all training seeds
    test: Floats | None  # likewise, where the benchmark has it; nothing is chosen by it
    seconds: Floats  # of training one seed
    optimum: float  # the best validation accuracy

    def one_training(self, index: int, rng: np.random.Generator) -> float:
        """Return the validation accuracy of one training seed, drawn at random, in percent."""
        cell = Architecture.from_index(index)
        seeds = self.benchmark.query(cell).seeds
        seen = self.benchmark.query(cell, seed=int(rng.integers(seeds)), metrics=[VALIDATION])
        return seen[VALIDATION]


@lru_cache(maxsize=4)
def table_of(dataset: str) -> Table:
    """Return a data set's table."""
    benchmark = open_benchmark(dataset=dataset)
    places = [benchmark.index(Architecture.from_index(i)) for i in range(len(benchmark))]
    validation = benchmark.column(VALIDATION)[places]
    test = benchmark.column(TEST)[places] if TEST in benchmark.metrics else None
    seconds = benchmark.column("train_seconds")[places]
    return Table(benchmark, validation, test, seconds, float(validation.max()))


@dataclass(frozen=True)
class Search:
    """What a search did."""

    looked: list[int] = field(default_factory=list)  # `Architecture.index`, in order, none twice
    seen: list[float] = field(default_factory=list)  # the accuracy that it was told of each
    picked: int | None = None  # what it chose without looking, if it looked at none
    seconds: float = 0.0  # how long it took, looking up included

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
    """
    begun = time.perf_counter()
    if not algorithm.looks:
        picked = algorithm.pick(seed).index
        return Search(picked=picked, seconds=time.perf_counter() - begun)
    table = table_of(dataset)
    known: dict[int, float] = {}
    spent, limit = 0.0, race.simulated_seconds or float("inf")
    chance = np.random.default_rng([seed, 1])
    edges = SPACE.distributions()
    study = optuna.create_study(direction="maximize", sampler=algorithm.sampler(seed))
    for _ in range(_TRIALS * race.accuracies):
        if len(known) == race.accuracies or spent >= limit:
            break
        trial = study.ask(dict(edges))
        index = SPACE.architecture(trial.params).index
        if index not in known:
            one, mean = race.one_training, table.validation[index]
            known[index] = table.one_training(index, chance) if one else float(mean)
            spent += float(table.seconds[index])
        study.tell(trial, known[index])
    seconds = time.perf_counter() - begun
    return Search(list(known), list(known.values()), seconds=seconds)


class Unit(NamedTuple):
    """One search to be run, and the path of its file."""

    algorithm: Algorithm
    dataset: str
    seed: int
    path: Path


def folder_of(comparison: Comparison) -> Path:
    """Return the folder of a comparison's results."""
    return Path(comparison.compare.folder, comparison.compare.name)


def algorithms_of(comparison: Comparison, dataset: str) -> list[Algorithm]:
    """Return the algorithms of a comparison on a data set, each of which can be made."""
    scores = comparison.compare.scores_of(dataset)
    tables = {
        label: {k: of_dataset(v, dataset) if k == "scores" else v for k, v in table.items()}
        for label, table in comparison.algorithms.items()
    }
    algorithms = [Algorithm.of(label, table, scores) for label, table in tables.items()]
    for algorithm in algorithms:
        algorithm.sampler(0) if algorithm.looks else algorithm.pick(0)
    return algorithms


def plan(comparison: Comparison) -> Iterator[Unit]:
    """Yield every search of a comparison, all algorithms of one seed before the next seed."""
    race, folder = comparison.compare, folder_of(comparison) / "searches"
    kinds = [(a, dataset) for dataset in race.datasets for a in algorithms_of(comparison, dataset)]
    conditions = [_conditions(algorithm, race, dataset) for algorithm, dataset in kinds]
    digests = [sha256(text.encode()).hexdigest()[:16] for text in conditions]
    for seed in range(race.seeds):
        for kind, digest in zip(kinds, digests, strict=True):
            yield Unit(*kind, seed, folder / digest / f"{seed}.json")


def run_searches(
    comparison: Comparison, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> list[tuple[Unit, Search]]:
    """Run what has not been run yet, once all algorithms can be made; return all searches."""
    race = comparison.compare
    units = list(plan(comparison))
    found = {unit.path: Search.load(unit.path) for unit in units}
    missing = [unit for unit in units if found[unit.path] is None]
    done = len(units) - len(missing)
    on_progress(done, len(units))
    for unit in {unit.path.parent: unit for unit in missing}.values():
        with writing(str(unit.path.parent), ZcSearchError):
            unit.path.parent.mkdir(parents=True, exist_ok=True)
            conditions = _conditions(unit.algorithm, race, unit.dataset)
            write_atomically(unit.path.parent / "what.json", conditions + "\n")
    workers = min(race.workers or cpu_count(), len(missing))
    for unit, outcome in _run_all(missing, race, workers):
        found[unit.path], done = outcome, done + 1
        on_progress(done, len(units))
    return [(unit, result) for unit in units if (result := found[unit.path]) is not None]


def _run_all(units: list[Unit], race: Race, workers: int) -> Iterator[tuple[Unit, Search]]:
    if workers < 2:
        for unit in units:
            yield unit, _run(unit, race)
        return
    with Crew(workers, optuna.logging.set_verbosity, optuna.logging.WARNING) as crew:
        futures = {crew.submit(_run, unit, race): unit for unit in units}
        for future in as_completed(futures):
            unit = futures[future]
            try:
                yield unit, future.result()
            except WorkerDiedError as error:
                label = unit.algorithm.label
                raise StudyError(
                    f"the process of {label!r} on {unit.dataset}, seed {unit.seed}, was killed, "
                    "twice; the same command goes on with what had not ended",
                    given=label,
                ) from error


def _run(unit: Unit, race: Race) -> Search:
    table_of(unit.dataset)  # so that reading it is not counted
    result = search(unit.algorithm, race, unit.dataset, unit.seed)
    write_atomically(unit.path, json.dumps(asdict(result)) + "\n")
    return result


def _conditions(algorithm: Algorithm, race: Race, dataset: str) -> str:
    """Return all that a search depends on but its seed and its algorithm's label."""
    scores = algorithm.options.get("scores")
    settings = {
        "rules": _RULES,
        "dataset": dataset,
        "kind": algorithm.kind,
        "options": {k: v for k, v in algorithm.options.items() if k != "scores"},
        "scores": scores and sha256(located(scores).read_bytes()).hexdigest(),
        "accuracies": race.accuracies,
        "simulated_seconds": race.simulated_seconds,
        "one_training": race.one_training,
        "table": table_of(dataset).benchmark.provenance,
        "versions": versions("optuna", "scikit-learn"),
    }
    return json.dumps(settings, indent=2, sort_keys=True)
