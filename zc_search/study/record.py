"""What a trial records, one JSON user attribute, and what is told of all of them from it."""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from optuna.study import Study
from optuna.trial import BaseTrial, FrozenTrial, TrialState
from pydantic import TypeAdapter

from zc_search._utils.text import between
from zc_search.config import Config
from zc_search.errors import StudyError

if TYPE_CHECKING:
    from zc_search.ensemble import Ensemble


RECORD = "zc_search"
"""The key of the user attribute that holds a trial's record."""

# The keys of the study's user attributes that hold
DATA = "zc_search_data"
"""Attribute of a study: the fingerprint of its batch."""
DEFINITIONS = "zc_search_definitions"
"""Attribute of a study: of each proxy what it means, `Proxy.definition`."""
ENSEMBLES = "zc_search_ensembles"  # the checksum of each ensemble that is an objective
ACCURACIES = "zc_search_accuracies"  # where they come from, with their fingerprint
NETWORKS = "zc_search_networks"  # what builds networks of somebody's own


@dataclass(frozen=True)
class TrialRecord:
    """Everything known of a trial's architecture."""

    architecture: str
    function_key: str  # equal for architectures that compute the same function
    proxies: Mapping[str, float] = field(default_factory=dict)  # all; may be NaN or infinite
    failures: Mapping[str, str] = field(default_factory=dict)  # by proxy, why it is not finite
    benchmark: Mapping[str, float] = field(default_factory=dict)  # the benchmark's figures
    repeat_of: int | None = None  # number of the first trial of the same function
    infeasible: str | None = None  # why it has no objective value, or is beyond a constraint
    seconds: Mapping[str, float] = field(default_factory=dict)  # of ``proxies``, ``benchmark``
    data: str = ""  # fingerprint of the batch
    latency: Mapping[str, float] = field(default_factory=dict)  # how it was measured again

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types; a number that is not finite becomes its name."""
        proxies = {k: v if math.isfinite(v) else str(v) for k, v in self.proxies.items()}
        return {**asdict(self), "proxies": proxies}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Self:
        """Rebuild a record; a ValueError says what is wrong. Keys of later versions are ignored."""
        known = {key: plain[key] for key in cls.__dataclass_fields__ if key in plain}
        record: Self = _checker().validate_python(known)
        return record

    @classmethod
    def of(cls, trial: BaseTrial) -> "TrialRecord | None":
        """Return a trial's record, or None if it has none; a StudyError if it is not ours."""
        plain = trial.user_attrs.get(RECORD)
        if not isinstance(plain, Mapping):
            return None
        try:
            return cls.from_json(plain)
        except ValueError as error:
            what = " ".join(str(error).split())
            raise StudyError(f"trial {trial.number} holds no record of ours: {what}") from error


@cache
def _checker() -> TypeAdapter[Any]:
    return TypeAdapter(TrialRecord)


OnTrial = Callable[[int, TrialRecord], None]
"""Called after each trial, with its number and record."""


def finished_trials(study: Study) -> list[FrozenTrial]:
    """Return the trials that were told, in order of their numbers."""
    states = (TrialState.COMPLETE, TrialState.PRUNED)
    return study.get_trials(deepcopy=False, states=states)


def recorded(study: Study, but: Container[int] = ()) -> Iterator[tuple[FrozenTrial, TrialRecord]]:
    """Yield the finished trials that have a record."""
    for trial in finished_trials(study):
        if trial.number not in but and (record := TrialRecord.of(trial)):
            yield trial, record


def frozen(study: Study, number: int) -> FrozenTrial:
    """Return a trial as the storage has it."""
    return study.get_trials(deepcopy=False)[number]


