"""Builders as users write them, and such as are at fault in every way."""

import os
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product as product_of
from typing import Any

import torch
from optuna import Trial
from torch import Tensor, nn
from torch.nn import functional as F

from zc_search.images import Task
from zc_search.spaces import AnyArchitecture, SearchSpace


class MyNet(nn.Sequential):
    def __init__(self, depth: int, width: int, norm: str, classes: int, channels: int) -> None:
        layers: list[nn.Module] = []
        for _ in range(depth):
            normed = nn.BatchNorm2d(width) if norm == "batch" else nn.GroupNorm(8, width)
            layers += [nn.Conv2d(channels, width, 3, 2, 1, bias=False), normed, nn.ReLU()]
            channels = width
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes))


def build(trial: Trial, task: Task) -> nn.Module:
    depth = trial.suggest_int("depth", 1, 4)
    width = trial.suggest_categorical("width", [16, 32, 48])
    norm = trial.suggest_categorical("norm", ["batch", "group"]) if depth > 2 else "batch"
    return MyNet(depth, width, norm, task.classes, task.channels)


class Block(nn.Module):
    def __init__(self, width: int, heads: int, ratio: float, dropped: float) -> None:
        super().__init__()
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        hidden = int(width * ratio)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
        self.dropped = dropped

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        return x + self.mlp(self.second(x))  # type: ignore[no-any-return]


class ViT(nn.Module):
    def __init__(self, task: Task, patch: int, width: int, blocks: list[nn.Module]) -> None:
        super().__init__()
        self.patches = nn.Conv2d(task.channels, width, patch, patch)
        count = (task.height // patch) * (task.width // patch)
        self.places = nn.Parameter(torch.zeros(1, count, width))
        nn.init.trunc_normal_(self.places, std=0.02)
        self.blocks, self.norm = nn.Sequential(*blocks), nn.LayerNorm(width)
        self.head = nn.Linear(width, task.classes)

    def forward(self, images: Tensor) -> Tensor:
        x = self.patches(images).flatten(2).transpose(1, 2) + self.places
        return self.head(self.norm(self.blocks(x)).mean(1))  # type: ignore[no-any-return]


def vit(trial: Trial, task: Task) -> nn.Module:
    depth = trial.suggest_int("depth", 1, 3)
    heads = trial.suggest_categorical("heads", [1, 2, 4])
    width = heads * trial.suggest_int("head_width", 8, 32, log=True)
    ratio = trial.suggest_float("ratio", 1.0, 3.0, step=0.5)
    # As published code does; it cannot be built on no device.
    dropped = torch.linspace(0, 0.1, depth).tolist()
    blocks: list[nn.Module] = [Block(width, heads, ratio, rate) for rate in dropped]
    return ViT(task, max(task.resolution // 4, 1), width, blocks)


class Residual(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm1, self.norm2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)
        self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()
        changed = inputs != outputs or stride > 1
        self.short = nn.Conv2d(inputs, outputs, 1, stride) if changed else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.conv2(self.relu1(self.norm1(self.conv1(x)))))
        return self.relu2(y + self.short(x))  # type: ignore[no-any-return]


def resnet(trial: Trial, task: Task) -> nn.Module:
    inputs = trial.suggest_int("stem", 4, 16, step=4)
    layers: list[nn.Module] = [nn.Conv2d(task.channels, inputs, 3, 2, 1)]
    for stage in range(trial.suggest_int("stages", 1, 3)):
        for block in range(trial.suggest_int(f"depth_{stage}", 1, 2)):
            wider = trial.suggest_float(f"widen_{stage}", 1.0, 2.0) if block == 0 else 1.0
            outputs = round(inputs * wider)
            layers.append(Residual(inputs, outputs, 2 if stage and not block else 1))
            inputs = outputs
    head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, task.classes)
    return nn.Sequential(*layers, *head)


class Functional(nn.Module):
    """A network whose activations are functions, not modules."""

    def __init__(self, task: Task, width: int, slope: float, deep: bool) -> None:
        super().__init__()
        self.first = nn.Conv2d(task.channels, width, 3, 2, 1)
        self.second = nn.Conv2d(width, width, 3, 1, 1) if deep else None
        self.head, self.slope = nn.Linear(width, task.classes), slope

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.first(x), self.slope)
        if self.second is not None:
            x = F.relu(self.second(x))
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))  # type: ignore[no-any-return]


def functional(trial: Trial, task: Task) -> nn.Module:
    width = trial.suggest_int("width", 4, 64, log=True)
    slope = trial.suggest_float("slope", 1e-4, 1e-1, log=True)
    return Functional(task, width, slope, trial.suggest_categorical("deep", [True, False]))


def product(params: dict[str, Any], task: Task) -> nn.Module:
    return MyNet(params["depth"], params["width"], params["norm"], task.classes, task.channels)


class Choices:
    """A class with all that a space may have."""

    size = 6

    def build(self, trial: Trial, task: Task) -> nn.Module:
        depth, width = trial.suggest_int("depth", 1, 3), trial.suggest_int("width", 8, 16, step=8)
        return MyNet(depth, width, "batch", task.classes, task.channels)

    def function_key(self, params: dict[str, Any]) -> str:
        return f"{params['depth']} deep"

    def neighbours(self, params: dict[str, Any]) -> list[dict[str, Any]]:
        return [{**params, "depth": 1 + params["depth"] % 3}]

    def structure(self, params: dict[str, Any]) -> dict[str, float]:
        return {"area": params["depth"] * params["width"]}

    def draw(self, params: dict[str, Any]) -> str:
        return f"<svg>{params['depth']}</svg>"


# At fault -----------------------------------------------------------------------------------------


