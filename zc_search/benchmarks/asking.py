"""One architecture looked up in full: what a person asks a benchmark, and the answer as a value."""

import re
from typing import Any, Literal, NamedTuple

from zc_search.benchmarks.base import Benchmark, Result
from zc_search.benchmarks.trial_benchmark import TrialBenchmark
from zc_search.errors import ArchitectureError, BenchmarkError
from zc_search.spaces import OPERATIONS, AnyArchitecture, Architecture, read_architecture

Notation = Literal["benchmark", "mase", "naslib"]

_CODES = re.compile(r"[\[(]?\s*(\d+(?:\s*[, ]\s*\d+){5})\s*[\])]?")


class Answer(NamedTuple):
    """What a benchmark knows of an architecture.

    Attributes:
        architecture: What was asked for.
        number: Its place in the benchmark's own order.
        epochs: Length of the training.
        after: Epochs after which it was looked at; None for the end.
        split: What it was judged on.
        means: Each metric's mean over the seeds; none where one seed was asked for.
        seeds: Each metric by the name of the training seed; only the seed that was asked for.
        ranks: Each metric's place among all architectures, 1 being best; none where one seed,
            another moment than the end or another training than the longest was asked for.
    """

    architecture: AnyArchitecture
    number: int
    epochs: int
    after: int | None
    split: str
    means: dict[str, float]
    seeds: dict[str, dict[str, float]]
    ranks: dict[str, int]


def find_architecture(
    benchmark: Benchmark | None, text: str, notation: Notation = "benchmark"
) -> AnyArchitecture:
    """Read an architecture as a person writes it.

    Args:
        benchmark: Whose order a number counts in; None where no number is allowed.
        text: A string of any search space, a number, or the six operations of a cell as numbers
            in the order of its string, such as ``3,3,4,1,3,1``.
        notation: What these six mean: the benchmark's own numbers, MASE's or NASLib's.

    Raises:
        ArchitectureError: It names no architecture.
    """
    text = text.strip()
    if text.isdecimal():
        if benchmark is None:
            raise ArchitectureError(f"{text!r}: a number has to say of which benchmark")
        return benchmark.architecture(_integer(text))
    if codes := _CODES.fullmatch(text):
        numbers = tuple(_integer(code) for code in re.findall(r"\d+", codes[1]))
        if notation == "mase":
            return Architecture.from_mase(numbers)
        if notation == "naslib":
            return Architecture.from_naslib(numbers)
        if max(numbers) >= len(OPERATIONS):
            meaning = ", ".join(f"{code} {name}" for code, name in enumerate(OPERATIONS))
            raise ArchitectureError(f"{text!r}: operations are {meaning}")
        return Architecture(tuple(OPERATIONS[code] for code in numbers))
    return read_architecture(text)


def space_of(text: str) -> str:
    """Return the search space that an architecture's form means; a number means a cell.

    Raises:
        ArchitectureError: It has the form of none.
    """
    text = text.strip()
    if text.isdecimal() or _CODES.fullmatch(text):
        return Architecture.space
    return read_architecture(text).space


def ask(
    benchmark: Benchmark,
    architecture: AnyArchitecture,
    *,
    split: str | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    after: int | None = None,
) -> Answer:
    """Look everything up that a benchmark knows of an architecture.

    Args:
        benchmark: Any.
        architecture: One of its search space.
        split: Only this one's metrics.
        epochs: Length of the training; by default the benchmark's longest.
        seed: Only this training, as for `Benchmark.query`.
        after: Look after so many epochs, out of the learning curves.

    Raises:
        BenchmarkError: What is asked for is not there; what is.
    """
    options: dict[str, Any] = {"epochs": epochs}
    if after is not None:
        if not isinstance(benchmark, TrialBenchmark):
            raise BenchmarkError(f"after={after}: {benchmark.name} has no learning curves here")
        options["after"] = after
    wanted = None if split is None else set(benchmark.split_metrics(split))

    def figures(result: Result) -> dict[str, float]:
        return {name: figure for name, figure in result.items() if wanted is None or name in wanted}

    mean = benchmark.query(architecture, **options)
    by_seed = {}
    for at in range(mean.seeds) if seed is None else (seed,):
        result = benchmark.query(architecture, seed=at, **options)
        by_seed[_seed_name(benchmark, architecture, result)] = figures(result)
    means = figures(mean) if seed is None else {}
    at_the_end = after is None and mean.epochs == benchmark.budgets[-1]
    return Answer(
        mean.architecture,
        benchmark.index(architecture),
        mean.epochs,
        after,
        mean.split,
        means,
        by_seed,
        {name: benchmark.rank(architecture, name) for name in means if at_the_end},
    )


def _integer(digits: str) -> int:
    try:
        return int(digits)
    except ValueError:  # Python reads some thousands
        raise ArchitectureError(
            f"a number of {len(digits):,} digits is no architecture's"
        ) from None


def _seed_name(benchmark: Benchmark, architecture: AnyArchitecture, result: Result) -> str:
    """Return what the benchmark calls a training seed, or its number where it does not say."""
    if isinstance(benchmark, TrialBenchmark) and result.seed is not None:
        return str(benchmark.seeds(architecture, result.epochs)[result.seed])
    return str(result.seed)