class Clock:
    """Counts what looking at accuracies would have cost.

    An architecture that is looked at again costs nothing. An isomorph was trained on its own, and
    costs its own time of one training seed, unless accuracies are measured `per_function`.
    """

    def __init__(self, per_function: bool = False) -> None:
        self._per_function = per_function
        self.accuracies = 0
        self.simulated_seconds = 0.0
        self._begun = time.monotonic()
        self._known: set[str] = set()

    def count(self, record: TrialRecord) -> None:
        """Count a trial."""
        key = record.function_key if self._per_function else record.architecture
        if record.benchmark and key not in self._known:
            self._known.add(key)
            self.accuracies += 1
            self.simulated_seconds += record.benchmark.get("train_seconds", 0.0)

    def left(self, config: Config, most: int) -> int:
        """Return how many of `most` trials may be going on beside those counted, by the budgets."""
        study, spent = config.study, time.monotonic() - self._begun
        limits = (study.timeout, spent), (study.max_simulated_seconds, self.simulated_seconds)
        if any(limit and seconds >= limit for limit, seconds in limits):
            return 0
        if study.max_accuracies is None:
            return most
        return max(0, min(most, study.max_accuracies - self.accuracies))


def trials_table(study: Study) -> pd.DataFrame:
    """Return one row a finished trial, in order of their numbers.

    Columns: ``number, state, architecture, function_key, feasible, reason, repeat_of, pareto``,
    one a proxy, one a metric of the benchmark, ``accuracies`` and ``simulated_seconds`` (looked up
    so far, and the training that would have taken: see `Clock`), ``seconds_proxies,
    seconds_benchmark`` and ``duration`` (seconds between asking for and telling the trial).
    """
    best = {trial.number for trial in study.best_trials}
    about = study.user_attrs.get(ACCURACIES)
    clock = Clock(isinstance(about, Mapping) and about.get("per") == "function")
    rows = [_row(trial, record, trial.number in best, clock) for trial, record in recorded(study)]
    if not rows:
        return pd.DataFrame()
    return pd.DataFrame(rows).astype({"repeat_of": "Int64", "reason": "string", "feasible": bool})


def pareto_table(trials: pd.DataFrame, config: Config) -> pd.DataFrame:
    """Return the distinct functions on the Pareto front, best in the first objective first."""
    if trials.empty:
        return trials
    front = trials[trials["pareto"]].drop_duplicates("function_key")
    first = next((o for o in config.active_objectives if o.name in front), None)
    return front.sort_values(first.name, ascending=first.sign < 0) if first else front


def missing_values(study: Study) -> list[str]:
    """Say of each proxy for how many architectures it has no finite value, with a reason."""
    records = (record for _, record in recorded(study) if "proxies" in record.seconds)
    scored = {record.architecture: record for record in records}
    failed: defaultdict[str, list[TrialRecord]] = defaultdict(list)
    for record in scored.values():
        for name in record.failures:
            failed[name].append(record)
    return [
        f"{name} has no value for {len(those):,} of {len(scored):,} architectures, such as "
        f"{those[0].architecture}: {those[0].failures[name]}"
        for name, those in failed.items()
    ]


def _row(trial: FrozenTrial, record: TrialRecord, pareto: bool, clock: Clock) -> dict[str, object]:
    clock.count(record)
    seconds = trial.duration.total_seconds() if trial.duration else math.nan
    return {
        "number": trial.number,
        "state": trial.state.name.lower(),
        "architecture": record.architecture,
        "function_key": record.function_key,
        "feasible": trial.state == TrialState.COMPLETE and record.infeasible is None,
        "reason": record.infeasible,
        "repeat_of": record.repeat_of,
        "pareto": pareto,
        **record.proxies,
        **record.benchmark,
        "accuracies": clock.accuracies,
        "simulated_seconds": clock.simulated_seconds,
        "seconds_proxies": record.seconds.get("proxies", 0.0),
        "seconds_benchmark": record.seconds.get("benchmark", 0.0),
        # A clock that was set back in the meantime tells nothing.
        "duration": seconds if seconds >= 0 else math.nan,
    }


