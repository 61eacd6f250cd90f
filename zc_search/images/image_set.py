"""A labelled set of images in memory, what is held out of it, and what belongs to weights of it."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Self, Unpack

import numpy as np
from numpy.typing import NDArray

from zc_search.errors import DataError
from zc_search.images.datasets import Task
from zc_search.images.pictures import Format, Pixels, fit_arrays, to_color, wrong

SPLITS = ("train", "validation", "test")
"""What an image is there for, by its number in `ImageSet.splits`."""

_SMALLEST_SIDE = 8  # below which the two halvings of a network leave nothing to convolve
_UNEVEN = 3.0  # times that the largest class may outnumber the smallest without a word


@dataclass(frozen=True)
class ImageSet:
    """Images with their classes."""

    name: str  # what messages call it
    pixels: Pixels  # (N, channels, H, W), uint8 from 0 to 255, or float32 in units of the source
    labels: NDArray[np.int64]  # (N,), places in `class_names`
    class_names: tuple[str, ...]  # as the source calls them, each another
    notes: tuple[str, ...] = ()  # a sentence for each thing that was noticed while reading
    splits: NDArray[np.int8] | None = None  # places in `SPLITS`, if whoever made the set gave any

    def __post_init__(self) -> None:
        height, width = self.pixels.shape[2:]
        if len(set(self.class_names)) < max(2, len(self.class_names)):
            there = ", ".join(map(repr, self.class_names)) or "none"
            message = f"{self.name} has the classes {there}; a network needs two or more to tell "
            message += "apart, each of a name of its own"
            raise DataError(message, given=self.class_names)
        lacking = sorted({*range(len(self.class_names))} - {*self.labels[self.places("train")]})
        if self.splits is not None and lacking:
            name = self.class_names[lacking[0]]
            there = "has images to validate or to test, and none to train on"
            raise DataError(f"{self.name}: class {name!r} {there}", given=name)
        if min(height, width) < _SMALLEST_SIDE:
            message = f"the images of {self.name} have {height} x {width} pixels, but the networks "
            message += f"halve them twice and need {_SMALLEST_SIDE}; data.resolution = "
            message += f"{_SMALLEST_SIDE} or more enlarges them"
            raise wrong("data.resolution", min(height, width), message)

    @property
    def task(self) -> Task:
        """What a network for these images is built for."""
        return Task(self.name, len(self.class_names), *self.pixels.shape[1:])

    @property
    def counts(self) -> dict[str, int]:
        """Images by class."""
        found = np.bincount(self.labels, minlength=len(self.class_names))
        return dict(zip(self.class_names, map(int, found), strict=True))

    @property
    def fingerprint(self) -> str:
        """SHA-256 of classes, labels and pixels: another one where any of them is changed."""
        digest = sha256(repr((self.class_names, self.pixels.dtype.str, self.pixels.shape)).encode())
        digest.update(np.ascontiguousarray(self.labels).data)
        digest.update(np.ascontiguousarray(self.pixels).data)
        digest.update(b"" if self.splits is None else self.splits.tobytes())
        return digest.hexdigest()

    def places(self, split: str) -> NDArray[np.int64]:
        """Return the places of the images of one of `SPLITS`; all are to train on by default."""
        if self.splits is None:
            return np.arange(len(self.labels) if split == "train" else 0)
        return np.flatnonzero(self.splits == SPLITS.index(split))

    def split(self, validation: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the places of the images to train on and of those to judge by, ascending.

        They are the set's own where it has some to validate. Else of each class the same share,
        `validation`, of those to train on is held out, at least one image; which, follows from the
        seed. A class of one image is refused. Images to test are in neither.
        """
        learnt, own = self.places("train"), self.places("validation")
        if len(own):
            return learnt, own
        mine = [learnt[self.labels[learnt] == label] for label in range(len(self.class_names))]
        few = [n for n, those in zip(self.class_names, mine, strict=True) if len(those) < 2]
        if few:
            there = f"class {few[0]!r} has {len(mine[self.class_names.index(few[0])])} readable "
            there += "images" + " to train on" * (self.splits is not None)
            message = "at least 2 are needed, one to train on and one to judge by"
            raise DataError(f"{self.name}: {there}; {message}", given=few[0])
        rng = np.random.default_rng([seed, 1])
        held_out = np.zeros(len(self.labels), bool)
        for places in mine:
            count = min(max(1, round(validation * len(places))), len(places) - 1)
            held_out[rng.choice(places, count, replace=False)] = True
        return learnt[~held_out[learnt]], np.flatnonzero(held_out)

    def statistics(self, places: NDArray[np.int64]) -> tuple[NDArray[np.float32], ...]:
        """Return each channel's mean and standard deviation, 1 of a constant one, (channels,)."""
        count, total, squares = 0, np.zeros(1), np.zeros(1)
        for part in np.array_split(places, max(1, len(places) // 256)):
            values = self.pixels[part].astype(np.float64)
            count += values[:, 0].size
            total = total + values.sum(axis=(0, 2, 3))
            squares = squares + (values**2).sum(axis=(0, 2, 3))
        mean = total / count
        spread = np.sqrt(np.maximum(squares / count - mean**2, 0.0))
        constant = spread <= 1e-6 * np.maximum(np.abs(mean), 1.0)
        return mean.astype(np.float32), np.where(constant, 1.0, spread).astype(np.float32)

    def with_labels(self, labels: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
        """Return the places of distinct images that have these labels, drawn at random."""
        chosen = np.empty(len(labels), np.int64)
        for label in np.unique(labels):
            wanted, there = np.flatnonzero(labels == label), np.flatnonzero(self.labels == label)
            if len(there) < len(wanted):
                message = f"{self.name} holds {len(there)} images of class {label}, but a batch of "
                message += f"{len(labels)} needs {len(wanted)}; set a smaller data.batch_size"
                raise wrong("data.batch_size", len(labels), message)
            chosen[wanted] = rng.choice(there, size=len(wanted), replace=False)
        return chosen

    def described(self) -> str:
        """Return images, classes, size and imbalance in a line."""
        _, channels, height, width = self.pixels.shape
        counts = sorted(self.counts.items(), key=lambda item: item[1])
        (least, low), (most, high) = counts[0], counts[-1]
        said = (
            f"{len(self.labels):,} images of {self.name}, {len(counts)} classes, "
            f"{height} x {width} pixels, {'grey' if channels == 1 else 'colour'}"
        )
        if high > low:
            said += f"; {low:,} of {least!r} to {high:,} of {most!r}"
        if high >= _UNEVEN * low:
            said += f", {high / low:.1f} times as many"
        if self.splits is not None:
            numbers = zip(("train on", "validate", "test"), map(self.places, SPLITS), strict=True)
            parts = [f"{len(places):,} to {what}" for what, places in numbers if len(places)]
            said += f"; {', '.join(parts)}"
        return said


@dataclass(frozen=True)
class Learnt:
    """What belongs to weights of the images they are learnt from: classes and normalisation."""

    task: Task
    class_names: tuple[str, ...]  # one a logit
    mean: tuple[float, ...]  # by channel, of the images trained on
    spread: tuple[float, ...]
    values: str  # what the values of an image are before it is normalised
    described: str  # the whole set in a line
    fingerprint: str  # see `ImageSet.fingerprint`

    @classmethod
    def of(cls, images: ImageSet, trained_on: NDArray[np.int64]) -> Self:
        """Take them from a set and the places of those of its images that are trained on."""
        mean, spread = (tuple(map(float, values)) for values in images.statistics(trained_on))
        scale = "from 0 to 255" if images.pixels.dtype == np.uint8 else "as in the data"
        about = images.described(), images.fingerprint
        return cls(images.task, images.class_names, mean, spread, scale, *about)

    @classmethod
    def read(cls, path: Path) -> "Learnt | None":
        """Read what `to_json` gave; None where there is no such file."""
        if not path.exists():
            return None
        from pydantic import TypeAdapter  # which takes its time to start

        try:
            read: Learnt = TypeAdapter(cls).validate_json(path.read_bytes())
        except (OSError, ValueError) as error:
            why = str(error).partition("\n")[0]
            raise DataError(f"{path} cannot be read: {why}", given=str(path)) from error
        return read

    def to_json(self) -> str:
        """Return everything as JSON."""
        return json.dumps(asdict(self), indent=2) + "\n"


def printable(names: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return names that can be shown and told apart, and a note on those that were changed."""
    seen: Counter[str] = Counter()
    shown = []
    for name in names:
        if not name.isprintable():
            name = name.encode("unicode_escape", "backslashreplace").decode("ascii")
        seen[name] += 1
        shown.append(f"{name} ({seen[name]})" if seen[name] > 1 else name)
    changed = [new for old, new in zip(names, shown, strict=True) if old != new]
    if not changed:
        return tuple(shown), ()
    note = "Class names that cannot be shown or told apart are written as "
    return tuple(shown), (f"{note}{', '.join(map(repr, changed))}.",)


def image_set(
    name: str,
    images: Any,
    labels: Any,
    class_names: Sequence[object] | None = None,
    *,
    notes: tuple[str, ...] = (),
    splits: NDArray[np.int8] | None = None,
    **how: Unpack[Format],
) -> ImageSet:
    """Check arrays and make a set of them.

    Args:
        name: What messages call it.
        images: Whole numbers from 0 to 255, or floats; (N, H, W), (N, H, W, C) or (N, C, H, W)
            with C of 1 or 3.
        labels: Whole numbers from 0 on, false and true, or names; (N,) or (N, 1).
        class_names: By label; None for the labels themselves. Classes without an image are left
            out, as a network cannot learn them.
        notes: What was noticed before.
        splits: Of each image its place in `SPLITS`; None for no splits of one's own.
        how: What images are brought to: by default nothing else than they are.

    Raises:
        DataError: Shapes, types or values that are none of these.
    """
    pixels = to_color(_pixels(name, np.asarray(images)), how.get("color"))
    numbers, called = _labels(name, np.asarray(labels), len(pixels), class_names)
    names, odd = printable(called)
    if size := how.get("resolution"):
        pixels = fit_arrays(pixels, size, how.get("fit", "crop"))
    return ImageSet(name, pixels, numbers, names, (*odd, *notes), splits)


def _pixels(name: str, images: NDArray[Any]) -> Pixels:
    given = f"{images.dtype} {images.shape}"
    if images.ndim == 3:
        images = images[:, None]
    elif images.ndim == 4 and images.shape[1] not in (1, 3) and images.shape[3] in (1, 3, 4):
        images = images[..., :3].transpose(0, 3, 1, 2)
    numbers = images.dtype.kind in "uifb" and images.ndim == 4 and 0 not in images.shape
    if not numbers or images.shape[1] not in (1, 3):
        wanted = "numbers (N, H, W), (N, H, W, C) or (N, C, H, W) with C of 1 or 3"
        raise DataError(f"the images of {name} must be {wanted}, given {given}", given=given)
    if images.dtype.kind == "f":
        floats = images.astype(np.float32)
        if not np.isfinite(floats).all():
            raise DataError(f"the images of {name} hold NaN or infinite values")
        return floats
    if images.dtype == np.bool_:
        return images.astype(np.uint8) * np.uint8(255)
    if int(images.min()) >= 0 and int(images.max()) <= 255:
        return np.ascontiguousarray(images, dtype=np.uint8)
    return images.astype(np.float32)


def _labels(
    name: str, labels: NDArray[Any], count: int, class_names: Sequence[object] | None
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return labels from 0 on without gaps, and the names of those that there are."""
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.dtype == np.bool_ and class_names is not None:
        labels = labels.astype(np.uint8)
    if labels.dtype.kind not in "uiUSb" or labels.shape != (count,):
        wanted, given = f"whole numbers or names ({count},)", f"{labels.dtype} {labels.shape}"
        message = f"the labels of {name} must be {count:,} {wanted}, given {given}"
        raise DataError(message, given=given)
    present, numbers = np.unique(labels, return_inverse=True)
    called: Sequence[object] = list(present)
    if class_names is not None and labels.dtype.kind in "ui":
        if present[0] < 0 or present[-1] >= len(class_names):
            there = f"go from {present[0]} to {present[-1]}"
            named = f"{len(class_names)} classes have names"
            raise DataError(f"the labels of {name} {there}, but {named}")
        called = [class_names[label] for label in present]
    return numbers.astype(np.int64), tuple(map(_text, called))


def _text(name: object) -> str:
    return name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else str(name)
