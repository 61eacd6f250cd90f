"""`train_run`: the best few of a run trained on its images, against random ones."""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from zc_search._utils.files import write_atomically
from zc_search.config import Config, Training
from zc_search.deploy.feedback import (
    CHOSEN,
    LARGEST,
    RANDOM,
    Entrant,
    by_group,
    refit,
    verdict,
)
from zc_search.deploy.loop import Examples, train_network
from zc_search.ensemble import Ensemble
from zc_search.ensemble.tables import flags
from zc_search.errors import ConfigError, StudyError
from zc_search.images.image_set import ImageSet
from zc_search.proxies import Proxy, resolve_proxies
from zc_search.report import write_report
from zc_search.report.run import load_result, stored_learning_curve
from zc_search.scoring.images import batch_and_task, open_images
from zc_search.scoring.scorer import Scorer, torch_device
from zc_search.spaces import AnyArchitecture, AnySpace, make_space, read_architecture
from zc_search.spaces.network import build_network
from zc_search.study import broken
from zc_search.study.result import SearchResult
from zc_search.study.run_folder import RunFolder

FOLDER = "training"
"""Of the run's folder."""

_DRAWS_EACH = 200

_COLUMNS = ["architecture", "seed", "epochs", "accuracy", "seconds"]


@dataclass(frozen=True)
class Step:
    """Where the training stands.

    Attributes:
        total: Trainings in all.
        done: Those that are finished, now or earlier.
        group: What is being trained, as what.
        epoch: That just ended, of that training.
        accuracy: On the validation images, in percent.
    """

    total: int
    done: int
    group: str = ""
    epoch: int = 0
    accuracy: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """What training the best few of a run gave.

    Attributes:
        folder: Holds it all.
        results: One row a training: ``architecture, seed, epochs, accuracy`` in percent of the
            validation images after the last epoch, ``seconds``.
        groups: One row a group: ``group``, ``architectures``, and in percent ``mean``, ``spread``
            (standard deviation over architectures, each the mean of its seeds),
            ``standard_error`` of the mean, ``lowest``, ``highest``.
        ensemble: Refitted on these accuracies; None where there are too few.
        ranking: All architectures known, in the order that the accuracies suggest.
        notes: A sentence for each thing a user should know.
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

    As many random architectures and the one with most parameters are trained alike. A training
    that is finished is never repeated, and one that was cut off goes on from its last epoch.

    Args:
        run: Folder of a finished search.
        top: How many of the first of its ranking; as many at random.
        seeds: Trainings of each, with other weights and order.
        recipe: How to train; by default the run's section ``training``.
        device: Where; by default the run's ``proxies.device``.
        fresh: Forget earlier trainings.
        on_step: Told of every epoch.

    Returns:
        What was found; it is also in the run's folder, under `FOLDER`.

    Raises:
        StudyError: No finished run, or trainings with another recipe are there.
        DataError: The images cannot be had, or are not those of the search.
        ZcSearchError: The device is not there, or nothing keeps the constraints.
    """
    result = load_result(run)
    config = result.config
    recipe = recipe or config.training
    place = torch_device(device or config.proxies.device)
    images = open_images(config.data)
    batch, task, _ = batch_and_task(config, images)
    _refuse_other_images(result, batch.fingerprint)
    proxies = resolve_proxies(config.proxies_to_compute)
    scorer = Scorer.of(config, proxies, batch, task)
    costs = Scorer.of(config, resolve_proxies(config.constraints.limits), batch, task)

    def allowed(architecture: AnyArchitecture) -> bool:
        return broken(config.constraints, costs.score(architecture).values) is None

    folder = RunFolder(result.folder / FOLDER)
    with folder.locked():
        if fresh:
            folder.set_aside()
        _refuse_other_recipe(folder, config, recipe, batch.fingerprint)
        space = make_space(config.space)
        entrants = _entrants(result, space, top, recipe.seed, allowed)
        folder.write_table("entrants.csv", pd.DataFrame(entrants))
        results = _train_all(folder, config, recipe, images, entrants, seeds, place, on_step)
        scored = _scored(scorer, result, entrants)
        if len(scored):
            folder.write_table("scores.csv", scored)
        table = pd.concat([result.trials, scored], ignore_index=True)
        outcome = _concluded(folder, config, table, results, entrants, proxies, batch.fingerprint)
    curve = stored_learning_curve(result.folder)
    write_report(load_result(run), result.folder / "report.html", learning_curve=curve)
    return outcome


def weights_file(folder: Path, architecture: str, seed: int) -> Path:
    """Return where the trained weights of an architecture are kept, in a training folder."""
    digest = hashlib.sha256(architecture.encode()).hexdigest()[:12]
    return folder / "weights" / f"{digest}-{seed}.pt"


