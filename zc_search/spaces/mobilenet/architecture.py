"""Inverted residuals (Sandler et al. 2018, MobileNetV2, table 2): seven stages, free in five ways.

What Zen-NAS, ZiCo and AZ-NAS search. MobileNetV2 is in it at widths 0.35, 0.5, 0.75 and 1.0.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import ClassVar, NamedTuple, Self

from zc_search.errors import ArchitectureError
from zc_search.images.datasets import Task
from zc_search.spaces.base import ProductArchitecture, ProductSpace

WIDTHS = (
    (8, 16, 24),
    (8, 16, 24, 32),
    (16, 24, 32, 40),
    (24, 32, 48, 64, 80),
    (32, 48, 72, 96, 120),
    (56, 80, 120, 160, 200),
    (112, 160, 240, 320, 400),
)
"""Channels that a stage may have, in order."""

FEWEST_PIXELS = 4
"""What the side of the last maps has at least: how often images are halved follows from it."""

_HALVING = (0, 2, 3, 4, 6)  # the stages that may halve the maps, 0 being the stem


class Stage(NamedTuple):
    """A stage of equal blocks, but that the first one may halve the maps."""

    depth: int
    """Blocks, 1 to 4; of the first and the last stage 1 or 2."""
    width: int
    """Channels of its output (`WIDTHS`)."""
    kernel: int
    """Side of the depthwise convolution, 3, 5 or 7."""
    expansion: int
    """Channels of the depthwise convolution for each that enters, 1, 2, 4 or 6."""
    se: bool
    """Whether squeeze-and-excitation (Hu et al. 2018) follows it, to a quarter of its channels."""


class Block(NamedTuple):
    """An inverted residual as it is built."""

    inputs: int
    hidden: int
    outputs: int
    kernel: int
    stride: int
    se: bool


def _choices() -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {"stem": (16, 24, 32)}
    for number, widths in enumerate(WIDTHS, 1):
        depths = (1, 2) if number in (1, len(WIDTHS)) else (1, 2, 3, 4)
        stage = (depths, widths, (3, 5, 7), (1, 2, 4, 6), (False, True))
        found |= {f"{key}_{number}": v for key, v in zip(Stage._fields, stage, strict=True)}
    return {**found, "head": (640, 960, 1280)}


_EXAMPLE = "mb32-r1k3e1c16-r2k3e6c24-r3k5e6c32se-r4k3e6c64-r3k3e6c96-r3k5e6c160se-r1k3e6c320-1280"


@dataclass(frozen=True)
class MobileNet(ProductArchitecture):
    """One of 5 * 10^18 networks: a frozen, hashable value."""

    chosen: tuple[int, ...]
    """Channels of the stem, what `Stage` lists for seven stages, channels of the last layer."""

    space: ClassVar[str] = "mobilenet"

    legend: ClassVar[str] = "cell: of seven stages the depths|kernels|s with squeeze-and-excitation"
    written: ClassVar = re.compile(r"mb\d+(-r\d+k\d+e\d+c\d+(se)?)+-\d+", re.ASCII)
    everything: ClassVar = _choices()
    value: ClassVar[str] = "value"

    @classmethod
    def published(cls, width: float = 1.0) -> Self:
        """Return MobileNetV2, at a width of 0.35, 0.5, 0.75 or 1.0."""
        depths, widths = (1, 2, 3, 4, 3, 3, 1), (16, 24, 32, 64, 96, 160, 320)
        stages = (
            Stage(depth, _divisible(channels * width), 3, 6 if place else 1, se=False)
            for place, (depth, channels) in enumerate(zip(depths, widths, strict=True))
        )
        return cls((_divisible(32 * width), *(v for stage in stages for v in stage), 1280))

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Its seven stages."""
        return tuple(Stage(*self.chosen[at : at + 5]) for at in range(1, 36, 5))  # type: ignore[arg-type]

    def blocks(self, task: Task) -> tuple[int, tuple[Block, ...]]:
        """Return the stride of the stem, and the blocks, for images of a task's size.

        Of the five layers that halve images of 224 pixels the first ones do not where images are
        smaller: the last maps are to have `FEWEST_PIXELS` a side.
        """
        sides = accumulate(range(5), lambda side, _: (side + 1) // 2, initial=task.resolution)
        halved = sum(side >= FEWEST_PIXELS for side in [*sides][1:])
        halving = _HALVING[len(_HALVING) - halved :]
        made: list[Block] = []
        inputs = self.chosen[0]
        for number, stage in enumerate(self.stages, 1):
            for place in range(stage.depth):
                stride = 2 if number in halving and place == 0 else 1
                hidden = inputs * stage.expansion
                made.append(Block(inputs, hidden, stage.width, stage.kernel, stride, stage.se))
                inputs = stage.width
        return 2 if 0 in halving else 1, tuple(made)

    @classmethod
    def from_string(cls, text: str) -> Self:
        """Read such as ``mb32-r1k3e1c16-...-r3k5e6c160se-r1k3e6c320-1280``.

        A stage is its depth, kernel, expansion, channels and ``se`` with squeeze-and-excitation.
        """
        if not isinstance(text, str) or not cls.written.fullmatch(text.strip()):
            message = f"no inverted residuals: {text!r}; such as {_EXAMPLE}"
            raise ArchitectureError(message, given=text)
        stem, *stages, head = text.strip().removeprefix("mb").split("-")
        chosen = [int(stem)]
        for stage in stages:
            depth, kernel, expansion, width = map(int, re.findall(r"\d+", stage))
            chosen += [depth, width, kernel, expansion, stage.endswith("se")]
        return cls((*chosen, int(head)))

    def to_string(self) -> str:
        """Write it; the inverse of `from_string`."""
        stages = (
            f"r{s.depth}k{s.kernel}e{s.expansion}c{s.width}{'se' * s.se}" for s in self.stages
        )
        return f"mb{self.chosen[0]}-{'-'.join(stages)}-{self.chosen[-1]}"

    def compact(self) -> str:
        """Write the stages' depths, kernels and which have squeeze-and-excitation."""
        stages = self.stages
        depths, kernels = ("".join(map(str, of)) for of in [*zip(*stages, strict=True)][:3:2])
        return f"{depths}|{kernels}|{''.join('s' if s.se else '-' for s in stages)}"

    @property
    def function_key(self) -> str:
        """Its text: no two of these networks compute the same function."""
        return f"network {self.to_string()}"


def _divisible(channels: float) -> int:
    """Round to a multiple of 8, by no more than a tenth down, as published code does."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * channels else rounded + 8


class MobileNetSpace(ProductSpace[MobileNet]):
    """The networks of inverted residuals that a search may visit.

    Its parameters are ``stem``, ``head`` and, of stages 1 to 7, ``depth_1`` and so on.
    """

    name, kind, example = "mobilenet", MobileNet, _EXAMPLE

    def costs(self, architecture: MobileNet, task: Task, **_: int | None) -> dict[str, float]:
        """Return ``params`` and ``flops`` in millions, counted layer by layer without a network."""
        params, flops = counts(architecture, task, task.height, task.width)
        return {"params": params / 1e6, "flops": flops / 1e6}

    def structure(self, architecture: MobileNet) -> dict[str, float]:
        """Return the parameters, and of the blocks their number, hidden channels and kernels.

        ``hidden_1`` to ``hidden_7`` are channels times expansion, times the depth of the stage.
        """
        stages = architecture.stages
        hidden = {
            f"hidden_{place}": float(s.depth * s.width * s.expansion)
            for place, s in enumerate(stages, 1)
        }
        return {
            **super().structure(architecture),
            **hidden,
            "blocks": float(sum(s.depth for s in stages)),
            "mean kernel": sum(s.depth * s.kernel for s in stages) / sum(s.depth for s in stages),
            "blocks with se": float(sum(s.depth * s.se for s in stages)),
        }

    def draw(self, architecture: MobileNet) -> str:
        """Draw each block as a bar, as high as it has channels."""
        return draw_stages(architecture)


def counts(architecture: MobileNet, task: Task, height: int, width: int) -> tuple[int, int]:
    """Return parameters, and multiply-adds for one image of a size, of the network for a task."""
    params, flops = zip(*_layers(architecture, task, height, width), strict=True)
    return sum(params), sum(flops)


def _layers(
    architecture: MobileNet, task: Task, height: int, width: int
) -> Iterator[tuple[int, int]]:
    """Yield parameters and multiply-adds of each layer with its normalisation."""
    stem, blocks = architecture.blocks(task)
    height, width = -(-height // stem), -(-width // stem)
    first, last = architecture.chosen[0], architecture.chosen[-1]

    def convolution(outputs: int, each: int) -> tuple[int, int]:
        return outputs * (each + 2), outputs * each * height * width

    yield convolution(first, 9 * task.channels)
    for block in blocks:
        if block.hidden != block.inputs:
            yield convolution(block.hidden, block.inputs)
        height, width = -(-height // block.stride), -(-width // block.stride)
        yield convolution(block.hidden, block.kernel**2)
        if block.se:
            squeezed = block.hidden // 4
            weights = 2 * squeezed * block.hidden
            yield weights + squeezed + block.hidden, weights
        yield convolution(block.outputs, block.hidden)
    yield convolution(last, blocks[-1].outputs)
    yield (last + 1) * task.classes, last * task.classes


# Drawing ------------------------------------------------------------------------------------------

_COLOURS = {3: "#56B4E9", 5: "#0072B2", 7: "#CC79A7"}  # by kernel
_STYLE = "font:600 12px Inter,system-ui,sans-serif;text-anchor:middle;fill:#1c2128"
_BAR, _GAP, _HIGH, _STEP = 22, 20, 150, 26


def draw_stages(architecture: MobileNet) -> str:
    """Draw the stages from left to right; what a block expands to is behind it, paler."""
    x, marks, said = _GAP, [], []
    tallest = max(s.width * s.expansion for s in architecture.stages) ** 0.5
    for stage in architecture.stages:
        high, full = (
            _HIGH * channels**0.5 / tallest
            for channels in (stage.width, stage.width * stage.expansion)
        )
        colour, middle = _COLOURS[stage.kernel], x + (stage.depth * _STEP - 4) / 2
        for place in range(stage.depth):
            left = x + place * _STEP
            marks += [
                f'<rect x="{left}" y="{170 - tall:.1f}" width="{_BAR}" height="{tall:.1f}" rx="3" '
                f'fill="{colour}" fill-opacity="{opacity}"/>'
                for tall, opacity in ((full, 0.25), (high, 1))
            ]
        labels = (
            f"{stage.width}",
            f"{stage.kernel}\N{MULTIPLICATION SIGN}{stage.kernel}",
            f"\N{MULTIPLICATION SIGN}{stage.expansion}{' se' * stage.se}",
        )
        marks += [
            f'<text x="{middle:.0f}" y="{188 + 16 * row}">{label}</text>'
            for row, label in enumerate(labels)
        ]
        excited = ", with squeeze-and-excitation" * stage.se
        said.append(
            f"{stage.depth} of {stage.width} channels, kernel {stage.kernel}, "
            f"expanded {stage.expansion} times{excited}"
        )
        x += max(stage.depth * _STEP, 44) + _GAP
    label = f"Inverted residuals, stage by stage: {'; '.join(said)}."
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {x} 230" role="img" '
        f'aria-label="{label}"><style>text{{{_STYLE}}}</style>'
        f'<rect width="{x}" height="230" rx="8" fill="#fff"/>{"".join(marks)}</svg>'
    )