@dataclass(frozen=True)
class Best:
    """The architecture that the ensemble predicts to be best; accuracies in percent."""

    architecture: str
    predicted: float
    low: float  # ends of the prediction's 90 % interval, NaN where nothing could be held out
    high: float
    true: float | None = None  # what training it gave; None without a benchmark
    rank: int | None = None  # its place among all architectures of the benchmark, 1 is best
    out_of: int | None = None
    in_sample: bool = False  # whether it, or an isomorph, is among those that were fitted to

    @property
    def interval(self) -> str:
        """The interval in words; empty where it is not known."""
        return between(self.low, self.high)

    @property
    def place(self) -> str:
        """Its rank in words; empty where that is not known."""
        known = self.rank is not None and self.out_of is not None
        return f"rank {self.rank:,} of {self.out_of:,}" if known else ""


@dataclass(frozen=True)
class Pick:
    """One architecture of the front, and what it gives up for what."""

    architecture: str
    values: Mapping[str, float]  # of the objectives
    shares: Mapping[str, float]
    """By objective its place between the worst and the best of the front, 0 and 1."""
    best: Mapping[str, float]  # of the front, by objective


def picked(front: pd.DataFrame, config: Config) -> Pick | None:
    """Return the architecture of a front of which the weighted sum of the `shares` is largest.

    With equal weights that is the knee of Das 1999, On characterizing the "knee" of the Pareto
    curve: the point farthest from the plane through the best of each objective.
    """
    signs = {o.name: o.sign for o in config.active_objectives if o.name in front}
    finite = front[np.isfinite(front[[*signs]].to_numpy(float)).all(axis=1)]
    given = config.output.pick
    if given is None or not signs or finite.empty:
        return None
    values = finite[[*signs]].astype(float)
    gains = values * [*signs.values()]
    shares = ((gains - gains.min()) / np.ptp(gains.to_numpy(), axis=0)).fillna(1.0)
    weights = [given.get(name, 0.0) if isinstance(given, Mapping) else 1.0 for name in signs]
    first = int((shares.to_numpy() @ weights).argmax())
    return Pick(
        architecture=str(finite["architecture"].iloc[first]),
        values=values.iloc[first].to_dict(),
        shares=shares.iloc[first].to_dict(),
        best={name: float(values[name].iloc[gains[name].argmax()]) for name in signs},
    )


@dataclass(frozen=True, repr=False)
class SearchResult:
    """What a search found; everything in it is also in the run's folder, once it is saved."""

    config: Config
    folder: Path
    trials: pd.DataFrame  # see `trials_table`
    pareto: pd.DataFrame  # the distinct architectures on the front, best objective first
    ensemble: "Ensemble | None"
    ranking: pd.DataFrame
    """By predicted accuracy, a row a function: all of the space that the search allows where their
    scores are at hand, with a column ``seen`` of those looked at; else those looked at."""
    best: Best | None  # the first of the ranking, of the whole space the first not looked at
    notes: tuple[str, ...]  # what the user should know, one sentence each
    seconds: Mapping[str, float]  # wall time by stage
    provenance: str = ""  # what the true accuracies are: data, split, epochs, seeds
    optimum: float | None = None  # the best accuracy that the benchmark holds, in percent
    pareto_ensemble: "Ensemble | None" = None
    """Linear regression of the proxies on the Pareto trials; None where `ensemble` is just that."""
    drawings: Mapping[str, str] = field(default_factory=dict)
    """SVG by architecture, of those best by some measure that only their builder can draw."""
    unseen: tuple[Best, ...] = ()
    """Of a ranking of the whole space the ten best that the search has not looked at."""
    best_seen: Best | None = None  # of those looked at the one of the highest true accuracy
    trained: pd.DataFrame = field(default_factory=pd.DataFrame)
    """What ``zc-search train`` trained since, a row an architecture, the best feasible first:
    ``group, architecture, accuracy, standard_error, trainings, feasible`` and costs; and
    ``test_accuracy, test_standard_error`` where there are images to test by."""
    confusion: pd.DataFrame = field(default_factory=pd.DataFrame)
    """Which class they take for which, see `read_confusion`."""
    about_study: Mapping[str, Any] = field(default_factory=dict)  # its attributes
    study: Study | None = field(default=None, compare=False)  # None where it was read from files

    def __repr__(self) -> str:
        best = self.best or self.best_seen
        named = f", best {best.architecture!r}" if best else ""
        count = f"{len(self.trials)} trials, {len(self.pareto)} on the front"
        return f"<SearchResult {self.config.study.name!r}: {count}{named}>"

    @property
    def pick(self) -> Pick | None:
        """The one of the front that ``output.pick`` asks for; None where it asks for none."""
        return picked(self.pareto, self.config)


