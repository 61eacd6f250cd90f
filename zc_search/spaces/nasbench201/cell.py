"""Structural features of a NAS-Bench-201 cell, computed from its string: no network, no torch.

Only what can reach the output counts: an operation on an edge that no path from input to output
uses is treated as absent, because it has no part in what the network computes.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pandas as pd

from zc_search.spaces import EDGES, OPERATIONS, PARAMETERS, Architecture

_PATHS = {"0-3": (3,), "0-1-3": (0, 4), "0-2-3": (1, 5), "0-1-2-3": (0, 2, 5)}
_CONVOLUTIONS = frozenset({"nor_conv_1x1", "nor_conv_3x3"})
_KERNELS = frozenset({"nor_conv_3x3"})
_LIVE_OPERATIONS = tuple(operation for operation in OPERATIONS if operation != "none")


def cell_features(architectures: Iterable[str]) -> pd.DataFrame:
    """Describe each cell by its live edges and paths.

    Columns (counts and 0/1 flags, all float): ``op_1_0=nor_conv_3x3`` ... the operation of a live
    edge; ``op_1_0 live``; ``live nor_conv_3x3`` how many live edges hold an operation;
    ``path 0-1-3`` whether a path is live and how many of each operation and how many convolutions
    it holds; ``paths`` the number of live paths; ``depth``, ``depth 3x3`` the most convolutions,
    and 3x3 convolutions, on a live path, ``least depth`` and ``mean depth`` the fewest and the
    mean; steps such as ``depth>=2`` and ``convolutions>=3``; ``skip path`` whether the input
    reaches the output unchanged, ``pool path`` whether it does so through pooling alone.

    Args:
        architectures: Architecture strings.

    Returns:
        One row for each string, in their order, on a fresh index.

    Raises:
        ArchitectureError: A text that is no architecture string.
    """
    rows = [_features(text) for text in architectures]
    return pd.DataFrame(np.reshape(rows, (-1, len(CELL_FEATURES))), columns=CELL_FEATURES)


def live_paths(ops: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Return the edges of each path from input to output that holds no ``none``, by its nodes."""
    return {
        name: edges for name, edges in _PATHS.items() if all(ops[edge] != "none" for edge in edges)
    }


@lru_cache(maxsize=20_000)  # all cells of the space: a curve of many fits asks for each again
def _features(text: str) -> npt.NDArray[np.float64]:
    return np.array(list(_named_features(Architecture.from_string(text).ops).values()), float)


def _named_features(ops: tuple[str, ...]) -> dict[str, float]:
    paths = live_paths(ops)
    live = {edge for edges in paths.values() for edge in edges}
    features: dict[str, float] = {}
    for edge, parameter in enumerate(PARAMETERS):
        features[f"{parameter} live"] = edge in live
        for operation in _LIVE_OPERATIONS:
            features[f"{parameter}={operation}"] = edge in live and ops[edge] == operation
    for operation in _LIVE_OPERATIONS:
        features[f"live {operation}"] = sum(ops[edge] == operation for edge in live)
    for name in _PATHS:
        held = [ops[edge] for edge in paths.get(name, ())]
        features[f"path {name}"] = name in paths
        for operation in _LIVE_OPERATIONS:
            features[f"path {name} {operation}"] = held.count(operation)
        features[f"path {name} convolutions"] = sum(op in _CONVOLUTIONS for op in held)
    held_by_path = [[ops[edge] for edge in edges] for edges in paths.values()]
    depths = [sum(op in _CONVOLUTIONS for op in held) for held in held_by_path] or [0]
    depth_3x3 = max([sum(op in _KERNELS for op in held) for held in held_by_path], default=0)
    features["paths"] = len(paths)
    features["depth"] = max(depths)
    features["least depth"] = min(depths)
    features["mean depth"] = sum(depths) / len(depths)
    features["depth 3x3"] = depth_3x3
    convolutions = sum(ops[edge] in _CONVOLUTIONS for edge in live)
    for step in (1, 2, 3):
        features[f"depth>={step}"] = max(depths) >= step
        features[f"depth 3x3>={step}"] = depth_3x3 >= step
    for step in (1, 2, 3, 4, 5):
        features[f"convolutions>={step}"] = convolutions >= step
    for step in (1, 2, 3, 4):
        features[f"3x3>={step}"] = features["live nor_conv_3x3"] >= step
    features["skip path"] = any(set(held) == {"skip_connect"} for held in held_by_path)
    features["pool path"] = any(
        "avg_pool_3x3" in held and set(held) <= {"skip_connect", "avg_pool_3x3"}
        for held in held_by_path
    )
    return features


CELL_FEATURES = tuple(_named_features(("none",) * len(EDGES)))
"""The columns of `cell_features`, in order."""
