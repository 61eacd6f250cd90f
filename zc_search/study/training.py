"""Trainings of a search: each once a seed, as a folder remembers."""

import hashlib
import json
import logging
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import nn

from zc_search._utils.files import lock_beside, write_atomically, writing
from zc_search.benchmarks.measured import Measured
from zc_search.config import Config, Training
from zc_search.errors import StudyError
from zc_search.images.image_set import ImageSet, Learnt
from zc_search.scoring.scorer import open_images, torch_device
from zc_search.scoring.store import changes
from zc_search.spaces import AnyArchitecture, make_space
from zc_search.study.recipe import Examples, confusion, seconds_of, train_network
from zc_search.study.record import CONFUSION, confusion_rows, read_confusion, read_rows

logger = logging.getLogger("zc_search")

FOLDER = "training"
"""Of the run's folder."""

LEARNT = "images.json"
"""Of a training folder: what belongs to its weights, a `Learnt`."""

COLUMNS = ["architecture", "seed", "epochs", "accuracy", "seconds"]
"""Of the table of finished trainings."""


class Epoch(NamedTuple):
    """An epoch that ended: of which architecture, its number, and what was reached, in percent."""

    architecture: str
    number: int
    accuracy: float


class Trainer:
    """Trains architectures of a search on its images, each once a seed, as a folder remembers.

    A training that was cut off goes on from its last epoch, in a folder; without one nothing
    outlives the process. Called with an architecture it returns what a benchmark would:
    ``val_accuracy``, in percent of the validation images after the last epoch (the best one, with
    patience), and ``train_seconds``.
    """

    def __init__(
        self,
        config: Config,
        images: ImageSet,
        fingerprint: str,
        recipe: Training | None = None,
        device: str | None = None,
    ) -> None:
        self.config, self.recipe, self._images = config, recipe or config.training, images
        self._fingerprint = fingerprint
        self.device = torch_device(device or config.proxies.device)
        self.folder: Path | None = None
        self.on_epoch: Callable[[Epoch], None] = lambda epoch: None
        self._lock = Lock()

    def __getstate__(self) -> dict[str, Any]:
        gone = {"_images", "_examples", "_lock", "on_epoch"}
        return {key: value for key, value in vars(self).items() if key not in gone}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=Lock(), on_epoch=lambda epoch: None)

    def __call__(self, architecture: AnyArchitecture) -> dict[str, float]:
        """Train an architecture with the first seed."""
        row = self.train(str(architecture), self.recipe.seed)
        return {"val_accuracy": row["accuracy"], "train_seconds": row["seconds"]}

    def keep_in(self, run: Path) -> None:
        """Keep trainings in a run's folder, unless it has some of another recipe, other images."""
        folder = run / FOLDER
        with writing(str(folder), StudyError):
            (folder / "weights").mkdir(parents=True, exist_ok=True)
            now = self.recipe.model_dump(mode="json") | {"images": self._fingerprint}
            path = folder / "recipe.json"
            before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else now
            before = Training().model_dump(mode="json") | before  # it may lack a key of today's
            of, fresh = f"{folder} holds trainings of", "or start over with --fresh"
            if differing := changes(before, now):
                other = f"another recipe ({', '.join(differing)}): go on with that one"
                raise StudyError(f"{of} {other}, {fresh}")
            images, (trained_on, _) = self._split()
            learnt, kept = Learnt.of(images, trained_on), Learnt.read(folder / LEARNT)
            if kept is not None and kept.fingerprint != learnt.fingerprint:
                other = (
                    f"other images: {differing_images(kept, learnt)}; put them back as they were"
                )
                raise StudyError(f"{of} {other}, {fresh}")
            write_atomically(folder / LEARNT, learnt.to_json())
            write_atomically(path, json.dumps(now, indent=2) + "\n")
        self.folder = folder

    def _split(self) -> tuple[ImageSet, Any]:
        """Return the images, and the places of those to train on and to judge by."""
        images = vars(self).get("_images") or open_images(self.config.data)  # none in a copy
        return images, images.split(self.config.data.validation, self.config.data.seed)

    @cached_property
    def _examples(self) -> "tuple[ImageSet, Examples, Examples, Examples]":
        """The images; those to train on, to judge by after each epoch, and to test by, if any."""
        images, (learnt, held_out) = self._split()
        training, judging, test = (
            Examples.of(images, those, learnt, self.device)
            for those in (learnt, held_out, images.places("test"))
        )
        return images, training, judging, test

    def train(self, text: str, seed: int) -> dict[str, Any]:
        """Return a row of `COLUMNS`, trained unless the folder, or another process, has it."""
        file = weights_file(self.folder, text, seed) if self.folder else None
        with lock_beside(file) if file else nullcontext():
            return self._train(text, seed, file)

    def _train(self, text: str, seed: int, file: Path | None) -> dict[str, Any]:
        known = read_results(self.folder) if self.folder else pd.DataFrame(columns=COLUMNS)
        rows = known[(known["architecture"] == text) & (known["seed"] == seed)]
        if len(rows):
            return {str(key): value for key, value in rows.iloc[0].items()}
        with self._lock:
            images, training, validation, _ = self._examples
        part = file.with_suffix(".part") if file else None
        if file and part and file.exists() and not part.exists():  # killed before the result
            file.replace(part)
        spent = seconds_of(part)
        start = time.perf_counter() - spent
        network = self._network(text, seed)
        reached = train_network(
            network,
            training,
            validation,
            self.recipe,
            seed=seed,
            checkpoint=part,
            spent=spent,
            on_epoch=lambda number, accuracy: self._ended(Epoch(text, number, accuracy)),
        )
        counts = max(reached) if self.recipe.patience else reached[-1]
        values = (text, seed, len(reached), counts, time.perf_counter() - start)
        row = dict(zip(COLUMNS, values, strict=True))
        if self.folder and file and part:
            # The weights first: a result without weights would never be trained again.
            part.replace(file)
            about = {"architecture": text, "seed": seed, "split": "validation"}
            matrix = confusion(network, validation)
            _append(self.folder / CONFUSION, confusion_rows(matrix, images.class_names, **about))
            _append(self.folder / "results.csv", pd.DataFrame([row]))
        return row

    def test(self, text: str, seed: int) -> None:
        """Judge a finished training by the images to test by, once; nothing without such."""
        images, _, _, examples = self._examples
        folder, about = self.folder, {"architecture": text, "seed": seed, "split": "test"}
        if folder is None or not len(examples):
            return
        known = read_confusion(folder)[[*about]]
        if (known == pd.Series(about)).all(axis=1).any():
            return
        network = self._network(text, seed).to(self.device)
        state = torch.load(weights_file(folder, text, seed), map_location="cpu", weights_only=True)
        network.load_state_dict(state["network"])
        matrix = confusion(network, examples)
        _append(folder / CONFUSION, confusion_rows(matrix, images.class_names, **about))

    def _network(self, text: str, seed: int) -> nn.Module:
        task, section = self._examples[0].task, self.config.space
        space, sizes = (
            make_space(section, task),
            {"channels": section.channels, "cells": section.cells},
        )
        network: nn.Module = space.build(space.read(text), task, seed, **sizes)
        return network

    def _ended(self, epoch: Epoch) -> None:
        text, number, accuracy = epoch
        of = f"epoch {number} of {self.recipe.epochs}"
        logger.info("training %s: %s, %.2f %%", text, of, accuracy)
        self.on_epoch(epoch)


