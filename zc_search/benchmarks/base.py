"""What a tabular benchmark answers, whichever file its figures come from."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import isnan, nan
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from zc_search.config.metrics import ALIASES, METRICS, unit_of
from zc_search.errors import ArchitectureError, BenchmarkError
from zc_search.evaluation import Ceiling
from zc_search.proxies.catalogue import Direction
from zc_search.spaces import AnyArchitecture

if TYPE_CHECKING:  # pandas costs more time to import than the whole table to open
    import pandas as pd

_SPLITS = ("train", "val", "test", "valtest")


@dataclass(frozen=True, eq=False)
class Result(Mapping[str, float]):
    """What training an architecture gave: a read-only mapping of metric to figure."""

    architecture: AnyArchitecture
    dataset: str
    split: str  # what the accuracy was measured on, in the benchmark's names
    epochs: int  # of the training; 0 where the table does not say
    seeds: int  # how many the accuracy is the mean of; 1 if one was picked
    seed: int | None  # picked, counted from 0, or None for the mean of all
    _figures: dict[str, float] = field(repr=False)

    def __getitem__(self, metric: str) -> float:
        return self._figures[metric]

    def __iter__(self) -> Iterator[str]:
        return iter(self._figures)

    def __len__(self) -> int:
        return len(self._figures)

    def __str__(self) -> str:
        seeds = f"mean of {self.seeds} seeds" if self.seeds > 1 else f"seed {self.seed or 0}"
        figures = (f"{name} {v:.6g} {unit_of(name)}" for name, v in self.items())
        trained = f"{self.dataset}, {self.epochs} epochs, {seeds}" if self.epochs else self.dataset
        return f"{self.architecture}, {trained}: {', '.join(map(str.rstrip, figures)) or 'nothing'}"


class Simulated(NamedTuple):
    """What `Benchmark.simulate_train_eval` returns, in percent and seconds."""

    val_accuracy: float
    latency: float
    time_cost: float
    total_time: float


class BudgetWarning(UserWarning):
    """A benchmark has no trainings as long as asked for."""


class Lookup(Protocol):
    """What a search asks for accuracies, wherever they come from."""

    provenance: str
    fingerprint: str
    per_function: bool  # whether all architectures of one function have one answer, or each its own

    def query(self, architecture: AnyArchitecture) -> Mapping[str, float]:
        """Return an architecture's figures by metric; a BenchmarkError or ArchitectureError."""

    def require(self, metrics: Iterable[str]) -> None:
        """Refuse, with a BenchmarkError, what is known beforehand to lack a metric."""


