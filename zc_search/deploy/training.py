"""`train_run`: the best few of a run trained on its images, against random ones."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from zc_search.config import Config, Training
from zc_search.deploy.feedback import (
    CHOSEN,
    LARGEST,
    NAMED,
    RANDOM,
    Entrant,
    by_group,
    refit,
    trained_table,
    verdict,
)
from zc_search.ensemble import Ensemble
from zc_search.ensemble.tables import flags
from zc_search.errors import ConfigError, StudyError
from zc_search.proxies import resolve_proxies
from zc_search.report import write_report
from zc_search.report.run import load_result, read_manifest, read_table
from zc_search.scoring.scorer import Scorer, batch_and_task, open_images
from zc_search.spaces import AnySpace
from zc_search.study.constraints import Limits, broken
from zc_search.study.record import SearchResult, read_confusion, test_accuracies
from zc_search.study.storage import RunFolder
from zc_search.study.training import FOLDER, Epoch, Trainer, read_results

_DRAWS_EACH = 200
_BEYOND = "None of the networks trained keeps the constraints."


@dataclass(frozen=True)
class Step:
    """Where the training stands: trainings finished of all, and what is being trained, as what.

    ``accuracy`` is that of the epoch just ended, on the validation images, in percent.
    """

    total: int
    done: int
    group: str = ""
    epoch: int = 0
    accuracy: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """What training the best few of a run gave; ``folder`` holds it all.

    ``results`` has a row a training: accuracy in percent of the validation images after the last
    epoch. ``groups`` has a row a group, its ``spread`` the standard deviation over architectures,
    each the mean of its seeds. ``trained`` has a row an architecture, the best feasible one first,
    see `trained_table`; it is also ``trained.csv``. ``ensemble`` and ``ranking`` are fitted to
    these accuracies, if they are enough and it orders better than chance. ``notes`` has a sentence
    for each thing a user should know.
    """

    folder: Path
    results: pd.DataFrame
    groups: pd.DataFrame
    trained: pd.DataFrame
    ensemble: Ensemble | None
    ranking: pd.DataFrame
    notes: tuple[str, ...]


def train_run(
    run: str | Path,
    *,
    top: int = 5,
    architectures: Sequence[str] = (),
    seeds: int = 1,
    recipe: Training | None = None,
    device: str | None = None,
    fresh: bool = False,
    on_step: Callable[[Step], None] = lambda step: None,
) -> Outcome:
    """Train the best few of a run on its images, or go on where an earlier call was cut off.

    As many random architectures and the one with most parameters are trained alike, `seeds` times
    each; or, if `architectures` are named, these and no others. A training that is finished is
    never repeated, and one that was cut off goes on from its last epoch, unless `fresh` sets them
    aside. Recipe and device are the run's by default. What comes out is in the run's folder as
    well, under `FOLDER`.

    Raises:
        ZcSearchError: No finished run, trainings of another recipe are there, the images are not
            those of the search, or too few random architectures keep the constraints.
    """
    result = load_result(run)
    config = result.config
    recipe = recipe or config.training
    images = open_images(config.data)
    batch, task, _ = batch_and_task(config, images)
    _refuse_other_images(result, batch.fingerprint)
    scorer, costs = (
        Scorer.of(config, resolve_proxies(names), batch, task)
        for names in (config.proxies_to_compute, config.constraints.limits)
    )
    folder = RunFolder(result.folder / FOLDER)
    with folder.locked():
        if fresh:
            folder.set_aside()
        trainer = Trainer(config, images, batch.fingerprint, recipe, device)
        trainer.keep_in(result.folder)
        limits = Limits(config, costs.space, task, costs)
        if architectures:
            named = [str(costs.space.read(text)) for text in architectures]
            entrants = [Entrant(NAMED, text) for text in dict.fromkeys(named)]
        else:
            entrants = _entrants(result, costs, limits, top, recipe.seed)
            entrants = as_trained(entrants, read_results(folder.path), costs.space)
        results = _train_all(trainer, folder.path, entrants, seeds, on_step)
        if architectures:  # beside those of an earlier call
            entrants = [*_earlier(folder.path, entrants), *entrants]
        folder.write_table("entrants.csv", pd.DataFrame(entrants))
        scored = _scored(scorer, result, entrants, limits)
        if len(scored):
            folder.write_table("scores.csv", scored)
        table = pd.concat([result.trials, scored], ignore_index=True)
        judged_by = len(images.split(config.data.validation, config.data.seed)[1])
        trained = read_results(folder.path)
        tested = test_accuracies(read_confusion(folder.path))
        trained = trained_table(config, table, trained, entrants, judged_by, tested)
        folder.write_table("trained.csv", trained)
        outcome = _concluded(folder, config, table, results, entrants, scorer, trained)
    write_report(load_result(run), result.folder / "report.html")
    return outcome


def _train_all(
    trainer: Trainer,
    folder: Path,
    entrants: list[Entrant],
    seeds: int,
    on_step: Callable[[Step], None],
) -> pd.DataFrame:
    """Train what is not trained yet; return all results of these entrants."""
    groups: dict[str, str] = {}
    for entrant in entrants:
        groups.setdefault(entrant.architecture, entrant.group)  # its first one, if several
    first = trainer.recipe.seed
    wanted = [(text, first + seed) for seed in range(seeds) for text in groups]
    results = read_results(folder)
    known = set(zip(results["architecture"], results["seed"], strict=True))
    done = len(known & set(wanted))
    on_step(Step(len(wanted), done))
    for text, seed in wanted:
        if (text, seed) in known:
            continue
        step = Step(len(wanted), done, groups[text])

        def on_epoch(epoch: Epoch, step: Step = step) -> None:
            on_step(replace(step, epoch=epoch.number, accuracy=epoch.accuracy))

        trainer.on_epoch = on_epoch
        row = trainer.train(text, seed)
        done += 1
        on_step(replace(step, done=done, epoch=row["epochs"], accuracy=row["accuracy"]))
    for text, seed in wanted:
        trainer.test(text, seed)
    return read_results(folder).merge(pd.DataFrame(wanted, columns=["architecture", "seed"]))


def _concluded(
    folder: RunFolder,
    config: Config,
    table: pd.DataFrame,
    results: pd.DataFrame,
    entrants: list[Entrant],
    scorer: Scorer,
    trained: pd.DataFrame,
) -> Outcome:
    """Say what the trainings gave, and write it down."""
    groups = by_group(results, entrants)
    if set(groups["group"]) == {NAMED}:  # nothing to compare with, nor to learn an order from
        beyond = [] if trained["feasible"].any() else [_BEYOND]
        return Outcome(folder.path, results, groups, trained, None, pd.DataFrame(), tuple(beyond))
    ensemble, ranked, notes = refit(config, table, results, scorer)
    if said := verdict(groups):
        notes.insert(0, said)
    if not trained["feasible"].any():
        notes.append(_BEYOND)
    if not config.data_decides:
        notes.append(
            "The benchmark's data set gave the images that the proxies scored on: validation "
            "images may be among them."
        )
    if ensemble is not None:
        ensemble.save(folder.path / "ensemble.toml")
        folder.write_table("ranking.csv", ranked)
    else:  # those of an earlier call with more entrants
        for name in ("ensemble.toml", "ranking.csv"):
            (folder.path / name).unlink(missing_ok=True)
    folder.write_table("groups.csv", groups)
    folder.write_json("notes.json", {"notes": notes})
    return Outcome(folder.path, results, groups, trained, ensemble, ranked, tuple(notes))


def _entrants(
    result: SearchResult, costs: Scorer, limits: Limits, top: int, seed: int
) -> list[Entrant]:
    """Return the first of a run's ranking, as many at random, and the one with most parameters."""
    if result.ranking.empty:
        raise StudyError(
            f"the run in {str(result.folder)!r} ranks no architecture, so there is none to train"
        )
    space, constraints = costs.space, result.config.constraints
    chosen: dict[str, str] = {}
    for text in result.ranking["architecture"]:
        chosen.setdefault(space.read(str(text)).function_key, str(text))
    entrants = [Entrant(CHOSEN, text) for text in list(chosen.values())[:top]]
    rng = np.random.default_rng([seed, 3])
    drawn: dict[str, str] = {}
    for _ in range(_DRAWS_EACH * top):
        if len(drawn) == len(entrants):
            break
        architecture = space.sample(rng)
        key = architecture.function_key
        if (
            key not in drawn
            and limits.check(architecture).refused is None
            and broken(constraints, costs.score(architecture).values) is None
        ):
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