def _append(path: Path, rows: pd.DataFrame) -> None:
    """Add rows to a table that other processes may write to, in place of the same training's."""
    read = read_confusion if path.name == CONFUSION else read_results
    key = [name for name in ("architecture", "seed", "split") if name in rows]
    with lock_beside(path):
        known, mine = read(path.parent), {*rows[key].itertuples(index=False, name=None)}
        keep = [row not in mine for row in known[key].itertuples(index=False, name=None)]
        table = pd.concat([known[keep], rows], ignore_index=True) if any(keep) else rows
        write_atomically(path, table.to_csv(index=False))


def accuracies_of_training(config: Config, images: ImageSet, fingerprint: str) -> Measured:
    """Return the look-up that trains, ``benchmark.name = "train"``, on a search's images."""
    recipe = config.training
    learnt, held_out = images.split(config.data.validation, config.data.seed)
    digest = hashlib.sha256(recipe.model_dump_json().encode()).hexdigest()[:12]
    return Measured(
        Trainer(config, images, fingerprint),
        name="train",
        metric="val_accuracy",
        known=("val_accuracy", "train_seconds"),
        fingerprint=f"training, recipe {digest}",
        provenance=(
            f"Trained here, once for all architectures of one function, for {recipe.epochs} epochs "
            f"on {len(learnt):,} images of {config.dataset}, seed {recipe.seed}, and judged on "
            f"{len(held_out):,} others after the last one."
        ),
    )


def differing_images(before: Learnt, now: Learnt) -> str:
    """Say in which way images are no longer those of earlier trainings."""
    if before.class_names != now.class_names:
        renamed = sorted({*before.class_names} ^ {*now.class_names})
        return f"their classes were {', '.join(before.class_names[:20])} (differing: " + (
            f"{', '.join(renamed[:6])})" if renamed else "the order)"
        )
    return f"they were {before.described}, and now {now.described}, some of them changed"


def weights_file(folder: Path, architecture: str, seed: int) -> Path:
    """Return where the trained weights of an architecture are kept, in a training folder."""
    digest = hashlib.sha256(architecture.encode()).hexdigest()[:12]
    return folder / "weights" / f"{digest}-{seed}.pt"


def read_results(folder: Path) -> pd.DataFrame:
    """Return the finished trainings in a training folder, a row each of `COLUMNS`."""
    return read_rows(folder / "results.csv", COLUMNS)
