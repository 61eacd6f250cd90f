"""A search file for a user's own images, by how many there are and how large they are."""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from textwrap import wrap
from typing import NamedTuple

from zc_search.deploy import filled
from zc_search.images.image_set import ImageSet
from zc_search.images.pictures import LARGEST_SIDE
from zc_search.images.readers import median_side
from zc_search.images.sources import read_images

_LOOKED_AT = 8  # pixels that suffice to count images; JPEG is decoded no larger
_FEW = 2000  # images to train on, below which networks of one cell a stage are large enough
_PHOTOGRAPHS = 5000  # below which random weights come nowhere near pretrained ones
_STEPS = 1500  # of a training on few images


class Proposal(NamedTuple):
    """A whole search file as text, and sentences about the images and what to expect."""

    toml: str
    advice: tuple[str, ...]


def search_file_for(path: Path) -> Proposal:
    """Look at a folder of images, a CSV file of labels or an `.npz` file; propose a search.

    Raises:
        DataError: There are no images, or not two classes.
    """
    if path.suffix.lower() == ".npz":
        source, images = "npz", read_images("npz", path)
        side = min(images.pixels.shape[2:])
    else:
        source, side = "folder", median_side(path)
        images = read_images(source, path, resolution=_LOOKED_AT, max_unreadable=10**9)
    share = 0.2 if len(images.places("train")) >= 1000 else 0.3
    training, judging = map(len, images.split(share, 0))
    few, resolution = training < _FEW, max(8, min(side, LARGEST_SIDE))
    advice = tuple(_advice(images, side, training, judging))
    lines = [wrap(said, 96, break_long_words=False, break_on_hyphens=False) for said in advice]
    toml = filled(
        "search.toml.j2",
        advice=[line for each in lines for line in each],
        name=re.sub(r"[^A-Za-z0-9._-]+", "-", path.resolve().stem).strip("-.")[:100] or "own",
        source=source,
        path=json.dumps(str(path), ensure_ascii=False),
        resolution=resolution,
        color="grey" if images.pixels.shape[1] == 1 else "rgb",
        batch=max(2, min(32 if len(images.counts) <= 32 else 64, training)),
        share=share,
        own_validation=len(images.places("validation")) > 0,
        unreadable=any("cannot be read and are left out" in note for note in images.notes),
        few=few,
        mobile=not few and resolution == LARGEST_SIDE,
        steps=_STEPS if training * 30 < _STEPS * (32 if few else 64) else 0,
        epochs=max(12, min(60, 150_000 // training)),
    )
    return Proposal(toml, advice)


def _advice(images: ImageSet, side: int, training: int, judging: int) -> Iterator[str]:
    """Say what there is, and what may be expected of it."""
    counts = sorted(images.counts.items(), key=lambda item: item[1])
    (least, low), (most, high) = counts[0], counts[-1]
    test, own = len(images.places("test")), len(images.places("validation"))
    yield (
        f"{len(images.labels):,} images of {len(counts)} classes, {low:,} of {least!r} to "
        f"{high:,} of {most!r}, the shorter side mostly of {side} pixels: "
        f"{training:,} to train on, {judging:,} to validate"
        f"{f', {test:,} to test' if test else ''}"
        f"{', of their own splits' if own or test else ''}."
    )
    error = 100 * math.sqrt(0.8 * 0.2 / judging)
    yield (
        f"By {judging:,} images an accuracy of 80 % is known to \N{PLUS-MINUS SIGN} "
        f"{error:.1f} points: architectures that are closer cannot be told apart."
    )
    if training < _PHOTOGRAPHS:
        yield (
            f"With {training:,} images a network that was pretrained on millions of "
            "photographs and is fine-tuned (torchvision, timm) is more accurate than anything "
            "trained from nothing. This searches for small networks of your own: for a phone "
            "or a microcontroller, or for images that are unlike photographs."
        )
    yield (
        'A pretrained network can be searched too: space.name = "module:builder", a function '
        "that loads your checkpoint and varies what comes after or between."
    )
    if high >= 3 * low:
        yield (
            f"The classes are uneven: always saying {most!r} is right "
            f"{100 * high / len(images.labels):.0f} % of the time; look at each class's "
            "accuracy after training."
        )
    yield from images.notes
