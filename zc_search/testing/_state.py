"""What must be as it was: of the process, and of a network."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from zc_search._utils.torch_defaults import SETTINGS

_HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_state_dict_hooks",
)


def of_process() -> dict[str, Any]:
    """Return torch's settings and the random states."""
    return {name: read() for name, (read, _) in SETTINGS.items()} | {
        "Python's random state": random.getstate(),
        "NumPy's random state": str(np.random.get_state()),
        "torch's random state": torch.get_rng_state().tolist(),
    }


def of_network(network: nn.Module) -> dict[str, Any]:
    """Return weights, buffers, gradients, modes and hooks by name, tensors as copies."""
    state: dict[str, Any] = {}
    for name, module in network.named_modules():
        state[f"mode of {name!r}"] = module.training
        state |= {f"{kind} of {name!r}": [*getattr(module, kind)] for kind in _HOOKS}
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        state[f"tensor {name!r}"] = tensor.detach().clone()
        state[f"identity of {name!r}"] = id(tensor)
        state[f"requires_grad of {name!r}"] = tensor.requires_grad
        state[f"gradient of {name!r}"] = None if tensor.grad is None else tensor.grad.clone()
    return state


def changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Name what differs."""
    names = dict.fromkeys([*before, *after])
    return [name for name in names if not _same(before.get(name), after.get(name))]


def _same(one: Any, other: Any) -> bool:
    if not (isinstance(one, Tensor) and isinstance(other, Tensor)):
        return bool(one == other)
    nan = torch.is_floating_point(one)
    return one.shape == other.shape and torch.allclose(one, other, 0, 0, equal_nan=nan)


@contextmanager
def process_kept() -> Iterator[None]:
    """Fail, and name it, if something of the process is left otherwise."""
    before = of_process()
    yield
    if left := changed(before, of_process()):
        raise AssertionError(f"left changed: {', '.join(left)}")
