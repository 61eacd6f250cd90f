"""What a tabular benchmark answers, whichever file its figures come from."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from zc_search.errors import ArchitectureError, BenchmarkError, unknown_name
from zc_search.spaces import AnyArchitecture

if TYPE_CHECKING:  # pandas costs more time to import than the whole table to open
    import pandas as pd

Direction = Literal["maximize", "minimize"]


@dataclass(frozen=True, eq=False)
class Result(Mapping[str, float]):
    """What training an architecture gave: a read-only mapping of metric to figure.

    Attributes:
        architecture: What was trained.
        dataset: The data set asked for.
        split: What the accuracy was measured on, in the benchmark's names.
        epochs: Length of the training.
        seeds: How many training seeds the accuracy is the mean of; 1 if one was picked.
        seed: The training seed picked, counted from 0, or None for the mean of all.
    """

    architecture: AnyArchitecture
    dataset: str
    split: str
    epochs: int
    seeds: int
    seed: int | None
    _figures: dict[str, float] = field(repr=False)

    def __getitem__(self, metric: str) -> float:
        return self._figures[metric]

    def __iter__(self) -> Iterator[str]:
        return iter(self._figures)

    def __len__(self) -> int:
        return len(self._figures)


class Benchmark(ABC):
    """A look-up of trained architectures, on one data set.

    Attributes:
        name: The benchmark's name.
        directions: The metrics, and which way each one is better.
        aliases: Other names that metrics are known by.
        budgets: The lengths of the trainings that there are, in epochs; the last one is the
            default.
        dataset: The data set's name.
        provenance: One sentence: what was trained on what, judged on what, with how many seeds.
        fingerprint: Short text that differs where the figures may; a study keeps it, so that none
            goes on with the accuracies of another table.
    """

    name: ClassVar[str]
    directions: ClassVar[Mapping[str, Direction]]
    aliases: ClassVar[Mapping[str, str]] = {}
    budgets: tuple[int, ...]
    dataset: str
    provenance: str
    fingerprint: str

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names that `query`, `rank` and `best` know."""
        return tuple(self.directions)

    @abstractmethod
    def query(
        self,
        architecture: AnyArchitecture | str,
        *,
        seed: int | None = None,
        epochs: int | None = None,
        metrics: Sequence[str] | None = None,
    ) -> Result:
        """Return what training an architecture gave.

        Args:
            architecture: An architecture or its string.
            seed: One training seed, counted from 0; by default the mean of all.
            epochs: Length of the training; by default the benchmark's longest.
            metrics: Names to return; by default all that the benchmark has.

        Raises:
            ArchitectureError: A string that names no architecture.
            BenchmarkError: A seed, budget or metric that the benchmark does not hold.
        """

    @abstractmethod
    def column(self, metric: str) -> NDArray[np.float64]:
        """Return a metric of every architecture, mean of its seeds, in the benchmark's order.

        Raises:
            BenchmarkError: A metric that the benchmark does not hold.
        """

    @abstractmethod
    def index(self, architecture: AnyArchitecture | str) -> int:
        """Return an architecture's number in the benchmark's own order, from 0."""

    @abstractmethod
    def architecture(self, index: int) -> AnyArchitecture:
        """Return the architecture of a number in the benchmark's own order.

        Raises:
            ArchitectureError: The order has no such number.
        """

    def split_metrics(self, split: str) -> tuple[str, ...]:
        """Return the metrics of one split: ``train``, ``val`` or ``valid``, ``test``.

        Raises:
            BenchmarkError: A split that the benchmark does not have; those that it has.
        """
        splits = dict.fromkeys(name.partition("_")[0] for name in self.metrics)
        splits = {name: None for name in splits if name in ("train", "val", "test", "valtest")}
        own = "val" if split == "valid" else split
        if own not in splits:
            raise BenchmarkError(unknown_name("split", split, splits))
        return tuple(name for name in self.metrics if name.startswith(f"{own}_"))

    def __contains__(self, architecture: object) -> bool:
        """Whether the benchmark holds an architecture, or one of its string."""
        try:
            self.index(architecture)  # type: ignore[arg-type]
        except (ArchitectureError, BenchmarkError):
            return False
        return True

    @abstractmethod
    def __len__(self) -> int:
        """Return how many architectures the benchmark holds."""

    def rank(self, architecture: AnyArchitecture | str, metric: str = "val_accuracy") -> int:
        """Return an architecture's place among all: 1 is best, ties share the better place.

        Raises:
            ArchitectureError: A string that names no architecture.
            BenchmarkError: A metric that the benchmark does not hold, or not of this architecture.
        """
        values = self.column(metric)
        own = values[self.index(architecture)]
        if np.isnan(own):
            raise BenchmarkError(
                f"the benchmark has no {metric} of {architecture} on {self.dataset}, so it has no "
                "place among the others"
            )
        better = values > own if self._direction(metric) == "maximize" else values < own
        return 1 + int(np.count_nonzero(better))

    def best(self, metric: str = "val_accuracy") -> tuple[AnyArchitecture, float]:
        """Return the architecture that is best in a metric (of ties the first), and its figure.

        Raises:
            BenchmarkError: A metric that the benchmark does not hold.
        """
        values = self.column(metric)
        upwards = self._direction(metric) == "maximize"
        at = int(np.nanargmax(values) if upwards else np.nanargmin(values))
        return self.architecture(at), float(values[at])

    def _direction(self, metric: str) -> Direction:
        return self.directions[self.aliases.get(metric, metric)]

    def table(self) -> "pd.DataFrame":
        """Return every architecture's metrics, means of its seeds.

        The index is the architecture string, in the benchmark's own order.
        """
        import pandas as pd

        strings = [str(self.architecture(i)) for i in range(len(self))]
        index = pd.Index(strings, name="architecture")
        return pd.DataFrame({metric: self.column(metric) for metric in self.metrics}, index=index)
