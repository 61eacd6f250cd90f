"""One training of one architecture: what the benchmark's ``ResultsCount`` knows, as numbers.

Figures of the end, curves of every epoch. Accuracies are in percent, times in seconds, FLOPs and
parameters in millions. What a training lacks is NaN: the older trainings judged some splits after
the last epoch only, and version 1.0 has no times for some.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from math import isnan
from operator import itemgetter
from typing import Any, NamedTuple

from zc_search._utils.pickles.limits import shown
from zc_search.errors import BenchmarkError

DATASETS = ("cifar10-valid", "cifar10", "cifar100", "ImageNet16-120")
"""What was trained on, in the benchmark's names; a trial's data set is a number into these."""

SETS = ("train", "x-valid", "x-test", "ori-test")
"""What was judged on, in the benchmark's names."""

CURVES = tuple(f"{name}_{what}" for name in SETS for what in ("loss", "accuracy", "seconds"))
"""The curves of a trial: loss, accuracy, and the seconds that each epoch took."""

COSTS = ("flops", "params", "latency")

FIGURES = (*CURVES, *COSTS)
"""The figures of a trial: each curve's last value, of the seconds the sum over all epochs."""

_NAN = float("nan")
_LONGEST = 10_000  # epochs; more are a damaged file's
_SEEDS = range(2**31)


class Trial(NamedTuple):
    """One training.

    Attributes:
        dataset: Number into `DATASETS`.
        epochs: Length of the training.
        seed: Of the training, as the benchmark names it: 777, 888, 999.
        figures: One for each of `FIGURES`.
        curves: One list of `epochs` numbers for each of `CURVES`, or None where nothing is known.
    """

    dataset: int
    epochs: int
    seed: int
    figures: tuple[float, ...]
    curves: tuple[list[float] | None, ...]


def trials_of(budget: int, state: Mapping[str, Any], text: str) -> Iterator[Trial]:
    """Yield the trainings in a state dict of ``ArchResults``.

    Args:
        budget: Epochs that all of them must have.
        state: What ``ArchResults.state_dict()`` gives.
        text: The architecture's string.

    Raises:
        BenchmarkError: It is another architecture's, or not such a dict.
    """
    try:
        if state["arch_str"] != text:
            raise BenchmarkError(f"its results are of {shown(state['arch_str'])}")
        for dataset, seeds in state["dataset_seed"].items():
            if dataset not in DATASETS:
                raise BenchmarkError(
                    f"it was trained on {shown(dataset)}, not on one of {DATASETS}"
                )
            for seed in seeds:
                # a nest of tuples could not even be looked up
                if type(seed) is not int or seed not in _SEEDS:  # tuples may nest without an end
                    raise BenchmarkError(
                        f"a training seed must be an int below {_SEEDS.stop:,}, not {shown(seed)}"
                    )
                yield _trial(budget, dataset, seed, state["all_results"][dataset, seed])
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
        RecursionError,
    ) as error:
        raise BenchmarkError(
            "its results are not as the benchmark writes them "
            f"({type(error).__name__}: {str(error)[:200]})"
        ) from error


def _trial(budget: int, dataset: str, seed: int, result: Mapping[str, Any]) -> Trial:
    epochs = result["epochs"]
    if type(epochs) is not int or epochs != budget or not 1 <= epochs <= _LONGEST:
        raise BenchmarkError(f"a training of {shown(epochs)} epochs is listed under {budget}")
    curves: list[list[float] | None] = [
        _curve(result[key], range(epochs))
        for key in ("train_losses", "train_acc1es", "train_times")
    ]
    for name in SETS[1:]:
        keys = _keys(name, epochs)
        known = name in result["eval_names"]
        curves += [
            _curve(result[key], keys) if known else None
            for key in ("eval_losses", "eval_acc1es", "eval_times")
        ]
    figures = []
    for name, curve in zip(CURVES, curves, strict=True):
        if curve is None:
            figures.append(_NAN)
        else:
            figures.append(sum(curve) if name.endswith("seconds") else curve[-1])
    latency = result["latency"]
    figures += [
        float(result["flop"]),
        float(result["params"]),
        float(sum(latency) / len(latency)) if latency else _NAN,
    ]
    return Trial(DATASETS.index(dataset), epochs, int(seed), tuple(figures), tuple(curves))


def _curve(values: Mapping[Any, Any] | None, keys: Sequence[Any]) -> list[float] | None:
    if not values:
        return None
    try:
        found = itemgetter(*keys)(values)
        curve = list(found) if len(keys) > 1 else [found]  # one is not put into a tuple
    except KeyError:
        curve = [values.get(key, _NAN) for key in keys]
        if all(isnan(value) for value in curve):
            return None
    return [float(value) for value in curve]


@lru_cache(maxsize=32)
def _keys(name: str, epochs: int) -> tuple[str, ...]:
    return tuple(f"{name}@{epoch}" for epoch in range(epochs))
