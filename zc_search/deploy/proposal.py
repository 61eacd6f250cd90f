"""A search file for a user's own images, by how many there are and how large they are."""

import json
import math
import re
from pathlib import Path
from typing import NamedTuple

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
    return _Writer(path, source, images, side).proposal()


class _Writer:
    """What is chosen for the images, section by section."""

    def __init__(self, path: Path, source: str, images: ImageSet, side: int) -> None:
        self.path, self.source, self.images, self.side = path, source, images, side
        self.share = 0.2 if len(images.places("train")) >= 1000 else 0.3
        training, judging = images.split(self.share, 0)
        self.training, self.judging = len(training), len(judging)
        self.few = self.training < _FEW
        self.resolution = max(8, min(side, LARGEST_SIDE))
        self.mobile = not self.few and self.resolution == LARGEST_SIDE
        self.color = "grey" if images.pixels.shape[1] == 1 else "rgb"

    def proposal(self) -> Proposal:
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", self.path.resolve().stem).strip("-.")[:100] or "own"
        sections = [
            f'[study]\nname = "{name}"',
            self._study(),
            "",
            self._space(),
            "",
            self._data(),
            "",
            self._constraints(),
            "",
            _BENCHMARK,
            "",
            self._training(),
        ]
        head = [f"# {line}" for said in self.advice() for line in _wrapped(said, 96)]
        commands = [
            "#   zc-search --config FILE            # this file",
            f"#   zc-search train runs/{name} --top 5",
            f"#   zc-search export runs/{name} --to network",
        ]
        text = "\n".join([*head, "#", *commands, "", *sections, ""])
        return Proposal(text, self.advice())

    def advice(self) -> tuple[str, ...]:
        """Say what there is, and what may be expected of it."""
        counts = sorted(self.images.counts.items(), key=lambda item: item[1])
        (least, low), (most, high) = counts[0], counts[-1]
        said = (
            f"{len(self.images.labels):,} images of {len(counts)} classes, {low:,} of {least!r} to "
            f"{high:,} of {most!r}, the shorter side mostly of {self.side} pixels: "
            f"{self.training:,} to train on, {self.judging:,} to validate"
        )
        if test := len(self.images.places("test")):
            said += f", {test:,} to test"
        own = len(self.images.places("validation"))
        error = 100 * math.sqrt(0.8 * 0.2 / self.judging)
        sentences = [
            f"{said}{', of their own splits' if own or test else ''}.",
            f"By {self.judging:,} images an accuracy of 80 % is known to \N{PLUS-MINUS SIGN} "
            f"{error:.1f} points: architectures that are closer cannot be told apart.",
        ]
        if self.training < _PHOTOGRAPHS:
            sentences.append(
                f"With {self.training:,} images a network that was pretrained on millions of "
                "photographs and is fine-tuned (torchvision, timm) is more accurate than anything "
                "trained from nothing. This searches for small networks of your own: for a phone "
                "or a microcontroller, or for images that are unlike photographs."
            )
        sentences.append(
            'A pretrained network can be searched too: space.name = "module:builder", a function '
            "that loads your checkpoint and varies what comes after or between."
        )
        if high >= 3 * low:
            sentences.append(
                f"The classes are uneven: always saying {most!r} is right "
                f"{100 * high / len(self.images.labels):.0f} % of the time; look at each class's "
                "accuracy after training."
            )
        return (*sentences, *self.images.notes)

    @property
    def _trials(self) -> int:
        return 60 if self.few else 100

    def _study(self) -> str:
        return f"""sampler = "nsgaii"     # evolution; a network beyond a limit is drawn again
n_trials = {self._trials}
distinct = true        # as many different functions"""

    def _space(self) -> str:
        if self.mobile:
            return """[space]
name = "mobilenet"     # inverted residuals; stem and strides follow from the size of the images
# choices = { se_1 = [false] }  # to search fewer"""
        channels, cells = (8, 1) if self.few else (16, 2)
        why = "few images: small networks" if self.few else "half of the benchmark's depth or less"
        return f"""[space]
name = "nasbench201"   # 15,625 cells; name = "mobilenet" has larger networks for larger images
channels = {channels:<2}          # of the first stage
cells = {cells}              # a stage; {why}"""

    def _data(self) -> str:
        path = json.dumps(str(self.path), ensure_ascii=False)
        unreadable = sum("cannot be read and are left out" in note for note in self.images.notes)
        own = len(self.images.places("validation"))
        batch = max(2, min(32 if len(self.images.counts) <= 32 else 64, self.training))
        lines = [
            "[data]",
            f'source = "{self.source}"',
            f"path = {path}",
            f"resolution = {self.resolution:<3}       # pixels; the time grows with its square",
            f'color = "{self.color}"',
            f"batch_size = {batch:<3}       # images that an architecture is scored on",
            "# validation = 0.2     # the images have a validation set of their own"
            if own
            else f"validation = {self.share}       # share held out, by which training is judged",
        ]
        if unreadable:
            lines.append("max_unreadable = 1000000  # some are, and are left out")
        return "\n".join(lines)

    def _constraints(self) -> str:
        flops = "60M" if self.mobile or not self.few else "20M"
        return _CONSTRAINTS.format(flops=flops)

    def _training(self) -> str:
        augment = '"crop", "flip"' if self.color == "rgb" else '"crop"'
        batch = 32 if self.few else 64
        lines = ['[training]             # of `zc-search train`, and of benchmark.name = "train"']
        if self.training * 30 < _STEPS * batch:
            lines += ["epochs = 30", f"steps = {_STEPS}           # in all, as an epoch is short"]
        else:
            epochs = max(12, min(60, 150_000 // self.training))
            lines.append(f"epochs = {epochs}            # as many times through the images")
        lines += [
            "# patience = 10        # ends a training that gains nothing more",
            f"batch_size = {batch}",
            f'augment = [{augment}]     # no "flip" where left and right differ, as in writing',
        ]
        return "\n".join(lines)


_CONSTRAINTS = """[constraints]          # a network beyond one of them is never ranked
max_flops = "{flops}"      # multiply-adds of one image
# max_params = "0.2M"  # parameters: 4 bytes each, 1 as int8
# max_latency_ms = 5.0 # of one image on this machine
# latency = "my_module:milliseconds"  # asks a phone or a table instead of this machine"""

_BENCHMARK = """[benchmark]
name = "none"          # no accuracies: the accuracy-free aggregate of the proxies below ranks
# name = "train"       # instead: each of the trials is trained as [training] says, and the accuracy
                       # reached is the objective val_accuracy = "maximize": far slower, and sure

[objectives]           # evolution goes by these; with "train" val_accuracy, not the first two
meco = "maximize"
jacov = "maximize"
flops = "minimize"

[proxies]              # what the aggregate is made of, and the costs
compute = [
    "meco", "meco_opt", "jacov", "gradsign", "reg_swap", "az_progressivity", "az_trainability",
    "layers", "params",
]"""


def _wrapped(text: str, width: int) -> list[str]:
    from textwrap import wrap

    return wrap(text, width, break_long_words=False, break_on_hyphens=False)
