"""One network trained: NAS-Bench-201's recipe, shortened, and able to go on after a kill."""

import io
import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from zc_search._utils.files import write_atomically
from zc_search.config import Training
from zc_search.images.image_set import ImageSet

_MOMENTUM = 0.9
_JUDGED_AT_ONCE = 512


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
    seed and the epoch alone, so that a run that goes on from a checkpoint sees the same. Without
    `recipe.patience` the validation images have no say in anything; with it they choose the epoch
    whose weights the network has in the end. `spent` are the seconds of the checkpoint's epochs.

    Returns:
        Validation accuracy in percent after each epoch, of which with patience the best one counts,
        else the last one: the best would have been chosen on the images that it is judged by.
    """
    network.to(training.labels.device)
    optimizer = torch.optim.SGD(
        network.parameters(),
        lr=recipe.learning_rate,
        momentum=_MOMENTUM,
        weight_decay=recipe.weight_decay,
        nesterov=True,
    )
    going = _Going(network, optimizer, recipe.ema)
    start = time.perf_counter() - spent
    going.restore(checkpoint)
    while len(going.reached) < recipe.epochs and not stalled(going.reached, recipe.patience):
        _epoch(going, training, recipe, len(going.reached), seed)
        going.judge(validation, best=recipe.patience is not None)
        if checkpoint is not None:
            going.save(checkpoint, time.perf_counter() - start)
        on_epoch(len(going.reached), going.reached[-1])
    network.load_state_dict(going.counting)
    return going.reached


def stalled(reached: Sequence[float], patience: int | None) -> bool:
    """Whether as many epochs as `patience` have passed since the first of the best ones."""
    return bool(patience and reached) and (
        len(reached) - 1 - reached.index(max(reached)) >= (patience or 0)
    )


class _Going:
    """A training going on: the network, its optimizer, and the weights that count so far."""

    def __init__(self, network: nn.Module, optimizer: torch.optim.Optimizer, decay: float) -> None:
        self.network, self.optimizer = network, optimizer
        self.averaged: AveragedModel | None = None
        if decay:
            average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
            self.averaged = AveragedModel(network, multi_avg_fn=average, use_buffers=True)
        self.reached: list[float] = []
        self.counting: Mapping[str, Any] = network.state_dict()

    def judge(self, validation: Examples, *, best: bool) -> None:
        """Note the accuracy after an epoch, and keep the weights where they count."""
        judged = self.network if self.averaged is None else self.averaged.module
        now, before = accuracy(judged, validation), max(self.reached, default=-1.0)
        self.reached.append(now)
        if not best or now > before:
            state = judged.state_dict()
            self.counting = {k: v.detach().clone() for k, v in state.items()} if best else state

    def save(self, checkpoint: Path, seconds: float) -> None:
        """Write all that a training needs to go on, and under ``network`` what counts."""
        state: dict[str, Any] = {"network": self.counting, "optimizer": self.optimizer.state_dict()}
        state |= {"going": self.network.state_dict(), "reached": self.reached, "seconds": seconds}
        if self.averaged is not None:
            state["averaged"] = self.averaged.state_dict()
        content = io.BytesIO()
        torch.save(state, content)
        write_atomically(checkpoint, content.getvalue())

    def restore(self, checkpoint: Path | None) -> None:
        """Take what a checkpoint holds; nothing where there is none or it is of no use."""
        try:
            state = torch.load(str(checkpoint), map_location="cpu", weights_only=True)
            self.network.load_state_dict(state.get("going", state["network"]))
            self.optimizer.load_state_dict(state["optimizer"])
            if self.averaged is not None:
                self.averaged.load_state_dict(state["averaged"])
            self.counting = state["network"]
            self.reached = [float(value) for value in state["reached"]]
        except Exception:  # a damaged file costs the epochs it held, and nothing else
            self.reached = []


def accuracy(network: nn.Module, examples: Examples) -> float:
    """Return the share of examples whose class is recognised, in percent."""
    return 100 * int(np.trace(confusion(network, examples))) / len(examples)


def confusion(network: nn.Module, examples: Examples) -> NDArray[np.int64]:
    """Return how many examples of each class are taken for each: (true, predicted)."""
    was_training = network.training
    network.eval()
    pairs, classes = [], 0
    with torch.inference_mode(), _precision(examples.labels.device):
        for first in range(0, len(examples), _JUDGED_AT_ONCE):
            places = torch.arange(first, min(first + _JUDGED_AT_ONCE, len(examples)))
            logits = network(examples.normalised(places))
            classes = logits.shape[1]
            pairs.append((examples.labels[places] * classes + logits.argmax(1)).cpu().numpy())
    network.train(was_training)
    counts = np.bincount(np.concatenate(pairs), minlength=classes**2)
    return counts.reshape(classes, classes).astype(np.int64)


def augment(images: Tensor, kinds: Collection[str], generator: torch.Generator) -> Tensor:
    """Return normalised images changed at random, each by itself, alike on every device.

    ``crop`` is after padding with the mean by an eighth of the height and width, at least a pixel,
    as NAS-Bench-201 pads 32 by 4; ``flip`` turns half of them left to right.
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


def _epoch(going: _Going, training: Examples, recipe: Training, epoch: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    network, size = going.network, min(recipe.batch_size, len(training))
    steps = len(training) // size  # what is left over waits for another epoch
    if recipe.steps is not None:
        steps = math.ceil(recipe.steps / recipe.epochs)
    passes = math.ceil(steps * size / len(training))
    orders = [torch.randperm(len(training), generator=generator) for _ in range(passes)]
    network.train()
    for step, places in enumerate(torch.cat(orders)[: steps * size].tensor_split(steps)):
        progress = (epoch + step / steps) / recipe.epochs
        for group in going.optimizer.param_groups:
            group["lr"] = recipe.learning_rate * (1 + math.cos(math.pi * progress)) / 2
        images = augment(training.normalised(places), recipe.augment, generator)
        loss = _loss(network, images, training.labels[places], recipe, generator)
        going.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        going.optimizer.step()
        if going.averaged is not None:
            going.averaged.update_parameters(network)


def _loss(
    network: nn.Module, images: Tensor, labels: Tensor, recipe: Training, generator: torch.Generator
) -> Tensor:
    """Return the cross-entropy; with mixup (Zhang et al., 2018) that of mixed images and labels."""
    targets = [(1.0, labels)]
    if recipe.mixup:
        drawn = np.random.default_rng(int(torch.randint(2**31, (1,), generator=generator)))
        share = drawn.beta(recipe.mixup, recipe.mixup)
        partner = torch.randperm(len(images), generator=generator)
        images = share * images + (1 - share) * images[partner]
        targets = [(share, labels), (1 - share, labels[partner])]
    with _precision(images.device):
        logits = network(images)
        losses = [
            share * F.cross_entropy(logits, target, label_smoothing=recipe.label_smoothing)
            for share, target in targets
        ]
        return torch.stack(losses).sum()


def _precision(device: torch.device) -> Any:
    if device.type == "cuda" and torch.cuda.is_bf16_supported():
        return torch.autocast("cuda", torch.bfloat16)
    return nullcontext()


def seconds_of(checkpoint: Path | None) -> float:
    """Return how long the epochs of a checkpoint took; 0 where there is none or it is of no use."""
    try:
        return float(torch.load(str(checkpoint), map_location="cpu", weights_only=True)["seconds"])
    except Exception:
        return 0.0
