"""What is compared: a TOML file with the searches, the data sets, the seeds and the budget."""

import tomllib
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, Self, get_args

from pydantic import BeforeValidator, Field, ValidationError, model_validator
from pydantic_core import ErrorDetails

from zc_search.config.messages import dotted, faults, report, unknown_key
from zc_search.config.sections import Section
from zc_search.config.types import Count, FrozenTable, StudyName, Table
from zc_search.errors import ConfigError, nearest, unknown_name
from zc_search.images.datasets import DatasetName

Budget = Annotated[float, Field(gt=0)]
Counts = Annotated[tuple[Count, ...], Field(strict=False)]
Budgets = Annotated[tuple[Budget, ...], Field(strict=False)]


def _by_dataset(value: Any) -> Any:
    return value if isinstance(value, str) or value is None else FrozenTable.of(value)


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
        scores: What `zc-search score` wrote, for the algorithms that use proxies: one file, or one
            a data set. Without it they use the cell's structure.
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
    scores: Annotated[str | FrozenTable | None, BeforeValidator(_by_dataset)] = None
    workers: Count | None = None

    def scores_of(self, dataset: str) -> str | None:
        """Return the scores file for a data set, or None."""
        if isinstance(self.scores, FrozenTable):
            return self.scores.get(dataset)
        return self.scores


class Comparison(Section):
    """A whole comparison.

    Attributes:
        compare: What every search gets.
        algorithms: Options of each, by the name that it has in the results. The option ``sampler``
            says which search it is, where that is not its name.
    """

    compare: Race = Race()
    algorithms: dict[str, Table] = Field(min_length=1)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        scores = self.compare.scores
        for dataset in scores if isinstance(scores, FrozenTable) else ():
            if dataset not in self.compare.datasets:
                raise ValueError(
                    f"scores are given for {dataset!r}, which is not compared; "
                    f"Allowed: {', '.join(self.compare.datasets)}"
                )
        return self


def load_comparison(
    path: str | PathLike[str], changes: Mapping[str, Any] | None = None
) -> Comparison:
    """Read a comparison's file.

    Args:
        path: The TOML file.
        changes: Settings of its section ``compare`` that replace those of the file.

    Raises:
        ConfigError: It cannot be read, is no TOML, or settings are wrong; all of them are listed.
    """
    path = Path(path)
    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        close = nearest(path.name, sorted(file.name for file in path.parent.glob("*.toml")))
        hint = f"; did you mean {str(path.parent / close)!r}?" if close else ""
        raise ConfigError(f"{path}: no such file{hint}") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as TOML: {error}") from error
    section = settings.get("compare", {})
    if changes and isinstance(section, dict):
        settings["compare"] = section | dict(changes)
    try:
        return Comparison.model_validate(settings)
    except ValidationError as error:
        lines = dict.fromkeys(map(_line, faults(error)))
        raise ConfigError(report(str(path), [*lines])) from error


_EXAMPLES = {"algorithms": "one at least, such as random = {}"}


def _line(detail: ErrorDetails) -> str:
    location, reason = dotted(detail["loc"]), detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "extra_forbidden":
        *section, key = map(str, detail["loc"])
        model = Race if section else Comparison
        reason = unknown_key(key, list(model.model_fields))
    elif detail["type"] in ("missing", "too_short"):
        reason = f"missing; Allowed: {_EXAMPLES.get(location, 'one at least')}"
    elif detail["type"] == "literal_error" and detail["loc"][1:2] == ("datasets",):
        reason = unknown_name("dataset", str(detail["input"]), get_args(DatasetName))
    elif detail["type"] != "value_error":
        reason = f"{detail['input']!r} is given; {reason}"
    return f"{location}: {reason}" if location else reason