def as_trained(
    entrants: Sequence[Entrant], results: pd.DataFrame, space: AnySpace
) -> list[Entrant]:
    """Name entrants by the architecture of their function that was trained already, if one was."""
    texts = [*dict.fromkeys(results["architecture"])]
    known = {space.read(text).function_key: text for text in reversed(texts)}
    return [
        entrant
        if entrant.architecture in texts
        else entrant._replace(architecture=known.get(key, entrant.architecture))
        for entrant in entrants
        for key in [space.read(entrant.architecture).function_key]
    ]


def _earlier(folder: Path, now: list[Entrant]) -> list[Entrant]:
    """Return who was trained by earlier calls, but for those of now."""
    path = folder / "entrants.csv"
    rows = read_table(path).itertuples(index=False) if path.exists() else ()
    return [entrant for row in rows if (entrant := Entrant(*map(str, row))) not in now]


def _scored(
    scorer: Scorer, result: SearchResult, entrants: list[Entrant], limits: Limits
) -> pd.DataFrame:
    """Return the scores of those trained that the search did not meet."""
    known = set(result.trials["architecture"])
    new = dict.fromkeys(e.architecture for e in entrants if e.architecture not in known)
    rows = []
    for architecture in map(scorer.space.read, new):
        values, _ = limits.timed_again(architecture, scorer.score(architecture).values)
        rows.append(
            {
                "architecture": architecture.to_string(),
                "function_key": architecture.function_key,
                "feasible": broken(result.config.constraints, values) is None,
                **values,
            }
        )
    return pd.DataFrame(rows)


def _refuse_other_images(result: SearchResult, fingerprint: str) -> None:
    before = read_manifest(result.folder).get("fingerprints", {}).get("batch")
    if before and before != fingerprint:
        raise StudyError(
            f"the images are not those of the search in {str(result.folder)!r} (fingerprint "
            f"{before[:12]}, now {fingerprint[:12]}): files were added, removed or changed; "
            "search again"
        )
