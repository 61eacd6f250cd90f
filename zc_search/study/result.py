"""What a search tells of itself: where it stands, and what it found."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from zc_search.config import Config
from zc_search.study.record import TrialRecord

if TYPE_CHECKING:
    from zc_search.ensemble import Ensemble


@dataclass(frozen=True)
class Best:
    """The architecture that the ensemble predicts to be best.

    Attributes:
        architecture: Its string.
        predicted: Predicted accuracy, in percent.
        low: Lower end of the prediction's 90 % interval.
        high: Upper end.
        true: What training it really gave, in percent; None without a benchmark.
        rank: Its place among all architectures of the benchmark, 1 is best.
        out_of: How many architectures those are.
        in_sample: Whether it, or an isomorph, is among those that the ensemble was fitted to.
    """

    architecture: str
    predicted: float
    low: float
    high: float
    true: float | None = None
    rank: int | None = None
    out_of: int | None = None
    in_sample: bool = False


@dataclass(frozen=True)
class SearchResult:
    """What a search found; everything in it is also in the run's folder.

    Attributes:
        config: The resolved configuration.
        folder: The run's folder.
        trials: One row a trial; see `zc_search.study.trials_table`.
        pareto: The distinct architectures on the Pareto front, best objective first.
        ensemble: The fitted ensemble, or None where none could be fitted.
        ranking: All distinct architectures scored, by predicted accuracy.
        best: The first of the ranking.
        notes: What the user should know, one sentence each.
        seconds: Wall time by stage.
        pareto_ensemble: Linear regression of the proxies on the Pareto trials; None where it
            could not be fitted, and where `ensemble` is just that.
        provenance: What the true accuracies are: data, split, epochs, seeds.
        optimum: The best accuracy that the benchmark holds, in percent.
    """

    config: Config
    folder: Path
    trials: pd.DataFrame
    pareto: pd.DataFrame
    ensemble: "Ensemble | None"
    ranking: pd.DataFrame
    best: Best | None
    notes: tuple[str, ...]
    seconds: Mapping[str, float]
    provenance: str = ""
    optimum: float | None = None
    pareto_ensemble: "Ensemble | None" = None


@dataclass
class Progress:
    """Where the search stands."""

    total: int
    done: int = 0
    feasible: int = 0
    functions: set[str] = field(default_factory=set)
    seconds: float = 0.0

    def count(self, record: TrialRecord) -> None:
        """Count one more trial."""
        self.done += 1
        self.feasible += record.infeasible is None
        self.functions.add(record.function_key)
