"""What torch does by default, set aside for our code, and put back after somebody else's."""

import os
import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch

_deterministic = torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms
SETTINGS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "default device": (
        torch.get_default_device,
        lambda device: torch.set_default_device(None if device.type == "cpu" else device),
    ),
    "number of threads": (torch.get_num_threads, torch.set_num_threads),
    "gradient mode": (torch.is_grad_enabled, torch.set_grad_enabled),
    "deterministic algorithms": _deterministic,
    "current folder": (os.getcwd, os.chdir),
}
"""What is the process's and not a function's: how it is read, and how it is put back."""


@contextmanager
def settings_kept(names: Iterable[str] = tuple(SETTINGS)) -> Iterator[list[str]]:
    """Put back settings and random states after the block; yield names of settings changed."""
    before = {name: SETTINGS[name][0]() for name in names}
    states = random.getstate(), np.random.get_state()
    changed: list[str] = []
    try:
        yield changed
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        for name, value in before.items():
            get, put_back = SETTINGS[name]
            if get() != value:
                put_back(value)
                changed.append(name)


@contextmanager
def usual_defaults() -> Iterator[None]:
    """Let tensors that name neither type nor device be float32 and on the CPU within the block."""
    dtype, device = torch.get_default_dtype(), torch.get_default_device()
    if dtype != torch.float32:
        torch.set_default_dtype(torch.float32)
    try:
        with nullcontext() if device.type == "cpu" else torch.device("cpu"):
            yield
    finally:
        torch.set_default_dtype(dtype)