class Benchmark(ABC):
    """A look-up of trained architectures, on one data set.

    Attributes:
        kind: The class of its architectures.
        datasets: The data sets that there are results on; see `on`.
        elsewhere: Where figures are to be had that it lacks, to end a sentence with.
        has_curves: Whether it can say what a metric was after each epoch.
        of_trials_alone: Whether it holds what a search made and no more.
        path: Its table; None of a packaged one.
        ceilings: By metric and subset of `zc_search.evaluation`, the largest Kendall's tau that
            the noise of training seeds allows, as far as it was estimated.
        budgets: The lengths of the trainings that there are, in epochs.
        epochs: The length that is meant where none is named; None for the longest.
        split: What the accuracy was measured on, in the benchmark's names.
        provenance: One sentence: what was trained on what, judged on what, with how many seeds,
            and which table says so.
        fingerprint: Short text that differs where the figures may; a study keeps it.
        used_time: Seconds that `simulate_train_eval` has counted; may be set back to 0.
    """

    name: str
    kind: type[Any]
    datasets: Sequence[str]
    elsewhere = ""
    has_curves = False
    per_function = False
    of_trials_alone = False
    path: Path | None = None
    ceilings: Mapping[str, Mapping[str, Ceiling]] = {}
    dataset: str
    budgets: tuple[int, ...]
    epochs: int | None = None
    split: str
    provenance: str
    fingerprint: str
    used_time: float = 0.0
    _known: Sequence[str]  # metrics, of which the table may lack some
    _order: NDArray[np.int64]  # of each row, the architecture's `index`
    _judged: Mapping[str, str] = {}  # splits in the benchmark's own names, and in ours

    @abstractmethod
    def _seeds(self, row: int, epochs: int) -> list[int]:
        """Return the names of an architecture's training seeds, ascending."""

    @abstractmethod
    def _figures(
        self, row: int, metrics: Sequence[str], seed: int | None, epochs: int, after: int | None
    ) -> list[float]:
        """Return `_known` metrics of a seed's training, or of the mean; NaN if unknown."""

    @abstractmethod
    def _column(self, metric: str, epochs: int) -> NDArray[np.float64]:
        """Return a metric of every architecture, mean of its seeds."""

    def _curve(self, row: int, metric: str, seed: int | None, epochs: int) -> NDArray[np.float64]:
        """Return what `curve` does; asked for only where `has_curves`."""
        raise NotImplementedError

    # Architectures --------------------------------------------------------------------------------

    def on(self, dataset: str) -> "Benchmark":
        """Return the same table's look-up on another of its data sets, or raise BenchmarkError."""
        opened: Callable[..., Benchmark] = type(self)
        other = opened(dataset) if self.path is None else opened(self.path, dataset)
        return other if self.epochs is None else other.of_epochs(self.epochs)

    def of_epochs(self, epochs: int) -> Self:
        """Make trainings of this length the default, or warn that there are none; return self."""
        if epochs not in self.budgets:
            lacks = f"{self.fingerprint} has no trainings of {epochs} epochs on {self.dataset}"
            message = f"{lacks}, so those of {self.budgets[-1]} are looked up"
            warnings.warn(message, BudgetWarning, stacklevel=3)
        elif epochs != self.budgets[-1]:
            self.epochs = epochs
            self.fingerprint += f", {epochs} epochs"
            self.provenance += f" Looked up are those of {epochs} epochs."
        return self

    def index(self, architecture: AnyArchitecture | str) -> int:
        """Return an architecture's number in the benchmark's own order, from 0."""
        cell = self._parsed(architecture)
        if (row := self._rows.get(cell.index)) is None:
            raise ArchitectureError(f"{cell} is not among the {len(self):,} of {self.fingerprint}")
        return row

    def architecture(self, index: int) -> AnyArchitecture:
        """Return the architecture of a number in that order, or raise ArchitectureError."""
        if index not in range(len(self)):
            raise ArchitectureError(f"benchmark index {index!r} is not in 0 to {len(self) - 1}")
        return self._at(int(index))

    def __len__(self) -> int:
        """Return how many architectures the benchmark holds."""
        return len(self._order)

    def __iter__(self) -> Iterator[AnyArchitecture]:
        """Return every architecture, in the benchmark's own order."""
        return map(self._at, range(len(self)))

    def __getitem__(self, index: int) -> AnyArchitecture:
        """Return an architecture as a list does: from the end if negative, else IndexError."""
        return self._at(range(len(self))[index])

    def __contains__(self, architecture: object) -> bool:
        """Whether the benchmark holds an architecture, or one of its string."""
        return self._row(architecture) is not None

    def _row(self, architecture: Any) -> int | None:
        try:
            return self.index(architecture)
        except (ArchitectureError, BenchmarkError):
            return None

    def _at(self, row: int) -> AnyArchitecture:
        return self.kind.from_index(int(self._order[row]))  # type: ignore[no-any-return]

    @cached_property
    def _rows(self) -> dict[int, int]:
        return {number: row for row, number in enumerate(self._order.tolist())}

    def _parsed(self, architecture: AnyArchitecture | str) -> AnyArchitecture:
        if isinstance(architecture, self.kind):
            return architecture  # type: ignore[no-any-return]
        return self.kind.from_string(str(architecture))  # type: ignore[no-any-return]  # or refuses

    # Figures --------------------------------------------------------------------------------------

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names that `query`, `rank` and `best` know."""
        return tuple(self._known)

    @property
    def directions(self) -> dict[str, Direction]:
        """The metrics, and which way each one is better."""
        return {metric: self._direction(metric) for metric in self.metrics}

    def _direction(self, metric: str) -> Direction:
        return METRICS[metric].direction

    def require(self, metrics: Iterable[str]) -> None:
        """Refuse, with a BenchmarkError, metrics that it has of no architecture."""
        for metric in metrics:
            self.column(metric)

    def of(self, architectures: Iterable[str], metric: str) -> NDArray[np.float64]:
        """Return a metric of architectures, means of their seeds; NaN where it is not known."""
        column, rows = self.column(metric), map(self._row, architectures)
        return np.array([nan if row is None else column[row] for row in rows], dtype=float)

    def query(
        self,
        architecture: AnyArchitecture | str,
        *,
        seed: int | np.random.Generator | None = None,
        epochs: int | None = None,
        metrics: Sequence[str] | None = None,
        after: int | None = None,
    ) -> Result:
        """Return what training an architecture gave.

        Args:
            architecture: An architecture or its string.
            seed: One training seed, counted from 0 or by its name (777, 888, 999), or a generator
                to pick one at random; by default the mean of all.
            epochs: Length of the training; by default `self.epochs`, the benchmark's longest.
            metrics: Names to return, as here or as MASE writes them; by default all there are.
            after: Epochs after which to look, 1 to `epochs`; by default at the end.

        Raises:
            ArchitectureError: A string that names no architecture.
            BenchmarkError: A seed, budget or metric that the benchmark does not hold.
        """
        architecture = self._parsed(architecture)
        row, epochs = self.index(architecture), self._budget(epochs)
        names = self._seeds(row, epochs)
        when = "of" if after is None else f"after {after} of"
        of = f"of {architecture} on {self.dataset} {when} {epochs} epochs"
        if not names:
            raise BenchmarkError(f"{self.fingerprint} has no training {of}", given="training")
        if after is not None:
            self._check_curves(f"after={after}")
            if after not in range(1, epochs + 1):
                raise BenchmarkError(f"after={after!r}: a training has epochs 1 to {epochs}")
        picked = self._pick(seed, names)
        wanted = (metrics,) if isinstance(metrics, str) else metrics
        known = self._known if wanted is None else [self._metric(metric) for metric in wanted]
        named = None if picked is None else names[picked]
        values = self._figures(row, known, named, epochs, after)
        shown = known if wanted is None else wanted
        figures = {m: value for m, value in zip(shown, values, strict=True) if not isnan(value)}
        for metric in wanted or ():
            if metric not in figures:
                raise BenchmarkError(f"{self.fingerprint} has no {metric} {of}", given=metric)
        seeds = len(names) if picked is None else 1
        return Result(architecture, self.dataset, self.split, epochs, seeds, picked, figures)

    def simulate_train_eval(
        self,
        architecture: AnyArchitecture | str,
        *,
        epochs: int | None = None,
        seed: int | np.random.Generator | None = None,
        account_time: bool = True,
    ) -> Simulated:
        """Return what training and validating an architecture gives, and what it would have cost.

        As NATS-Bench's method of that name: validation accuracy (percent), latency (seconds a
        batch), ``time_cost`` (seconds of training, and of one validation where known) and
        ``total_time``, that of all calls with `account_time` so far. NaN where the table does not
        say. Arguments and errors are those of `query`.
        """
        trained = self._validated().query(architecture, seed=seed, epochs=epochs)
        cost = trained.get("train_seconds", nan) + trained.get("val_seconds_per_epoch", 0.0)
        if account_time:
            self.used_time += cost
        measured = self.query(architecture, epochs=epochs).get("latency_seconds", nan)
        return Simulated(trained.get("val_accuracy", nan), measured, cost, self.used_time)

    def _validated(self) -> "Benchmark":
        """Return the look-up of the trainings whose validation accuracy this one gives."""
        return self

    def seeds(self, architecture: AnyArchitecture | str, epochs: int | None = None) -> list[int]:
        """Return the names of an architecture's training seeds: 777, 888, 999, or 0, 1, 2."""
        return self._seeds(self.index(architecture), self._budget(epochs))

    def curve(
        self,
        architecture: AnyArchitecture | str,
        metric: str = "val_accuracy",
        *,
        seed: int | None = None,
        epochs: int | None = None,
    ) -> NDArray[np.float64]:
        """Return a metric after each epoch, (epochs,): the mean of all seeds, or one of them.

        Seconds are those that an epoch took; where a split was judged at the end only, the rest is
        NaN. Raises BenchmarkError: no such seed, budget or metric, or no learning curves.
        """
        self._check_curves("curve")
        row, epochs = self.index(architecture), self._budget(epochs)
        names = self._seeds(row, epochs)
        picked = self._pick(seed, names)
        named = None if picked is None else names[picked]
        return self._curve(row, self._metric(metric), named, epochs)

    def column(self, metric: str, epochs: int | None = None) -> NDArray[np.float64]:
        """Return a metric of every architecture, mean of its seeds, in the benchmark's order.

        It is read-only. An architecture that was not trained has NaN.
        """
        column = self._column(self._metric(metric), self._budget(epochs))
        if not np.isfinite(column).any():
            raise self._lacks(metric)
        column.flags.writeable = False
        return column

    def split_metrics(self, split: str) -> tuple[str, ...]:
        """Return the metrics of one split: ``train``, ``val``, ``valtest``, or ``x-valid``."""
        known = dict.fromkeys(metric.partition("_")[0] for metric in self.metrics)
        splits = {name: name for name in known if name in _SPLITS} | dict(self._judged)
        own = splits.get("val" if split == "valid" else split)
        if own is None:
            raise BenchmarkError.unknown("split", split, splits)
        return tuple(name for name in self.metrics if name.startswith(f"{own}_"))

    def rank(self, architecture: AnyArchitecture | str, metric: str = "val_accuracy") -> int:
        """Return an architecture's place among all: 1 is best, ties share the better place."""
        values = self._ascending(metric)
        own = values[self.index(architecture)]
        if np.isnan(own):
            lacks = f"the benchmark has no {metric} of {architecture} on {self.dataset}"
            raise BenchmarkError(f"{lacks}, so it has no place among the others")
        return 1 + int(np.count_nonzero(values > own))

    def known(self, metric: str = "val_accuracy") -> int:
        """Return among how many architectures `rank` is: those that have the metric."""
        return int(np.isfinite(self.column(metric)).sum())

    def best(self, metric: str = "val_accuracy") -> tuple[AnyArchitecture, float]:
        """Return the architecture that is best in a metric (of ties the first), and its figure."""
        at = int(np.nanargmax(self._ascending(metric)))
        return self.architecture(at), float(self.column(metric)[at])

    def table(self) -> "pd.DataFrame":
        """Return every architecture's metrics, means of its seeds, by its string and in order."""
        import pandas as pd

        index = pd.Index(map(str, self), name="architecture")
        return pd.DataFrame({metric: self.column(metric) for metric in self.metrics}, index=index)

    def _ascending(self, metric: str) -> NDArray[np.float64]:
        """Return a column whose highest figure is the best."""
        maximize = self._direction(self._metric(metric)) == "maximize"
        return self.column(metric) * (1 if maximize else -1)

    # What is asked for ----------------------------------------------------------------------------

    def _budget(self, epochs: int | None) -> int:
        if epochs is None:
            return self.epochs or self.budgets[-1]
        if epochs not in self.budgets:
            known = " or ".join(map(str, self.budgets))
            message = f"trainings on {self.dataset} are of {known} epochs{self.elsewhere}"
            raise BenchmarkError(f"epochs={epochs!r}: {message}")
        return epochs

    def _metric(self, name: str) -> str:
        """Return one of `_known` in its own spelling."""
        metric = ALIASES.get(name, name)
        if metric in self._known:
            return metric
        if metric in METRICS:
            raise self._lacks(name)
        raise BenchmarkError.unknown("metric", name, self.metrics)

    def _pick(self, seed: int | np.random.Generator | None, names: list[int]) -> int | None:
        """Return which of an architecture's trainings a seed means, counted from 0."""
        if seed is None:
            return None
        if isinstance(seed, np.random.Generator):
            return int(seed.integers(len(names)))
        if seed in names:
            return names.index(seed)
        if seed in range(len(names)):
            return int(seed)
        named = "" if 0 in names else f" or {', '.join(map(str, names))}"
        raise BenchmarkError(
            f"seed={seed!r}: on {self.dataset} it was trained with {len(names)} seeds, "
            f"0 to {len(names) - 1}{named}"
        )

    def _check_curves(self, asked: str) -> None:
        if not self.has_curves:
            raise BenchmarkError(
                f"{asked}: {self.name} has no learning curves here{self.elsewhere}"
            )

    def _lacks(self, metric: str) -> BenchmarkError:
        held = f"it has {', '.join(self.metrics)}{self.elsewhere}"
        message = f"{self.fingerprint} does not hold {metric} on {self.dataset}; {held}"
        return BenchmarkError(message, given=metric, allowed=self.metrics)
