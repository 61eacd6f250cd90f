"""What belongs to weights of the images that they were learnt from: classes and normalisation."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from zc_search.errors import DataError
from zc_search.images.datasets import Task
from zc_search.images.image_set import ImageSet


@dataclass(frozen=True)
class Learnt:
    """Classes in the order of a network's logits, and what images are normalised by.

    Attributes:
        task: What the network is built for.
        class_names: One a logit.
        mean, spread: By channel, of the images trained on.
        values: What the values of an image are before it is normalised.
        described: The whole set in a line.
        fingerprint: Of the whole set, see `ImageSet.fingerprint`.
    """

    task: Task
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    spread: tuple[float, ...]
    values: str
    described: str
    fingerprint: str

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
        try:
            read: Learnt = TypeAdapter(cls).validate_json(path.read_bytes())
        except (OSError, ValueError) as error:
            why = str(error).partition("\n")[0]
            raise DataError(f"{path} cannot be read: {why}", given=str(path)) from error
        return read

    def to_json(self) -> str:
        """Return everything as JSON."""
        return json.dumps(asdict(self), indent=2) + "\n"
