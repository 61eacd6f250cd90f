"""Files of NAS-Bench-201 as torch loads them: the authors' own API, and trained weights.

They are loaded without running code. The API costs the memory and the minutes that a converted
table saves; its own answers are what it is for.
"""

import pickle
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import nn

from zc_search._utils.text import install_hint
from zc_search.benchmarks.files.archive import CONTENT, Archive
from zc_search.errors import BenchmarkError
from zc_search.images.datasets import DatasetName
from zc_search.spaces import Architecture
from zc_search.spaces.network import build_network

if TYPE_CHECKING:
    from nas_201_api import NASBench201API

_SCALAR = np.float64(0).__reduce__()[0]  # numpy has moved it, and the files name both places
_ALLOWED: tuple[Any, ...] = (  # beyond torch's own short list: numbers of NumPy's
    (_SCALAR, "numpy.core.multiarray.scalar"),
    (_SCALAR, "numpy._core.multiarray.scalar"),
    *(np.dtype, np.dtypes.Float64DType, np.dtypes.Float32DType, np.dtypes.Int64DType),
)
_ASKED = re.compile(r"(?:GLOBAL|class|global)\s+([\w.]+)")
_BUDGETS = {12: "less", 200: "full"}


def load_official(path: str | Path) -> dict[str, Any]:
    """Load a file of torch that may hold nothing but plain values, numbers and tensors."""
    path = Path(path)
    if not path.is_file():
        raise BenchmarkError(f"{str(path)!r}: there is no such file")
    try:
        with torch.serialization.safe_globals([*_ALLOWED]):
            mapped = zipfile.is_zipfile(path)
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # a damaged file may lead to anything
        first = (str(error).splitlines() or [""])[0][:200]
        why = (
            f"is damaged, cut short, closed to you or not a file of torch: {type(error).__name__}: "
            f"{first}"
        )
        if isinstance(error, pickle.UnpicklingError):
            asked = _ASKED.search(str(error))
            why = f"is not safe to load: {f'it asks for {asked[1]}' if asked else first}"
        raise BenchmarkError(f"{path} {why}") from error
    if not isinstance(content, dict):
        raise BenchmarkError(f"{path} holds a {type(content).__name__}, not a benchmark's dict")
    return content


def open_api(path: str | Path, *, verbose: bool = False) -> "NASBench201API":
    """Return the benchmark's own API on a file that has been checked and safely loaded."""
    try:
        from nas_201_api import NASBench201API
    except ImportError:
        raise BenchmarkError(
            "the benchmark's own API is in the package nas-bench-201, which is not installed: "
            f"{install_hint('nasbench201')}"
        ) from None
    path = Path(path)
    Archive(path).check_md5()
    content = load_official(path)
    if missing := set(CONTENT) - set(content):
        raise BenchmarkError(f"{path} is no NAS-Bench-201 file: it lacks {', '.join(missing)}")
    api = NASBench201API(content, verbose=verbose)
    api.filename = path.name
    return api


def trained_network(
    folder: str | Path, index: int, dataset: str = "cifar10", seed: int = 777, epochs: int = 200
) -> nn.Module:
    """Return the network of an architecture as a training of 12 or 200 epochs left it.

    The folder holds ``000000-FULL.pth`` and so on; the index is the benchmark's own number.
    """
    if epochs not in _BUDGETS:
        raise BenchmarkError(f"epochs={epochs!r}: trainings are of 12 or 200 epochs")
    path = Path(folder, f"{index:06d}-FULL.pth")
    if not path.is_file():
        raise BenchmarkError(
            f"{path} is not there; weights are in the folder that NAS-Bench-201-v1_1-archive "
            "unpacks to, a file an architecture"
        )
    content = load_official(path)
    try:
        results = content[_BUDGETS[epochs]]
        seeds = results["dataset_seed"]
        if seed not in seeds.get(dataset, ()):
            held = "; ".join(f"{name}: {', '.join(map(str, s))}" for name, s in seeds.items())
            message = f"{path} has no training on {dataset!r} with seed {seed!r}; it has {held}"
            raise BenchmarkError(message)
        if (weights := results["all_results"][dataset, seed]["net_state_dict"]) is None:
            raise BenchmarkError(f"{path} has results but no weights")
        architecture = Architecture.from_string(results["arch_str"])
        network = build_network(architecture, cast("DatasetName", dataset))
        network.load_state_dict(weights)
    except (AttributeError, KeyError, TypeError) as error:
        raise BenchmarkError(f"{path} is no file of the archive ({error!r})") from error
    except RuntimeError as error:
        raise BenchmarkError(f"the weights in {path} do not fit {architecture}") from error
    return network
