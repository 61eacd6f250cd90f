"""A table of the user's own: what training gave, or was measured, an architecture a row."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from zc_search.benchmarks.base import Benchmark
from zc_search.config.metrics import ALIASES, METRICS, guessed_direction
from zc_search.errors import ArchitectureError, BenchmarkError, nearest
from zc_search.proxies.catalogue import Direction, default_direction
from zc_search.spaces import AnyArchitecture, AnySpace, FunctionSpace, read_architecture

if TYPE_CHECKING:
    import pandas as pd

    from zc_search.config import Config

KEY = "benchmark.name"
_COLUMN = "architecture"


class AccuracyTable(Benchmark):
    """A CSV or Parquet file, or a table: a column ``architecture``, and one a metric.

    Metrics have the names of `METRICS`, MASE's too, or any other, in which case their direction
    is given, or follows from the name. Accuracies are in percent. An architecture without a row
    has the figures of the first row that computes the same function.

    Args:
        table: The rows; whatever is no number is no metric.
        name: What to call it, such as the file's name.
        space: Of its architectures; by default the one that they are written as of.
        dataset: What it was trained on.
        directions: Of metrics that are not in `METRICS`.
        epochs: Length of the trainings; 0 where that is not known.
        about: The beginning of `provenance`, by default the file's name.
        first: Number of the first row, for messages; a CSV file's is 2.

    Raises:
        BenchmarkError: No such column, an architecture that is not of the space or there twice.
    """

    split = "as in the table"

    def __init__(
        self,
        table: "pd.DataFrame",
        name: str,
        *,
        space: AnySpace | None = None,
        dataset: str = "",
        directions: Mapping[str, Direction] | None = None,
        epochs: int = 0,
        about: str | None = None,
        first: int = 0,
    ) -> None:
        self.name, self.dataset = name, dataset
        self.datasets, self.budgets = (dataset,), (epochs,)
        self._table, self._first = table, first
        if _COLUMN not in table:
            raise self._lacks_column(_COLUMN, [*map(str, table.columns)])
        self._read: Callable[[str], AnyArchitecture] = space.read if space else read_architecture
        self._architectures = self._parse(table[_COLUMN].fillna("").astype(str).tolist())
        if isinstance(space, FunctionSpace):
            self._check_parameters(space)
        self.kind = space.kind if space else type(self._architectures[0])
        self._order = np.arange(len(self._architectures))
        self._ways, remarks = dict[str, Direction](), list[str]()
        self._values: dict[str, NDArray[np.float64]] = {}
        self._columns = self._metrics_of(directions or {}, remarks)
        self._known = tuple(self._columns)
        digest = sha256(table.to_csv(index=False).encode()).hexdigest()[:12]
        self.fingerprint = f"{Path(name).name}, sha256 {digest}"
        if about is None:
            about = f"Accuracies of {Path(name).name}, {len(self):,} architectures"
            alike = "the figures of the first that computes the same function"
            remarks.append(f"An architecture without a row has {alike}")
        self.provenance = ". ".join((about.removesuffix("."), *remarks)) + "."

    @classmethod
    def read(cls, path: str | Path, **more: Any) -> Self:
        """Read a ``.csv`` or ``.parquet`` file; see the class."""
        import pandas as pd

        path, hint = Path(path), None
        parquet = path.suffix == ".parquet"
        try:
            if parquet:
                table = pd.read_parquet(path)
            else:
                table = pd.read_csv(path, dtype={_COLUMN: str}, engine="python", index_col=False)
        except (ImportError, OSError, ValueError) as error:  # whatever a parser raises is one
            if isinstance(error, ImportError):
                why = hint = "needs the package pyarrow: pip install pyarrow"
            elif isinstance(error, FileNotFoundError):
                hint = nearest(path.name, [p.name for p in path.parent.glob("*")])
                why = "there is no such file" + (f"; did you mean {hint!r}?" if hint else "")
            else:
                hint = "a table is Parquet, or CSV in UTF-8 with commas, as pandas writes them"
                what = getattr(error, "strerror", None) or " ".join(str(error).split())
                why = f"cannot be read ({what}); {hint}"
            message = f"{KEY}: {path}: {why}"
            raise BenchmarkError(message, key=KEY, given=str(path), hint=hint) from error
        made = cls(table, str(path), first=0 if parquet else 2, **more)
        made.path = path
        return made

    @classmethod
    def of_trials(cls, config: "Config", trials: "pd.DataFrame", about: str = "") -> Self:
        """Return the accuracies that trials have by now, where they were made as they ran.

        Raises:
            BenchmarkError: No trial has one.
        """
        metric, source = config.benchmark.metric, config.benchmark.name
        names = [n for n in trials if n in METRICS or n in config.benchmark.directions]
        if metric not in names:
            message = f"{KEY}: {source!r}: no trial has a {metric}"
            raise BenchmarkError(message, key=KEY, given=metric)
        known = trials[np.isfinite(trials[metric].to_numpy(dtype=float, na_value=nan))]
        made = cls(
            known.drop_duplicates(_COLUMN)[[_COLUMN, *names]],
            source,
            dataset=config.dataset,
            directions=config.benchmark.directions,
            epochs=config.training.epochs if source == "train" else 0,
            about=about or f"Accuracies that {source!r} gave while the search ran",
        )
        made.of_trials_alone = True
        return made

    def _wrong(
        self,
        message: str,
        given: object,
        *,
        row: int | None = None,
        allowed: Iterable[str] = (),
        hint: str | None = None,
    ) -> BenchmarkError:
        where = "" if row is None else f"{self._at_row(row)}: "
        shown = f"{KEY}: {self.name} {where}{message}"
        return BenchmarkError(shown, key=KEY, given=given, allowed=allowed, hint=hint)

    def _lacks_column(self, name: str, known: Sequence[str]) -> BenchmarkError:
        message = f"has no column {name!r}; it has {', '.join(known) or 'none'}"
        return self._wrong(message, name, allowed=known, hint=nearest(name, known))

    def _at_row(self, row: int) -> str:
        return f"in line {row + self._first}" if self._first else f"in row {row}"

    # Architectures --------------------------------------------------------------------------------

    def _parse(self, texts: Sequence[str]) -> list[AnyArchitecture]:
        self._places: dict[str, int] = {}
        architectures: list[AnyArchitecture] = []
        for row, text in enumerate(texts):
            try:
                architecture = self._read(text)
            except ArchitectureError as error:
                raise self._wrong(str(error), text, row=row) from error
            if architectures and architecture.space != architectures[0].space:
                others = f"is of {architecture.space}, others are of {architectures[0].space}"
                raise self._wrong(f"{text!r} {others}", text, row=row)
            if (before := self._places.setdefault(str(architecture), row)) != row:
                hint = "keep one row of each, such as the mean of several trainings"
                places = f"{self._at_row(before)} and {self._at_row(row)}"
                message = f"has {architecture} twice, {places}; {hint}"
                raise self._wrong(message, str(architecture), hint=hint)
            architectures.append(architecture)
        if not architectures:
            raise self._wrong("has no row", 0)
        return architectures

    def _check_parameters(self, space: FunctionSpace) -> None:
        """Refuse parameters that a builder does not ask for; it takes milliseconds a row."""
        for row, architecture in enumerate(self._architectures):
            if architecture not in space:
                allowed, of = tuple(space.distributions()), f"architecture of {space.name}"
                message = f"{architecture} is no {of}, which asks for {', '.join(allowed)}"
                raise self._wrong(message, str(architecture), row=row, allowed=allowed)

    def _parsed(self, architecture: AnyArchitecture | str) -> AnyArchitecture:
        return self._read(architecture) if isinstance(architecture, str) else architecture

    def index(self, architecture: AnyArchitecture | str) -> int:
        """Return an architecture's row, from 0, or else the first one of its function."""
        wanted = self._parsed(architecture)
        row = self._places.get(str(wanted))
        row = self._functions.get(wanted.function_key) if row is None else row
        if row is None:
            raise ArchitectureError(f"{wanted} is not among the {len(self):,} of {self.name}")
        return row

    @cached_property
    def _functions(self) -> dict[str, int]:
        keys = [a.function_key for a in self._architectures]
        return {key: row for row, key in reversed([*enumerate(keys)])}

    def _at(self, row: int) -> AnyArchitecture:
        return self._architectures[row]

    # Metrics --------------------------------------------------------------------------------------

    def _metrics_of(self, given: Mapping[str, Direction], remarks: list[str]) -> dict[str, str]:
        """Return the column of each metric; say what was guessed, and what is none."""
        columns, guessed, others = dict[str, str](), list[str](), list[str]()
        for column in map(str, self._table.columns.drop(_COLUMN)):
            metric = ALIASES.get(column, column)
            way = given.get(column) or guessed_direction(metric)
            if default_direction(column) or way is None:
                others.append(column)
                continue
            if metric not in METRICS and column not in given:
                guessed.append(f"{column} ({way})")
            columns[metric], self._ways[metric] = column, way
        if guessed:
            remarks.append(f"By their names the better way is taken of {', '.join(guessed)}")
        if others:
            remarks.append(f"No metrics, by name or for want of a direction: {', '.join(others)}")
        return columns

    def _direction(self, metric: str) -> Direction:
        return self._ways[metric]

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names that `query`, `rank` and `best` know."""
        return tuple(m for m in self._known if np.isfinite(self._column(m, 0)).any())

    def require(self, metrics: Iterable[str]) -> None:
        """Refuse metrics that it lacks, or lacks anywhere, and accuracies that are none."""
        for metric in metrics:
            if metric not in self._known:
                raise self._lacks_column(metric, self._known)
            values = self._column(metric, 0)
            missing = np.flatnonzero(~np.isfinite(values))
            for row in missing[:1]:
                cell, hint = (
                    self._table[self._columns[metric]].iloc[row],
                    "leave rows without it out",
                )
                absent = cell is None or cell != cell
                shown = "is missing" if absent else f"is {str(cell)!r}, no number"
                count = f"{len(missing)} of {len(self):,} rows"
                raise self._wrong(f"{metric} {shown} ({count}); {hint}", cell, row=row, hint=hint)
            if metric.endswith("accuracy"):
                self._check_percent(metric, values)

    def _check_percent(self, metric: str, values: NDArray[np.float64]) -> None:
        for row in np.flatnonzero((values < 0) | (values > 100))[:1]:
            message = f"{metric} is {values[row]:g}; Allowed: 0 to 100, in percent"
            raise self._wrong(message, float(values[row]), row=row, allowed=("0 to 100",))
        if len(values) > 1 and values.max() <= 1:
            hint = "multiply by 100"
            message = f"has no {metric} above {values.max():g}, but they are in percent; {hint}"
            raise self._wrong(message, float(values.max()), allowed=("0 to 100",), hint=hint)

    def _seeds(self, row: int, epochs: int) -> list[int]:
        return [0]

    def _figures(
        self, row: int, metrics: Sequence[str], seed: int | None, epochs: int, after: int | None
    ) -> list[float]:
        return [float(self._column(metric, epochs)[row]) for metric in metrics]

    def _column(self, metric: str, epochs: int) -> NDArray[np.float64]:
        import pandas as pd

        if metric not in self._values:
            column = pd.to_numeric(self._table[self._columns[metric]], errors="coerce")
            self._values[metric] = column.to_numpy(dtype=float, na_value=nan)
        return self._values[metric]
