"""Networks of somebody's own, built so that nothing global moves, and checked before they score."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from html import escape
from itertools import groupby
from threading import RLock
from typing import Any

import numpy as np
import torch
from optuna.exceptions import UpdateFinishedTrialError
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from zc_search._utils.torch_defaults import settings_kept, usual_defaults
from zc_search.errors import ArchitectureError, StudyError
from zc_search.images.datasets import Task
from zc_search.spaces.define_by_run.architecture import Parameters
from zc_search.spaces.define_by_run.trial import PointTrial, missing

Builder = Callable[[Any, Task], Any]

_LOCK = RLock()  # the random state is the process's, and studies may run in threads


@contextmanager
def _apart(seed: int) -> Iterator[list[str]]:
    """Seed all random states, and put everything back; yield what else will have been changed."""
    initialised = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    devices = range(torch.cuda.device_count()) if initialised else ()
    with (
        _LOCK,
        usual_defaults(),
        torch.random.fork_rng(devices=list(devices)),
        settings_kept() as changed,
    ):
        torch.default_generator.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)
        yield changed


def ask(builder: Builder, trial: Any, task: Task, *, meta: bool) -> str | None:
    """Have a builder ask a trial for parameters; return why there is no network, if there is none.

    On the device ``meta`` that costs no memory and no initialisation; not all code works there.
    """
    try:
        with _apart(0), torch.device("meta") if meta else nullcontext():
            builder(trial, task)
    except (StudyError, UpdateFinishedTrialError):  # of the storage
        raise
    except Exception as error:  # anybody's code
        return f"the builder raised {type(error).__name__}: {error}"
    return None


def build_network(builder: Builder, architecture: Parameters, task: Task, seed: int) -> nn.Module:
    """Build a network twice and compare; see `FunctionSpace.build`."""
    try:
        network, twin = (_once(builder, architecture, task, seed) for _ in range(2))
        _check_alike(network, twin)
        _check_logits(twin, task)
    except ValueError as error:
        message = f"the builder {error}, for {architecture}"
        raise ArchitectureError(message, key="space.name", given=str(architecture)) from error
    return network


def _once(builder: Builder, architecture: Parameters, task: Task, seed: int) -> nn.Module:
    trial, values = PointTrial(architecture.values, missing), architecture.values
    with _apart(seed) as changed:
        try:
            network = builder(trial, task)
            if isinstance(network, nn.Module) and any(map(is_lazy, network.parameters())):
                _logits(network, task)
        except Exception as error:  # anybody's code
            raise ValueError(f"raised {type(error).__name__}: {error}") from error
    if changed:
        raise ValueError(f"changes the {' and the '.join(changed)}")
    if not isinstance(network, nn.Module):
        raise ValueError(f"returns {type(network).__name__}, no torch.nn.Module")  # noqa: TRY004
    if unasked := values.keys() - trial.params.keys():
        raise ValueError(f"does not ask for {', '.join(sorted(unasked))}")
    return network


def _check_alike(network: nn.Module, twin: nn.Module) -> None:
    here, there = network.state_dict(), twin.state_dict()
    alike = str(network) == str(twin) and here.keys() == there.keys()
    tensors = ((t, there[name]) for name, t in here.items() if isinstance(t, Tensor))
    if not alike or not all(torch.equal(*pair) for pair in tensors):
        raise ValueError("gives another network for the same parameters and seed")
    kinds = {str(p.dtype) for p in network.parameters() if p.is_floating_point()}
    if other := kinds - {"torch.float32"}:
        raise ValueError(f"gives parameters of {min(other)}; Allowed: torch.float32")


def _logits(network: nn.Module, task: Task) -> Any:
    """Return what a network gives for two images, in evaluation mode."""
    training = network.training
    images = torch.zeros(2, task.channels, task.height, task.width)
    with torch.no_grad():
        logits = network.eval()(images)
    network.train(training)
    return logits


def _check_logits(network: nn.Module, task: Task) -> None:
    with _apart(0):
        try:
            logits = _logits(network, task)
        except Exception as error:  # anybody's code
            shape = (2, task.channels, task.height, task.width)
            message = f"gives a network that fails on images {shape}: {type(error).__name__}"
            raise ValueError(f"{message}: {error}") from error
    found = str(tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__)
    if found != (wanted := str((2, task.classes))):
        of = f"logits for 2 images of {task.classes} classes are {found}; Allowed: {wanted}"
        raise ValueError(f"gives a network whose {of}")


# Drawing ------------------------------------------------------------------------------------------

_LINES, _WIDTH = 24, 46
_STYLE = "font:13px ui-monospace,Menlo,Consolas,monospace;fill:#1c2128;white-space:pre"


def draw(network: nn.Module) -> str:
    """Draw a network's modules as SVG: a line each, as deep as a few lines allow."""
    trees = [[*_tree(network, depth)] for depth in range(1, 9)]
    lines = max((tree for tree in trees if len(tree) <= _LINES), key=len, default=trees[0])
    left = len(lines) - _LINES
    shown = lines[:_LINES] + ([f"... and {left} more"] if left > 0 else [])
    texts = "".join(
        f'<text x="14" y="{24 + 18 * row}">{escape(line)}</text>' for row, line in enumerate(shown)
    )
    width, height = 28 + 8 * max(map(len, shown)), 20 + 18 * len(shown)
    label = escape(f"Modules of the network: {'; '.join(line.strip() for line in shown)}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{label}"><style>text{{{_STYLE}}}</style>'
        f'<rect width="{width}" height="{height}" rx="8" fill="#fff"/>{texts}</svg>'
    )


def _tree(module: nn.Module, depth: int, name: str = "", indent: str = "") -> Iterator[str]:
    count = sum(p.numel() for p in module.parameters())
    said = module.extra_repr() if not [*module.children()] else ""
    head = f"{indent}{name}{': ' if name else ''}{type(module).__name__}({said})"
    head = head if len(head) <= _WIDTH else f"{head[: _WIDTH - 1]}…"
    yield f"{head}  {count:,}" if count else head
    if depth == 0:
        return
    for _, alike in groupby(module.named_children(), key=lambda child: repr(child[1])):
        first, *others = alike
        label = f"{first[0]} to {others[-1][0]}, each" if others else first[0]
        yield from _tree(first[1], depth - 1, label, f"{indent}  ")
