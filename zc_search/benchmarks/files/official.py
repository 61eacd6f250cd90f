"""The official NAS-Bench-201 file as its authors' package takes it, loaded without running code.

It costs the memory and the minutes that a converted table saves; the package's own answers are
what it is for.
"""

import pickle
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from zc_search.benchmarks.files.archive import Archive
from zc_search.errors import BenchmarkError, DataError

if TYPE_CHECKING:
    from nas_201_api import NASBench201API

_SCALAR = np.float64(0).__reduce__()[0]  # numpy has moved it, and the files name both places

ALLOWED: tuple[Any, ...] = (
    (_SCALAR, "numpy.core.multiarray.scalar"),
    (_SCALAR, "numpy._core.multiarray.scalar"),
    np.dtype,
    np.dtypes.Float64DType,
    np.dtypes.Float32DType,
    np.dtypes.Int64DType,
)
"""What the benchmark's files name beyond torch's own short list: numbers of NumPy's."""

_ASKED = re.compile(r"(?:GLOBAL|class|global)\s+([\w.]+)")


def load_official(path: str | Path) -> dict[str, Any]:
    """Load a file of torch that may hold nothing but plain values, numbers and tensors.

    Args:
        path: ``NAS-Bench-201-v1_1-096897.pth``, or a file of its archive of weights.

    Raises:
        BenchmarkError: There is no such file, or it holds no dict.
        DataError: It is damaged, or asks for another type, which is named.
    """
    path = Path(path)
    if not path.is_file():
        raise BenchmarkError(f"{str(path)!r}: there is no such file")
    try:
        with torch.serialization.safe_globals([*ALLOWED]):
            content = torch.load(
                path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path)
            )
    except pickle.UnpicklingError as error:
        asked = _ASKED.search(str(error))
        if asked is None:
            raise DataError(f"{path} is not safe to load: {_first_line(error)}") from error
        raise DataError(f"{path} is not safe to load: it asks for {asked[1]}") from error
    except Exception as error:  # a damaged file may lead to anything
        raise DataError(
            f"{path} is damaged, cut short or not a file of torch: "
            f"{type(error).__name__}: {_first_line(error)}"
        ) from error
    if not isinstance(content, dict):
        raise BenchmarkError(f"{path} holds a {type(content).__name__}, not a benchmark's dict")
    return content


def open_api(path: str | Path, *, verbose: bool = False) -> "NASBench201API":
    """Return the benchmark's own API on a file that has been checked and safely loaded.

    Args:
        path: ``NAS-Bench-201-v1_1-096897.pth``.
        verbose: Whether the API tells of each call.

    Raises:
        BenchmarkError: The package is not installed, the file is missing, its md5 is not the one in
            its name, or it holds something else.
        DataError: It is damaged, or asks for a type that is not allowed.
    """
    try:
        from nas_201_api import NASBench201API
    except ImportError:
        raise BenchmarkError(
            "the benchmark's own API is in the package nas-bench-201, which is not installed: "
            "pip install 'zc-search[nasbench201]'"
        ) from None
    path = Path(path)
    Archive(path).check_md5()
    content = load_official(path)
    if missing := {"meta_archs", "arch2infos", "evaluated_indexes"} - set(content):
        raise BenchmarkError(f"{path} is no NAS-Bench-201 file: it lacks {', '.join(missing)}")
    api = NASBench201API(content, verbose=verbose)
    api.filename = path.name
    return api


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:200]
