"""What is compared: a TOML file with the searches, the data sets, the seeds and the budget."""

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, model_validator

from zc_search.config.loading import parse_toml, problems, read_text
from zc_search.config.sections import Count, Section, StudyName
from zc_search.errors import ConfigError
from zc_search.images.datasets import DatasetName
from zc_search.scoring.scores_file import of_dataset

Budget = Annotated[float, Field(gt=0)]
Counts = Annotated[tuple[Count, ...], Field(strict=False)]
Budgets = Annotated[tuple[Budget, ...], Field(strict=False)]


class Race(Section):
    """What every search gets.

    Attributes:
        name: Names the folder of the results.
        folder: Holds one folder a comparison.
        datasets: Whose accuracies are looked up.
        seeds: Searches of each algorithm on each data set; their seeds count from 0.
        accuracies: Architectures that a search looks at.
        simulated_seconds: Training time after which it ends, if that comes first; None for no
            limit.
        at_accuracies: Numbers of accuracies whose best is in the table.
        at_seconds: Simulated seconds whose best is in the table.
        one_training: Whether a search sees the accuracy of one training run, drawn at random, as it
            would if it trained; what it chose is reported with the mean of all runs either way.
        scores: What `zc-search score` wrote, for the algorithms that use proxies: one file, one a
            data set, or ``packaged``. Without it they use the cell's structure.
        workers: Processes; None for one a core.
    """

    name: StudyName = "compare"
    folder: str = Field(default="runs", min_length=1)
    datasets: Annotated[tuple[DatasetName, ...], Field(strict=False, min_length=1)] = (
        "cifar10",
        "cifar100",
        "ImageNet16-120",
    )
    seeds: Count = 20
    accuracies: Count = 150
    simulated_seconds: Budget | None = None
    at_accuracies: Counts = (24, 48, 96)
    at_seconds: Budgets = (12_000.0, 200_000.0)
    one_training: bool = False
    scores: str | dict[str, str] | None = None
    workers: Count | None = None

    def scores_of(self, dataset: str) -> str | None:
        """Return the scores file for a data set, or None."""
        if isinstance(self.scores, dict):
            return self.scores.get(dataset)
        return self.scores and of_dataset(self.scores, dataset)


class Comparison(Section):
    """A whole comparison.

    Attributes:
        compare: What every search gets.
        algorithms: Options of each, by the name that it has in the results. The option ``sampler``
            says which search it is, where that is not its name.
    """

    compare: Race = Race()
    algorithms: dict[str, dict[str, Any]] = Field(min_length=1)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        scores = self.compare.scores
        for dataset in scores if isinstance(scores, dict) else ():
            if dataset not in self.compare.datasets:
                raise ConfigError.unknown(
                    "compared dataset", dataset, self.compare.datasets, key="compare.scores"
                )
        return self


def load_comparison(
    path: str | PathLike[str], changes: Mapping[str, Any] | None = None
) -> Comparison:
    """Read a comparison's file (TOML), `changes` in place of settings of its section ``compare``.

    Raises:
        ConfigError: It cannot be read, is no TOML, or settings are wrong; all of them are listed.
    """
    settings = parse_toml(read_text(Path(path)), str(path))
    section = settings.get("compare", {})
    if changes and isinstance(section, dict):
        settings["compare"] = section | dict(changes)
    try:
        return Comparison.model_validate(settings)
    except ValidationError as error:
        raise ConfigError.of(str(path), problems(error, Comparison, settings)) from error
