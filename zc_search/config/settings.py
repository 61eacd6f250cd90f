"""The whole configuration: the objectives, and what several sections must agree on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from zc_search.config.sections import (
    Benchmark,
    Constraints,
    Data,
    Ensemble,
    Output,
    Proxies,
    Section,
    Study,
    Training,
)
from zc_search.config.space import BENCHMARKS_OF, Space
from zc_search.config.types import METRIC_DIRECTIONS, objective_name
from zc_search.errors import unknown_name
from zc_search.images.datasets import BENCHMARKED
from zc_search.proxies.catalogue import Direction, default_direction

DIRECTIONS = ("maximize", "minimize", "default")

ENSEMBLE = "ensemble:"
"""What the name of an objective begins with that is an ensemble's prediction; its file follows."""


def ensemble_file(name: Any) -> str | None:
    """Return the file in an objective's name such as ``ensemble:ensemble.toml``; else None."""
    if isinstance(name, str) and name.startswith(ENSEMBLE) and name.endswith((".toml", ".json")):
        return name.removeprefix(ENSEMBLE)
    return None


def _name(value: Any) -> str:
    return value if ensemble_file(value) else objective_name(value)


def _scale(value: float) -> float:
    if value < 0:
        raise ValueError(
            f"{value!r} is negative; Allowed: a number of at least 0 "
            "(to turn an objective round, change its direction)"
        )
    return value


class Objective(Section):
    """A figure that the search optimises.

    Attributes:
        name: A proxy, a metric of the benchmark, or an ensemble's prediction (`ENSEMBLE`).
        direction: Which way is better.
        scale: Weight in a sum of objectives; without a sum only 0 differs from the others.
            An objective of scale 0 is recorded and not optimised.
    """

    name: Annotated[str, BeforeValidator(_name)]
    direction: Direction = Field(default="default", validate_default=True)
    scale: Annotated[float, AfterValidator(_scale)] = 1.0

    @field_validator("direction", mode="before")
    @classmethod
    def _resolve_direction(cls, value: Any, info: ValidationInfo) -> Any:
        if value not in DIRECTIONS:
            raise ValueError(unknown_name("direction", value, DIRECTIONS))
        if value != "default" or "name" not in info.data:  # a wrong name is reported already
            return "maximize" if value == "default" else value
        name = info.data["name"]
        direction = default_direction(name) or METRIC_DIRECTIONS.get(name)
        if ensemble_file(name):
            direction = "maximize"
        if direction is None:
            raise ValueError(f"{name!r} has no default direction; Allowed: maximize, minimize")
        return direction

    @property
    def sign(self) -> int:
        """+1 to be maximized, -1 to be minimized: its sign in a sum of objectives."""
        return 1 if self.direction == "maximize" else -1


def _listed(value: Any) -> Any:
    """Turn the file's table, name to direction or to a table, into what `Objective` takes."""
    if isinstance(value, tuple):
        return value
    if not isinstance(value, Mapping):
        allowed = "a table such as snip = 'maximize'"
        raise ValueError(f"{value!r} is given; Allowed: {allowed}")  # noqa: TRY004  for pydantic
    listed = []
    for name, entry in value.items():
        if not isinstance(entry, Mapping):
            listed.append({"name": name, "direction": entry})
        elif "name" in entry:
            raise PydanticCustomError(
                "at_key", "unknown key; Allowed: direction, scale", {"key": f"{name}.name"}
            )
        else:
            listed.append({"name": name, **entry})
    return tuple(listed)


