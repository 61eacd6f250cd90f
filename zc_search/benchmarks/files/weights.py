"""Trained weights of NAS-Bench-201: a file an architecture, as its archives unpack."""

from pathlib import Path
from typing import Any, cast

from torch import Tensor, nn

from zc_search.benchmarks.files.official import load_official
from zc_search.errors import BenchmarkError
from zc_search.images.datasets import DatasetName
from zc_search.spaces import Architecture
from zc_search.spaces.network import build_network

_BUDGETS = {12: "less", 200: "full"}


def load_weights(
    folder: str | Path, index: int, dataset: str = "cifar10", seed: int = 777, epochs: int = 200
) -> dict[str, Tensor]:
    """Return the weights that a training ended with.

    Args:
        folder: With ``000000-FULL.pth`` and so on.
        index: The architecture's number in the benchmark's own order (`Benchmark.index`).
        dataset: What was trained on, in the benchmark's names.
        seed: Of the training: 777, 888 or 999.
        epochs: 12 or 200.

    Raises:
        BenchmarkError: No such file, training or budget, or a file without weights.
        DataError: The file is damaged, or asks for more than data.
    """
    return cast("dict[str, Tensor]", _result(folder, index, dataset, seed, epochs)[0])


def trained_network(
    folder: str | Path, index: int, dataset: str = "cifar10", seed: int = 777, epochs: int = 200
) -> nn.Module:
    """Return the network of an architecture as a training left it.

    Args:
        folder: As for `load_weights`, like the other arguments.
        index: The architecture's number.
        dataset: What was trained on.
        seed: Of the training.
        epochs: Of the training.

    Raises:
        BenchmarkError: As for `load_weights`, or weights that do not fit the network.
        DataError: As for `load_weights`.
    """
    weights, text = _result(folder, index, dataset, seed, epochs)
    network = build_network(Architecture.from_string(text), cast("DatasetName", dataset))
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise BenchmarkError(f"the weights of architecture {index} do not fit {text}") from error
    return network


def _result(
    folder: str | Path, index: int, dataset: str, seed: int, epochs: int
) -> tuple[dict[str, Any], str]:
    """Return the weights of a training and the architecture's string."""
    if epochs not in _BUDGETS:
        raise BenchmarkError(f"epochs={epochs!r}: trainings are of 12 or 200 epochs")
    path = Path(folder) / f"{index:06d}-FULL.pth"
    if not path.is_file():
        raise BenchmarkError(
            f"{path} is not there; weights are in the folder that NAS-Bench-201-v1_1-archive "
            "unpacks to, a file an architecture"
        )
    content = load_official(path)
    try:
        results = content[_BUDGETS[epochs]]
        seeds = results["dataset_seed"]
        if dataset not in seeds or seed not in seeds[dataset]:
            held = "; ".join(f"{name}: {', '.join(map(str, s))}" for name, s in seeds.items())
            raise BenchmarkError(
                f"{path} has no training on {dataset!r} with seed {seed!r}; it has {held}"
            )
        weights = results["all_results"][dataset, seed]["net_state_dict"]
        if weights is None:
            raise BenchmarkError(f"{path} has results but no weights")
        return weights, results["arch_str"]
    except (AttributeError, KeyError, TypeError) as error:
        raise BenchmarkError(f"{path} is no file of the archive ({error!r})") from error