def faulty(trial: Trial, task: Task) -> Any:
    """Fails in one of many ways, or not."""
    return _FAULTS[trial.suggest_categorical("fault", [*_FAULTS])](trial, task)


def _plain(task: Task, classes: int | None = None) -> nn.Module:
    size = task.channels * task.height * task.width
    return nn.Sequential(nn.Flatten(), nn.Linear(size, classes or task.classes), nn.ReLU())


def _raises(trial: Trial, task: Task) -> nn.Module:
    raise RuntimeError("no such width")


def _default_dtype(trial: Trial, task: Task) -> nn.Module:
    network = _plain(task)
    torch.set_default_dtype(torch.float64)
    return network


def _threads(trial: Trial, task: Task) -> nn.Module:
    torch.set_num_threads(torch.get_num_threads() + 1)
    return _plain(task)


def _not_repeatable(trial: Trial, task: Task) -> nn.Module:
    network = _plain(task)
    nn.init.constant_(network[1].bias, int.from_bytes(os.urandom(4)))  # type: ignore[index]
    return network


def _other_parameters(trial: Trial, task: Task) -> nn.Module:
    name = f"width {int.from_bytes(os.urandom(4))}"
    return _plain(task, task.classes + 0 * trial.suggest_int(name, 1, 2))


def _seeds_itself(trial: Trial, task: Task) -> nn.Module:
    torch.manual_seed(3)
    random.seed(3)
    return _plain(task)


def _prunes(trial: Trial, task: Task) -> nn.Module:
    from optuna import TrialPruned

    raise TrialPruned("too wide")


_FAULTS = {
    "none": lambda trial, task: _plain(task),
    "seeds itself": _seeds_itself,
    "raises": _raises,
    "prunes": _prunes,
    "no module": lambda trial, task: 3,
    "logits": lambda trial, task: _plain(task, 7),
    "tuple": lambda trial, task: nn.LSTM(task.width, 8),
    "double": lambda trial, task: _plain(task).double(),
    "default dtype": _default_dtype,
    "threads": _threads,
    "not repeatable": _not_repeatable,
    "other parameters": _other_parameters,
    "bad range": lambda trial, task: _plain(task, trial.suggest_int("x", 3, 1)),
}


def always_raises(trial: Trial, task: Task) -> nn.Module:
    trial.suggest_int("depth", 1, 3)
    raise KeyError("width")


def one_argument(trial: Trial) -> nn.Module:
    raise NotImplementedError


# Spaces as classes --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Branches(AnyArchitecture):
    """Two branches of some kernels beside each other, whose order does not matter."""

    kernels: tuple[int, int]
    width: int
    space = "branches"
    legend = "kernels and width"

    @property
    def index(self) -> int:
        return self.width * 100 + self.kernels[0] * 10 + self.kernels[1]

    @property
    def function_key(self) -> str:
        return f"{sorted(self.kernels)} {self.width}"

    @property
    def infeasible(self) -> str | None:
        return "nothing is left" if self.kernels == (0, 0) else None

    def representative(self) -> "Branches":
        one, other = sorted(self.kernels)
        return Branches((one, other), self.width)

    def to_string(self) -> str:
        return f"{self.kernels[0]}/{self.kernels[1]} x {self.width}"


class BranchSpace(SearchSpace[Branches]):
    """A search space as a class, with architectures of a kind of its own."""

    choices = {"first": (0, 1, 3), "second": (0, 1, 3), "width": (4, 8)}  # noqa: RUF012
    size = 18

    def architecture(self, parameters: Mapping[str, Any]) -> Branches:
        return Branches((parameters["first"], parameters["second"]), parameters["width"])

    def parameters(self, architecture: Branches) -> dict[str, Any]:
        first, second = architecture.kernels
        return {"first": first, "second": second, "width": architecture.width}

    def __contains__(self, architecture: object) -> bool:
        if not isinstance(architecture, Branches):
            return False
        values = (*architecture.kernels, architecture.width)
        return all(v in c for v, c in zip(values, self.choices.values(), strict=True))

    def __iter__(self) -> Iterator[Branches]:
        for first, second, width in product_of(*self.choices.values()):
            yield Branches((first, second), width)

    def build(
        self, architecture: Branches, task: Task, seed: int = 0, **sizes: int | None
    ) -> nn.Module:
        return BranchNet(sorted(architecture.kernels), architecture.width, task)

    def structure(self, architecture: Branches) -> dict[str, float]:
        return {"area": float(sum(k * k for k in architecture.kernels) * architecture.width)}

    def draw(self, architecture: Branches) -> str:
        return f"<svg><text>{architecture}</text></svg>"


class PlainBranchSpace(BranchSpace):
    """The same, without what a space need not offer."""

    __iter__ = size = None  # type: ignore[assignment]
    structure = SearchSpace.structure  # type: ignore[assignment]
    draw = SearchSpace.draw  # type: ignore[assignment]


class BranchNet(nn.Module):
    def __init__(self, kernels: list[int], width: int, task: Task) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            nn.Conv2d(task.channels, width, k, padding=k // 2) for k in kernels if k
        )
        self.head = nn.Linear(width, task.classes)

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.relu(torch.stack([branch(x) for branch in self.branches]).sum(0))
        return self.head(hidden.mean((2, 3)))  # type: ignore[no-any-return]


class BrokenSpace(BranchSpace):
    """Cannot be made."""

    def __init__(self) -> None:
        raise OSError("no such table")


class RaisingSpace(BranchSpace):
    """Raises for some of its architectures."""

    def build(self, architecture: Branches, task: Task, seed: int = 0, **sizes: Any) -> nn.Module:
        if architecture.width == 4:
            raise ValueError("too narrow")
        return super().build(architecture, task, seed)


def branch_accuracy(params: dict[str, Any]) -> float:
    return 50.0 + params["first"] + params["second"] + params["width"]
