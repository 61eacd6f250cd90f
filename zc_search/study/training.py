"""Training networks: NAS-Bench-201's recipe, shortened, and able to go on after a kill."""

import hashlib
import io
import json
import logging
import math
import time
from collections.abc import Callable, Collection
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from zc_search._utils.files import lock_beside, write_atomically, writing
from zc_search.benchmarks.measured import Measured
from zc_search.config import Config, Training
from zc_search.errors import StudyError
from zc_search.images.image_set import ImageSet
from zc_search.images.learnt import Learnt
from zc_search.scoring.request import open_images
from zc_search.scoring.scorer import torch_device
from zc_search.scoring.store import changes
from zc_search.spaces import AnyArchitecture, make_space

logger = logging.getLogger("zc_search")

FOLDER = "training"
"""Of the run's folder."""

LEARNT = "images.json"
"""Of a training folder: what belongs to its weights, a `Learnt`."""

COLUMNS = ["architecture", "seed", "epochs", "accuracy", "seconds"]
"""Of the table of finished trainings."""

_MOMENTUM = 0.9
_JUDGED_AT_ONCE = 512


class Epoch(NamedTuple):
    """An epoch that ended: of which architecture, its number, and what was reached, in percent."""

    architecture: str
    number: int
    accuracy: float


class Trainer:
    """Trains architectures of a search on its images, each once a seed, as a folder remembers.

    A training that is finished is never repeated, and one that was cut off goes on from its last
    epoch, in a folder; without one nothing outlives the process. Called with an architecture it
    returns what a benchmark would: ``val_accuracy``, in percent of the validation images after the
    last epoch, and ``train_seconds``.
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
            if differing := changes(before, now):
                raise StudyError(
                    f"{folder} holds trainings of another recipe ({', '.join(differing)}): "
                    "go on with that one, or start over with --fresh"
                )
            images = self.__dict__.get("_images") or open_images(self.config.data)
            trained_on, _ = images.split(self.config.data.validation, self.config.data.seed)
            learnt, kept = Learnt.of(images, trained_on), Learnt.read(folder / LEARNT)
            if kept is not None and kept.fingerprint != learnt.fingerprint:
                raise StudyError(
                    f"{folder} holds trainings of other images: {differing_images(kept, learnt)}; "
                    "put them back as they were, or start over with --fresh"
                )
            write_atomically(folder / LEARNT, learnt.to_json())
            write_atomically(path, json.dumps(now, indent=2) + "\n")
        self.folder = folder

    @cached_property
    def _examples(self) -> "tuple[ImageSet, Examples, Examples]":
        images = self.__dict__.get("_images") or open_images(self.config.data)  # none in a copy
        learnt, held_out = images.split(self.config.data.validation, self.config.data.seed)
        training, judging = (
            Examples.of(images, those, learnt, self.device) for those in (learnt, held_out)
        )
        return images, training, judging

    def train(self, text: str, seed: int) -> dict[str, Any]:
        """Return a row of `COLUMNS`, trained unless the folder has it; `on_epoch` is called."""
        known = read_results(self.folder) if self.folder else pd.DataFrame(columns=COLUMNS)
        rows = known[(known["architecture"] == text) & (known["seed"] == seed)]
        if len(rows):
            return {str(key): value for key, value in rows.iloc[0].items()}
        with self._lock:
            images, training, validation = self._examples
        file = weights_file(self.folder, text, seed) if self.folder else None
        part = file.with_suffix(".part") if file else None
        if file and part and file.exists() and not part.exists():  # killed before the result
            file.replace(part)
        space = make_space(self.config.space, images.task)
        sizes = self.config.space.model_dump(include={"channels", "cells"})
        spent = _seconds_of(part)
        start = time.perf_counter() - spent
        reached = train_network(
            space.build(space.read(text), images.task, seed, **sizes),
            training,
            validation,
            self.recipe,
            seed=seed,
            checkpoint=part,
            spent=spent,
            on_epoch=lambda number, accuracy: self._ended(Epoch(text, number, accuracy)),
        )
        seconds = time.perf_counter() - start
        values = (text, seed, self.recipe.epochs, reached[-1], seconds)
        row = dict(zip(COLUMNS, values, strict=True))
        if self.folder and file and part:
            # The weights first: a result without weights would never be trained again.
            part.replace(file)
            results = self.folder / "results.csv"
            with lock_beside(results):
                known, new = read_results(self.folder), pd.DataFrame([row])
                table = pd.concat([known, new], ignore_index=True) if len(known) else new
                write_atomically(results, table.to_csv(index=False))
        return row

    def _ended(self, epoch: Epoch) -> None:
        text, number, accuracy = epoch
        of = f"epoch {number} of {self.recipe.epochs}"
        logger.info("training %s: %s, %.2f %%", text, of, accuracy)
        self.on_epoch(epoch)


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
            f"on {len(learnt):,} images of {config.dataset}, seed {recipe.seed}, and judged on the "
            f"other {len(held_out):,} after the last one."
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
    path = folder / "results.csv"
    if not path.exists():
        return pd.DataFrame(columns=COLUMNS)
    try:
        return pd.read_csv(path, engine="python")[COLUMNS]
    except (OSError, ValueError, KeyError) as error:
        raise StudyError(f"{path} cannot be read: {error}; start over with --fresh") from error


# One network --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Examples:
    """Images on a device, as they were read, with what normalises them channel by channel."""

    pixels: Tensor  # N x C x H x W, uint8 or float32
    labels: Tensor  # int64, N
    mean: Tensor  # of those trained on, as is the standard deviation
    spread: Tensor

    @classmethod
    def of(
        cls,
        images: ImageSet,
        places: NDArray[np.int64],
        trained_on: NDArray[np.int64],
        device: str | torch.device,
    ) -> Self:
        """Take some images of a set; what normalises them comes from those trained on alone."""
        pixels = np.ascontiguousarray(images.pixels[places])
        arrays = (pixels, images.labels[places], *images.statistics(trained_on))
        return cls(*(torch.from_numpy(array).to(device) for array in arrays))

    def __len__(self) -> int:
        return len(self.labels)

    def normalised(self, places: Tensor) -> Tensor:
        """Return some of the images, float32, with zero mean and unit variance a channel."""
        pixels = self.pixels[places].to(torch.float32)
        return (pixels - self.mean[:, None, None]) / self.spread[:, None, None]


def train_network(
    network: nn.Module,
    training: Examples,
    validation: Examples,
    recipe: Training,
    *,
    seed: int = 0,
    checkpoint: Path | None = None,
    spent: float = 0.0,
    on_epoch: Callable[[int, float], None] = lambda epoch, accuracy: None,
) -> list[float]:
    """Train a network in place and judge it after each epoch.

    SGD with Nesterov momentum 0.9, the learning rate falling to 0 along a cosine, cross-entropy;
    bfloat16 where the examples are on a GPU that has it. What is random in an epoch depends on the
    seed and the epoch alone, so that a run that goes on from a checkpoint, which is written after
    each epoch, sees the same. The validation images have no say in anything. `spent` are the
    seconds that the epochs in the checkpoint took, to begin with.

    Returns:
        Validation accuracy in percent after each epoch, the last being the one that counts: the
        best one would have been chosen on the images that it is judged by.
    """
    network.to(training.labels.device)
    optimizer = torch.optim.SGD(
        network.parameters(),
        lr=recipe.learning_rate,
        momentum=_MOMENTUM,
        weight_decay=recipe.weight_decay,
        nesterov=True,
    )
    start = time.perf_counter() - spent
    reached = _restore(checkpoint, network, optimizer)
    for epoch in range(len(reached), recipe.epochs):
        _epoch(network, optimizer, training, recipe, epoch, seed)
        reached.append(accuracy(network, validation))
        if checkpoint is not None:
            state = {"network": network.state_dict(), "optimizer": optimizer.state_dict()}
            content = io.BytesIO()
            seconds = time.perf_counter() - start
            torch.save(state | {"reached": reached, "seconds": seconds}, content)
            write_atomically(checkpoint, content.getvalue())
        on_epoch(epoch + 1, reached[-1])
    return reached


def accuracy(network: nn.Module, examples: Examples) -> float:
    """Return the share of examples whose class is recognised, in percent."""
    was_training = network.training
    network.eval()
    right = 0
    with torch.inference_mode(), _precision(examples.labels.device):
        for first in range(0, len(examples), _JUDGED_AT_ONCE):
            places = torch.arange(first, min(first + _JUDGED_AT_ONCE, len(examples)))
            logits = network(examples.normalised(places))
            right += int((logits.argmax(1) == examples.labels[places]).sum())
    network.train(was_training)
    return 100 * right / len(examples)


def augment(images: Tensor, kinds: Collection[str], generator: torch.Generator) -> Tensor:
    """Return normalised images changed at random, each by itself, alike on every device.

    ``crop`` is after padding by an eighth of the height and width, at least a pixel, as
    NAS-Bench-201 pads 32 by 4, with 0, which is the mean; ``flip`` turns half of them left to
    right.
    """
    count, channels, height, width = images.shape
    if "flip" in kinds:
        flipped = torch.rand(count, generator=generator) < 0.5
        images = torch.where(flipped.to(images.device)[:, None, None, None], images.flip(3), images)
    if "crop" in kinds:
        down, across = max(1, height // 8), max(1, width // 8)
        top = torch.randint(2 * down + 1, (count,), generator=generator)
        left = torch.randint(2 * across + 1, (count,), generator=generator)
        rows = (top[:, None] + torch.arange(height)).to(images.device)
        columns = (left[:, None] + torch.arange(width)).to(images.device)
        padded = F.pad(images, (across, across, down, down))
        images = padded[
            torch.arange(count, device=images.device)[:, None, None, None],
            torch.arange(channels, device=images.device)[None, :, None, None],
            rows[:, None, :, None],
            columns[:, None, None, :],
        ]
    return images


def _epoch(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    training: Examples,
    recipe: Training,
    epoch: int,
    seed: int,
) -> None:
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    order = torch.randperm(len(training), generator=generator)
    steps = max(1, len(training) // recipe.batch_size)  # what is left over waits for another epoch
    network.train()
    for step, places in enumerate(order[: steps * recipe.batch_size].tensor_split(steps)):
        progress = (epoch + step / steps) / recipe.epochs
        for group in optimizer.param_groups:
            group["lr"] = recipe.learning_rate * (1 + math.cos(math.pi * progress)) / 2
        images = augment(training.normalised(places), recipe.augment, generator)
        with _precision(images.device):
            loss = F.cross_entropy(network(images), training.labels[places])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def _precision(device: torch.device) -> Any:
    if device.type == "cuda" and torch.cuda.is_bf16_supported():
        return torch.autocast("cuda", torch.bfloat16)
    return nullcontext()


def _seconds_of(checkpoint: Path | None) -> float:
    """Return how long the epochs of a checkpoint took; 0 where there is none or it is of no use."""
    try:
        return float(torch.load(str(checkpoint), map_location="cpu", weights_only=True)["seconds"])
    except Exception:
        return 0.0


def _restore(
    checkpoint: Path | None, network: nn.Module, optimizer: torch.optim.Optimizer
) -> list[float]:
    """Return the accuracies so far; none where there is no checkpoint or it is of no use."""
    if checkpoint is None or not checkpoint.exists():
        return []
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        return [float(value) for value in state["reached"]]
    except Exception:  # a damaged file costs the epochs it held, and nothing else
        return []
