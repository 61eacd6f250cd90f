"""`train_run`: the best few of a run trained on its images, against random ones."""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from zc_search.config import Config, Training
from zc_search.deploy.feedback import CHOSEN, LARGEST, RANDOM, Entrant, by_group, refit, verdict
from zc_search.deploy.loop import Examples, train_network
from zc_search.ensemble import Ensemble
from zc_search.ensemble.tables import flags
from zc_search.errors import ConfigError, StudyError
from zc_search.images.image_set import ImageSet
from zc_search.proxies import resolve_proxies
from zc_search.report import write_report
from zc_search.report.run import load_result, read_manifest, stored_learning_curve
from zc_search.scoring.request import batch_and_task, open_images
from zc_search.scoring.scorer import Scorer, torch_device
from zc_search.scoring.store import changes
from zc_search.spaces import make_space
from zc_search.study.constraints import Limits, broken
from zc_search.study.record import SearchResult
from zc_search.study.run_folder import RunFolder

FOLDER = "training"
"""Of the run's folder."""

_DRAWS_EACH = 200

_COLUMNS = ["architecture", "seed", "epochs", "accuracy", "seconds"]


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
    each the mean of its seeds. ``ensemble`` and ``ranking`` are fitted to these accuracies, if they
    are enough. ``notes`` has a sentence for each thing a user should know.
    """

    folder: Path
    results: pd.DataFrame
    groups: pd.DataFrame
    ensemble: Ensemble | None
    ranking: pd.DataFrame
    notes: tuple[str, ...]


def train_run(
    run: str | Path,
    *,
    top: int = 5,
    seeds: int = 1,
    recipe: Training | None = None,
    device: str | None = None,
    fresh: bool = False,
    on_step: Callable[[Step], None] = lambda step: None,
) -> Outcome:
    """Train the best few of a run on its images, or go on where an earlier call was cut off.

    As many random architectures and the one with most parameters are trained alike, `seeds` times
    each. A training that is finished is never repeated, and one that was cut off goes on from its
    last epoch, unless `fresh` sets them aside. Recipe and device are the run's by default. What
    comes out is in the run's folder as well, under `FOLDER`.

    Raises:
        ZcSearchError: No finished run, trainings of another recipe are there, the images are not
            those of the search, or too few random architectures keep the constraints.
    """
    result = load_result(run)
    config = result.config
    recipe = recipe or config.training
    place = torch_device(device or config.proxies.device)
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
        _refuse_other_recipe(folder, recipe, batch.fingerprint)
        limits = Limits(config, costs.space, task, costs)
        entrants = _entrants(result, costs, limits, top, recipe.seed)
        folder.write_table("entrants.csv", pd.DataFrame(entrants))
        results = _train_all(folder, config, recipe, images, entrants, seeds, place, on_step)
        scored = _scored(scorer, result, entrants)
        if len(scored):
            folder.write_table("scores.csv", scored)
        table = pd.concat([result.trials, scored], ignore_index=True)
        outcome = _concluded(folder, config, table, results, entrants, scorer)
    curve = stored_learning_curve(result.folder)
    write_report(load_result(run), result.folder / "report.html", learning_curve=curve)
    return outcome


def weights_file(folder: Path, architecture: str, seed: int) -> Path:
    """Return where the trained weights of an architecture are kept, in a training folder."""
    digest = hashlib.sha256(architecture.encode()).hexdigest()[:12]
    return folder / "weights" / f"{digest}-{seed}.pt"


def read_results(folder: Path) -> pd.DataFrame:
    """Return the finished trainings in a training folder; see `Outcome.results`."""
    path = folder / "results.csv"
    if not path.exists():
        return pd.DataFrame(columns=_COLUMNS)
    try:
        return pd.read_csv(path, engine="python")[_COLUMNS]
    except (OSError, ValueError, KeyError) as error:
        raise StudyError(f"{path} cannot be read: {error}; start over with --fresh") from error


def _train_all(
    folder: RunFolder,
    config: Config,
    recipe: Training,
    images: ImageSet,
    entrants: list[Entrant],
    seeds: int,
    device: torch.device,
    on_step: Callable[[Step], None],
) -> pd.DataFrame:
    """Train what is not trained yet; return all results of these entrants."""
    learnt, held_out = images.split(config.data.validation, config.data.seed)
    training = Examples.of(images, learnt, learnt, device)
    validation = Examples.of(images, held_out, learnt, device)
    (folder.path / "weights").mkdir(exist_ok=True)
    groups: dict[str, str] = {}
    for entrant in entrants:
        groups.setdefault(entrant.architecture, entrant.group)  # its first one, if several
    wanted = [(text, recipe.seed + seed) for seed in range(seeds) for text in groups]
    results = read_results(folder.path)
    known = set(zip(results["architecture"], results["seed"], strict=True))
    done = len(known & set(wanted))
    space = make_space(config.space, images.task)
    sizes = config.space.model_dump(include={"channels", "cells"})
    on_step(Step(len(wanted), done))
    for text, seed in wanted:
        if (text, seed) in known:
            continue
        start = time.perf_counter()
        step = Step(len(wanted), done, groups[text])
        file = weights_file(folder.path, text, seed)
        part = file.with_suffix(".part")
        if file.exists() and not part.exists():  # killed before the result was written
            file.replace(part)
        network = space.build(space.read(text), images.task, seed, **sizes)
        reached = train_network(
            network,
            training,
            validation,
            recipe,
            seed=seed,
            checkpoint=part,
            on_epoch=lambda epoch, accuracy, step=step: on_step(  # type: ignore[misc]
                replace(step, epoch=epoch, accuracy=accuracy)
            ),
        )
        row = (text, seed, recipe.epochs, reached[-1], time.perf_counter() - start)
        # The weights first: a result without weights would never be trained again.
        part.replace(file)
        new = pd.DataFrame([row], columns=_COLUMNS)
        results = pd.concat([results, new], ignore_index=True) if len(results) else new
        folder.write_table("results.csv", results)
        done += 1
        on_step(replace(step, done=done, epoch=recipe.epochs, accuracy=reached[-1]))
    return results.merge(pd.DataFrame(wanted, columns=["architecture", "seed"]))


def _concluded(
    folder: RunFolder,
    config: Config,
    table: pd.DataFrame,
    results: pd.DataFrame,
    entrants: list[Entrant],
    scorer: Scorer,
) -> Outcome:
    """Say what the trainings gave, and write it down."""
    groups = by_group(results, entrants)
    ensemble, ranked, notes = refit(config, table, results, scorer)
    if said := verdict(groups):
        notes.insert(0, said)
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
    return Outcome(folder.path, results, groups, ensemble, ranked, tuple(notes))


def _entrants(
    result: SearchResult, costs: Scorer, limits: Limits, top: int, seed: int
) -> list[Entrant]:
    """Return the first of a run's ranking, as many at random, and the one with most parameters.

    A smaller draw of one seed is the beginning of a larger one, and has each function once.
    """
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


def _scored(scorer: Scorer, result: SearchResult, entrants: list[Entrant]) -> pd.DataFrame:
    """Return the scores of those trained that the search did not meet."""
    known = set(result.trials["architecture"])
    new = dict.fromkeys(e.architecture for e in entrants if e.architecture not in known)
    return pd.DataFrame(
        {
            "architecture": scores.architecture.to_string(),
            "function_key": scores.architecture.function_key,
            "feasible": True,
            **scores.values,
        }
        for scores in map(scorer.score, map(scorer.space.read, new))
    )


def _refuse_other_images(result: SearchResult, fingerprint: str) -> None:
    before = read_manifest(result.folder).get("fingerprints", {}).get("batch")
    if before and before != fingerprint:
        raise StudyError(
            f"the images are not those of the search in {str(result.folder)!r} (fingerprint "
            f"{before[:12]}, now {fingerprint[:12]}): files were added, removed or changed; "
            "search again"
        )


def _refuse_other_recipe(folder: RunFolder, recipe: Training, fingerprint: str) -> None:
    now = recipe.model_dump(mode="json") | {"images": fingerprint}
    path = folder.path / "recipe.json"
    if path.exists() and (differing := changes(json.loads(path.read_text(encoding="utf-8")), now)):
        raise StudyError(
            f"{folder.path} holds trainings of another recipe ({', '.join(differing)}): "
            "go on with that one, or start over with --fresh"
        )
    folder.write_json("recipe.json", now)