# Which class is taken for which ------------------------------------------------------------------

CONFUSION = "confusion.csv"
"""Of a training folder: which class trained networks take for which."""

CONFUSION_COLUMNS = ["architecture", "seed", "split", "true", "predicted", "images"]
"""``split`` is ``validation`` or ``test``; a pair of classes without images is left out, but for
those recognised, so that each class has a row."""


def confusion_rows(matrix: NDArray[np.int64], names: tuple[str, ...], **about: Any) -> pd.DataFrame:
    """Return `CONFUSION_COLUMNS` of a matrix of counts (true, predicted), a row a pair."""
    true, predicted = np.nonzero((matrix > 0) | np.eye(len(names), dtype=bool))
    called = np.array(names, dtype=object)
    pairs = {"true": called[true], "predicted": called[predicted]}
    return pd.DataFrame({**about, **pairs, "images": matrix[true, predicted]})[CONFUSION_COLUMNS]


def read_confusion(folder: Path) -> pd.DataFrame:
    """Return `CONFUSION_COLUMNS` of a training folder; no rows where there is no table."""
    kinds = {"true": str, "predicted": str}  # a class may be called 1, or NA
    return read_rows(folder / CONFUSION, CONFUSION_COLUMNS, dtype=kinds, keep_default_na=False)


def read_rows(path: Path, columns: list[str], **how: Any) -> pd.DataFrame:
    """Return some columns of a table in a training folder; no rows where there is none."""
    if not path.exists():
        return pd.DataFrame(columns=columns)
    try:
        table: pd.DataFrame = pd.read_csv(path, engine="python", **how)[columns]
    except (OSError, ValueError, KeyError) as error:
        message = f"{path} cannot be read: {error}; start over with --fresh"
        raise StudyError(message, given=str(path)) from error
    return table


def confusion_matrix(table: pd.DataFrame) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Return classes in their order, and images by true and predicted class, summed over rows."""
    names = tuple(dict.fromkeys(table["true"]))
    place = {name: number for number, name in enumerate(names)}
    matrix = np.zeros((len(names), len(names)), np.int64)
    where = (table["true"].map(place).to_numpy(int), table["predicted"].map(place).to_numpy(int))
    np.add.at(matrix, where, table["images"].to_numpy(int))
    return names, matrix


def test_accuracies(table: pd.DataFrame) -> pd.DataFrame:
    """Return ``accuracy``, in percent of the test images, by architecture and seed; and images."""
    test = table[table["split"] == "test"]
    right = test["images"].where(test["true"] == test["predicted"], 0)
    by = test[["architecture", "seed", "images"]].assign(right=right)
    sums = by.groupby(["architecture", "seed"], sort=False)[["right", "images"]].sum()
    return sums.assign(accuracy=100 * sums["right"] / sums["images"]).reset_index()


def class_accuracies(table: pd.DataFrame) -> pd.DataFrame:
    """Return ``images``, ``accuracy`` in percent and ``taken_for`` by class, the worst first.

    ``taken_for`` is the class that its images are most often mistaken for, if they ever are.
    """
    names, matrix = confusion_matrix(table)
    images, wrong = matrix.sum(1), matrix - np.diag(np.diag(matrix))
    rows = pd.DataFrame(
        {
            "images": images,
            "accuracy": 100 * np.diag(matrix) / np.maximum(images, 1),
            "taken_for": [names[k] if row[k] else "" for row in wrong for k in [row.argmax()]],
        },
        index=pd.Index(names, name="class"),
    )
    return rows[rows["images"] > 0].sort_values("accuracy", kind="stable")
