"""Random changes to images of which the class does not care."""

from collections.abc import Collection

import torch
import torch.nn.functional as F
from torch import Tensor


def augment(images: Tensor, kinds: Collection[str], generator: torch.Generator) -> Tensor:
    """Return images changed at random, each by itself.

    Args:
        images: N x C x H x W, normalised, so that padding with 0 is padding with the mean.
        kinds: ``crop``, after padding by an eighth of the height and width, at least a pixel, as
            NAS-Bench-201 pads 32 by 4; ``flip``, left to right, half of the images.
        generator: On the CPU; the only randomness, so that a device does not matter.
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