class Config(Section):
    """All settings of one search, frozen to their depth; two of equal settings are equal.

    Attributes:
        study: What is run, and for how long.
        space: Which architectures may be visited.
        data: Where the scored batch comes from.
        proxies: What is computed for each architecture.
        benchmark: Which table supplies what training gave.
        constraints: What a network may cost.
        objectives: What is optimised, in the order of the file.
        ensemble: How proxies are turned into a predicted accuracy.
        training: How the best few are trained afterwards.
        output: Where results go.
    """

    study: Study = Study()
    space: Space = Space()
    data: Data = Data()
    proxies: Proxies = Proxies()
    benchmark: Benchmark = Benchmark()
    constraints: Constraints = Constraints()
    objectives: Annotated[tuple[Objective, ...], BeforeValidator(_listed), Field(strict=False)] = ()
    ensemble: Ensemble = Ensemble()
    training: Training = Training()
    output: Output = Output()

    @field_validator("benchmark")
    @classmethod
    def _counts_something(cls, benchmark: Benchmark, info: ValidationInfo) -> Benchmark:
        study, space = info.data.get("study"), info.data.get("space")
        if space is not None and benchmark.name not in (*BENCHMARKS_OF[space.name], "none"):
            raise PydanticCustomError(
                "at_key",
                "{name} is given, but it knows no architectures of space.name = {space}; "
                "Allowed: {allowed}",
                {
                    "key": "name",
                    "name": repr(benchmark.name),
                    "space": repr(space.name),
                    "allowed": ", ".join((*BENCHMARKS_OF[space.name], "none")),
                },
            )
        if benchmark.name == "none" and study is not None:
            for key in ("max_accuracies", "max_simulated_seconds"):
                if getattr(study, key) is not None:
                    raise PydanticCustomError(
                        "at_key",
                        "'none' is given, but {limit} counts what is looked up; "
                        "Allowed: nasbench201",
                        {"key": "name", "limit": f"study.{key}"},
                    )
        data = info.data.get("data")
        known = data is None or data.generated or data.source in BENCHMARKED
        if benchmark.name != "none" and data is not None and not known:
            raise PydanticCustomError(
                "at_key",
                "{name} is given, but it knows no accuracies on images of data.source = "
                "{source}; Allowed: none",
                {"key": "name", "name": repr(benchmark.name), "source": repr(data.source)},
            )
        return benchmark

    @field_validator("objectives")
    @classmethod
    def _optimises_something(
        cls, objectives: tuple[Objective, ...], info: ValidationInfo
    ) -> tuple[Objective, ...]:
        if not objectives:
            raise ValueError("missing; Allowed: at least one, such as naswot_relu = 'maximize'")
        names = [objective.name for objective in objectives]
        if again := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"{again!r} is there in two spellings; Allowed: one")
        if not any(objective.scale for objective in objectives):
            raise ValueError("every scale is 0; Allowed: at least one scale above 0")
        benchmark = info.data.get("benchmark")
        wanted = [objective.name for objective in objectives if objective.name in METRIC_DIRECTIONS]
        if wanted and benchmark is not None and benchmark.name == "none":
            raise PydanticCustomError(
                "at_key",
                "is a metric of a benchmark, but benchmark.name = 'none'; Allowed: proxies",
                {"key": wanted[0]},
            )
        return objectives

    @field_validator("ensemble")
    @classmethod
    def _cells_are_there(cls, ensemble: Ensemble, info: ValidationInfo) -> Ensemble:
        space = info.data.get("space")
        asked = [extra for extra in ("cell", "flow") if extra in ensemble.features.split("+")]
        if asked and space is not None and space.name != "nasbench201":
            raise PydanticCustomError(
                "at_key",
                "{features} is given, but only cells of NAS-Bench-201 have features of {extra}; "
                "space.name = {space}; Allowed: without +cell and +flow",
                {
                    "key": "features",
                    "features": repr(ensemble.features),
                    "extra": " and ".join(asked),
                    "space": repr(space.name),
                },
            )
        return ensemble

    @field_validator("ensemble")
    @classmethod
    def _proxies_are_computed(cls, ensemble: Ensemble, info: ValidationInfo) -> Ensemble:
        benchmark = info.data.get("benchmark")
        if ensemble.from_ is not None and benchmark is not None and benchmark.name != "none":
            raise PydanticCustomError(
                "at_key",
                "is for a search without accuracies, but benchmark.name = {name}; "
                "Allowed: benchmark.name = 'none', or `zc-search ensemble apply`",
                {"key": "from", "name": repr(benchmark.name)},
            )
        if ensemble.proxies is None or not {"proxies", "objectives"} <= info.data.keys():
            return ensemble
        constraints = info.data.get("constraints", Constraints())
        computed = _computed(info.data["objectives"], info.data["proxies"], constraints)
        for proxy in ensemble.proxies:
            if proxy not in computed:
                raise PydanticCustomError(
                    "at_key",
                    "{reason}",
                    {"key": "proxies", "reason": unknown_name("computed proxy", proxy, computed)},
                )
        return ensemble

    @property
    def active_objectives(self) -> tuple[Objective, ...]:
        """The objectives that the study optimises: those of a scale above 0."""
        return tuple(objective for objective in self.objectives if objective.scale)

    @property
    def proxies_to_compute(self) -> tuple[str, ...]:
        """Every proxy to be recorded: the objectives of any scale first, each name once."""
        return _computed(self.objectives, self.proxies, self.constraints)

    @property
    def data_decides(self) -> bool:
        """Whether classes and resolution follow from the images and not from `Space.dataset`."""
        return self.benchmark.name == "none" and not self.data.generated

    @property
    def dataset(self) -> str:
        """What to call the data set that networks are scored for."""
        if not self.data_decides:
            return self.space.dataset
        return self.data.source if self.data.path is None else Path(self.data.path).name


def _computed(
    objectives: tuple[Objective, ...], proxies: Proxies, constraints: Constraints
) -> tuple[str, ...]:
    names = [
        objective.name
        for objective in objectives
        if objective.name not in METRIC_DIRECTIONS and not ensemble_file(objective.name)
    ]
    return tuple(dict.fromkeys((*names, *proxies.compute, *constraints.limits)))