def read_results(folder: Path) -> pd.DataFrame:
    """Return the finished trainings in a training folder; see `Outcome.results`.

    Raises:
        StudyError: The file is damaged.
    """
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
    groups = {e.architecture: e.group for e in reversed(entrants)}  # its first group, if several
    wanted = [
        (text, recipe.seed + seed)
        for seed in range(seeds)
        for text in dict.fromkeys(e.architecture for e in entrants)
    ]
    results = read_results(folder.path)
    known = set(zip(results["architecture"], results["seed"], strict=True))
    done = len(known & set(wanted))
    on_step(Step(len(wanted), done))
    for text, seed in wanted:
        if (text, seed) in known:
            continue
        step = Step(len(wanted), done, groups[text])
        file = weights_file(folder.path, text, seed)
        part = file.with_suffix(".part")
        if file.exists() and not part.exists():  # killed before the result was written
            file.replace(part)
        start = time.perf_counter()
        reached = train_network(
            build_network(
                read_architecture(text),
                images.task,
                channels=config.space.channels,
                cells=config.space.cells,
                seed=seed,
            ),
            training,
            validation,
            recipe,
            seed=seed,
            checkpoint=part,
            on_epoch=partial(_tell_epoch, on_step, step),
        )
        row = (text, seed, recipe.epochs, reached[-1], time.perf_counter() - start)
        # The weights first: a result without weights would never be trained again.
        part.replace(file)
        new = pd.DataFrame([row], columns=_COLUMNS)
        results = pd.concat([results, new], ignore_index=True) if len(results) else new
        folder.write_table("results.csv", results)
        done += 1
        on_step(replace(step, done=done, epoch=recipe.epochs, accuracy=reached[-1]))
    pairs = zip(results["architecture"], results["seed"], strict=True)
    return results[[pair in set(wanted) for pair in pairs]].reset_index(drop=True)


def _tell_epoch(on_step: Callable[[Step], None], step: Step, epoch: int, accuracy: float) -> None:
    on_step(replace(step, epoch=epoch, accuracy=accuracy))


def _concluded(
    folder: RunFolder,
    config: Config,
    table: pd.DataFrame,
    results: pd.DataFrame,
    entrants: list[Entrant],
    proxies: tuple[Proxy, ...],
    fingerprint: str,
) -> Outcome:
    """Say what the trainings gave, and write it down."""
    groups = by_group(results, entrants)
    ensemble, ranked, notes = refit(config, table, results, proxies, fingerprint)
    if (said := verdict(groups)) is not None:
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
    result: SearchResult,
    space: AnySpace,
    top: int,
    seed: int,
    allowed: Callable[[AnyArchitecture], bool],
) -> list[Entrant]:
    """Return the first of a run's ranking, as many at random, and the one with most parameters.

    A smaller draw of one seed is the beginning of a larger one, and has each function once.
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


def _scored(scorer: Scorer, result: SearchResult, entrants: list[Entrant]) -> pd.DataFrame:
    """Return the scores of those trained that the search did not meet."""
    known = set(result.trials["architecture"])
    rows = []
    for text in dict.fromkeys(e.architecture for e in entrants):
        if text not in known:
            architecture = read_architecture(text)
            rows.append(
                {
                    "architecture": text,
                    "function_key": architecture.function_key,
                    "feasible": True,
                    **scorer.score(architecture).values,
                }
            )
    return pd.DataFrame(rows)


def _refuse_other_images(result: SearchResult, fingerprint: str) -> None:
    manifest = json.loads((result.folder / "manifest.json").read_text(encoding="utf-8"))
    before = manifest.get("fingerprints", {}).get("batch")
    if before and before != fingerprint:
        raise StudyError(
            f"the images are not those of the search in {str(result.folder)!r} (fingerprint "
            f"{before[:12]}, now {fingerprint[:12]}): files were added, removed or changed; "
            "search again"
        )


def _refuse_other_recipe(
    folder: RunFolder, config: Config, recipe: Training, fingerprint: str
) -> None:
    now: dict[str, Any] = recipe.model_dump(mode="json") | {"images": fingerprint}
    path = folder.path / "recipe.json"
    if path.exists():
        before = json.loads(path.read_text(encoding="utf-8"))
        changed = [
            f"{key} {before.get(key)!r} before, {value!r} now"
            for key, value in now.items()
            if before.get(key) != value
        ]
        if changed:
            raise StudyError(
                f"{folder.path} holds trainings of another recipe ({', '.join(changed)}): "
                "go on with that one, or start over with --fresh"
            )
    write_atomically(path, json.dumps(now, indent=2) + "\n")
