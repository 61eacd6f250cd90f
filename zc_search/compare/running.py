"""All searches of a comparison, in processes; each leaves a file, so that none is run twice."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import as_completed
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import optuna

from zc_search._utils.cores import available_cores
from zc_search._utils.files import write_atomically
from zc_search.compare.algorithms import Algorithm, describe, make_search, pick
from zc_search.compare.searching import Search, search
from zc_search.compare.settings import Comparison, Race
from zc_search.compare.table import table_of
from zc_search.errors import ZcSearchError
from zc_search.scoring.workers import Crew

_RULES = 1  # raised when what a search may do changes, so that old files are not taken for new ones


class Unit(NamedTuple):
    """One search to be run.

    Attributes:
        algorithm: What is run.
        dataset: On whose accuracies.
        seed: Its seed.
        path: Of its file.
    """

    algorithm: Algorithm
    dataset: str
    seed: int
    path: Path


def folder_of(comparison: Comparison) -> Path:
    """Return the folder of a comparison's results."""
    return Path(comparison.compare.folder, comparison.compare.name)


def run_searches(
    comparison: Comparison, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> list[tuple[Unit, Search]]:
    """Run what has not been run yet; return all searches.

    Args:
        comparison: What is compared.
        on_progress: Called with how many searches there are files of, and how many there shall be.

    Raises:
        ConfigError: An algorithm cannot be made; nothing was run yet.
        ZcSearchError: The folder cannot be written to.
    """
    race = comparison.compare
    units = list(plan(comparison))
    found = {unit.path: Search.load(unit.path) for unit in units}
    missing = [unit for unit in units if found[unit.path] is None]
    on_progress(len(units) - len(missing), len(units))
    _make_folders(missing, race)
    workers = min(race.workers or available_cores(), len(missing))
    if workers == 1:
        for done, unit in enumerate(missing, len(units) - len(missing) + 1):
            found[unit.path] = _run(unit, race)
            on_progress(done, len(units))
    elif workers > 1:
        with Crew(workers, _quietly) as crew:
            futures = {crew.submit(_run, unit, race): unit for unit in missing}
            for done, future in enumerate(as_completed(futures), len(units) - len(missing) + 1):
                found[futures[future].path] = future.result()
                on_progress(done, len(units))
    return [(unit, result) for unit in units if (result := found[unit.path]) is not None]


def plan(comparison: Comparison) -> Iterator[Unit]:
    """Yield every search of a comparison, all algorithms of one seed before the next seed.

    Raises:
        ConfigError: An algorithm cannot be made.
    """
    race = comparison.compare
    kinds = [
        (algorithm, dataset, folder_of(comparison) / "searches" / _digest(algorithm, race, dataset))
        for dataset in race.datasets
        for algorithm in describe_all(comparison, dataset)
    ]
    for seed in range(race.seeds):
        for algorithm, dataset, folder in kinds:
            yield Unit(algorithm, dataset, seed, folder / f"{seed}.json")


def describe_all(comparison: Comparison, dataset: str) -> list[Algorithm]:
    """Return the algorithms of a comparison on a data set, each of which can be made.

    Raises:
        ConfigError: One cannot.
    """
    algorithms = []
    for label, table in comparison.algorithms.items():
        algorithm = describe(label, table, comparison.compare.scores_of(dataset))
        make_search(algorithm, 0) if algorithm.looks else pick(algorithm, 0)
        algorithms.append(algorithm)
    return algorithms


def _digest(algorithm: Algorithm, race: Race, dataset: str) -> str:
    """Return a name for all that a search depends on but its seed and its algorithm's label."""
    return sha256(_what(algorithm, race, dataset).encode()).hexdigest()[:16]


def _what(algorithm: Algorithm, race: Race, dataset: str) -> str:
    scores = algorithm.options.get("scores")
    settings = {
        "rules": _RULES,
        "dataset": dataset,
        "kind": algorithm.kind,
        "options": {k: v for k, v in algorithm.options.items() if k != "scores"},
        "scores": scores and sha256(Path(scores).read_bytes()).hexdigest(),
        "accuracies": race.accuracies,
        "simulated_seconds": race.simulated_seconds,
        "one_training": race.one_training,
        "table": table_of(dataset).benchmark.provenance,
        "versions": {n: version(n) for n in ("zc-search", "optuna", "scikit-learn")},
    }
    return json.dumps(settings, indent=2, sort_keys=True)


def _make_folders(units: list[Unit], race: Race) -> None:
    for unit in {unit.path.parent: unit for unit in units}.values():
        try:
            unit.path.parent.mkdir(parents=True, exist_ok=True)
            what = _what(unit.algorithm, race, unit.dataset)
            write_atomically(unit.path.parent / "what.json", what + "\n")
        except OSError as error:
            folder = str(unit.path.parent)
            raise ZcSearchError(f"{folder!r} cannot be written to: {error.strerror}") from error


def _quietly() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def _run(unit: Unit, race: Race) -> Search:
    table_of(unit.dataset)  # so that reading it is not counted
    result = search(unit.algorithm, race, unit.dataset, unit.seed)
    result.save(unit.path)
    return result
