"""AnalogNAS-Bench from a package: the cells of NAS-Bench-201, trained anew, then quantised.

Benmeziane et al. 2025 (arXiv 2506.18495) trained each of the 15,625 cells for 200 epochs on
CIFAR-10 and measured its test accuracy, in percent, once each:

- ``float_accuracy``: as trained, in float32.
- ``int8_accuracy``: after post-training quantisation to int8; ``qat_accuracy``: after
  quantisation-aware training.
- ``noisy_accuracy``: the trained weights on a simulated analog in-memory chip (phase-change
  memory, the authors' AIHWKit); ``analog_accuracy``: there after hardware-aware training.
- ``noisy_minute_accuracy``, ``analog_month_accuracy`` and so on: these after a minute, an hour, a
  day or a month (30 days) of drift; their uncertainties are left out.
- ``int8_retention``, ``analog_retention``, ``analog_month_retention``: what share of the float
  accuracy that is, in percent; computed here. A network that guesses keeps all of it.

Their file is a pickle of objects; it is read without their code.
"""

from collections.abc import Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from zc_search._utils.pickles import load_restricted
from zc_search._utils.text import install_hint
from zc_search.benchmarks.base import Benchmark
from zc_search.config.metrics import DRIFTS, RETAINED
from zc_search.errors import BenchmarkError, DataError
from zc_search.spaces import Architecture

DISTRIBUTION = "analog-nasbench"
_MODULE, _FILE = "analognasbench", "data.anb"
_EPOCHS = 200

_SECONDS = dict(zip(DRIFTS, (60, 3600, 86400, 2592000), strict=True))
_ATTRIBUTES = {  # in the file, by metric
    "float_accuracy": "baseline_accuracy",
    "int8_accuracy": "ptq_accuracy",
    "qat_accuracy": "qat_accuracy",
    "noisy_accuracy": "noisy_accuracy",
    "analog_accuracy": "analog_accuracy",
}
_DRIFTED = {
    f"{ours}_{drift}_accuracy": f"{theirs}_drift_{seconds}"
    for ours, theirs in (("noisy", "baseline"), ("analog", "analog"))
    for drift, seconds in _SECONDS.items()
}


class AnalogNASBench(Benchmark):
    """The packaged table; a query takes microseconds."""

    name = "analog"
    kind: ClassVar[type[Any]] = Architecture
    datasets = ("cifar10",)
    elsewhere = "; 'nasbench201' has validation accuracies and training times"
    budgets = (_EPOCHS,)
    split = "cifar10/test"
    _known = (*_ATTRIBUTES, *_DRIFTED, *(f"{name}_retention" for name in RETAINED))

    def __init__(self, dataset: str = "cifar10") -> None:
        if dataset not in self.datasets:
            raise BenchmarkError.unknown("dataset", dataset, self.datasets)
        try:
            self.fingerprint = f"{DISTRIBUTION} {version(DISTRIBUTION)}"
        except PackageNotFoundError:
            raise _unusable("is not installed") from None
        self.dataset = dataset
        self.provenance = (
            f"Each architecture was trained once for {_EPOCHS} epochs on CIFAR-10 and tested, also "
            "quantised and on a simulated analog chip, by Benmeziane et al. 2025 (arXiv "
            f"2506.18495); figures as {self.fingerprint} ships them."
        )
        spec = find_spec(_MODULE)  # finds without importing
        if spec is None or not spec.submodule_search_locations:
            raise _unusable(f"is installed without its module {_MODULE}")
        self._order, self._columns = _read(Path(spec.submodule_search_locations[0], _FILE))

    def _seeds(self, row: int, epochs: int) -> list[int]:
        return [0]

    def _figures(
        self, row: int, metrics: Sequence[str], seed: int | None, epochs: int, after: int | None
    ) -> list[float]:
        return [self._columns[metric].item(row) for metric in metrics]

    def _column(self, metric: str, epochs: int) -> NDArray[np.float64]:
        return self._columns[metric]


def _unusable(why: str) -> BenchmarkError:
    hint = install_hint("analog")
    message = f"the benchmark 'analog' comes with {DISTRIBUTION}, which {why}: {hint}"
    return BenchmarkError(message, given="analog", hint=hint)


@cache
def _read(path: Path) -> tuple[NDArray[np.int64], dict[str, NDArray[np.float64]]]:
    """Return the table's order and columns.

    It is {six of NASLib's digits: an object of the figures}.
    """

    class Plain:
        """What both of the file's classes are here: attributes."""

    names = ("Architecture", "DriftMeasurement")
    try:
        allowed = {(f"{_MODULE}.data", name): Plain for name in names}
        table: dict[Any, Any] = load_restricted(path, allowed, bounded=False)
        order = [Architecture.from_codes([*key], "naslib").index for key in table]
        rows = [vars(row) for _, row in zip(range(5**6), table.values(), strict=True)]
        columns = {m: np.array([float(r[a]) for r in rows]) for m, a in _ATTRIBUTES.items()}
        for metric, attribute in _DRIFTED.items():
            columns[metric] = np.array([float(row[attribute].value) for row in rows])
        for name in RETAINED:
            kept = columns[f"{name}_accuracy"] / columns["float_accuracy"]
            columns[f"{name}_retention"] = 100 * kept
    except (AttributeError, LookupError, TypeError, ValueError, DataError) as error:
        raise _unusable(f"has in {path} not the table that zc-search knows ({error})") from error
    return np.array(order), columns
