"""The whole configuration: the objectives, and what several sections must agree on."""

from collections.abc import Callable, Iterator, Mapping
from inspect import signature
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from zc_search.config.metrics import METRIC_DIRECTIONS
from zc_search.config.sections import (
    Benchmark,
    Constraints,
    Data,
    Ensemble,
    Output,
    Proxies,
    Section,
    Space,
    Study,
    Training,
)
from zc_search.config.types import objective_name, wrong
from zc_search.errors import ConfigError
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
        allowed = "a number of at least 0 (to turn an objective round, change its direction)"
        raise wrong(value, allowed)
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
            raise ConfigError.unknown("direction", value, DIRECTIONS)
        if value != "default":
            return value
        name = info.data.get("name")  # None if it is wrong, which is reported already
        if name is None or ensemble_file(name):
            return "maximize"
        direction = default_direction(name) or METRIC_DIRECTIONS.get(name)
        if direction is None:
            raise ConfigError(
                f"{name!r} has no default direction; Allowed: maximize, minimize",
                given=value,
                allowed=DIRECTIONS[:2],
            )
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
        raise wrong(value, "a table such as snip = 'maximize'")
    listed = []
    for name, entry in value.items():
        entry = entry if isinstance(entry, Mapping) else {"direction": entry}
        if "name" in entry:
            key = f"objectives.{name}.name"
            raise ConfigError("unknown key; Allowed: direction, scale", key=key, given="name")
        listed.append({"name": name, **entry})
    return tuple(listed)


class Config(Section):
    """All settings of one search, frozen; two of equal settings are equal.

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

    @field_validator("objectives")
    @classmethod
    def _optimises_something(cls, objectives: tuple[Objective, ...]) -> tuple[Objective, ...]:
        names = [objective.name for objective in objectives]
        again = next((name for name in names if names.count(name) > 1), None)
        if not objectives:
            raise ConfigError("missing; Allowed: at least one, such as naswot_relu = 'maximize'")
        if again:
            raise ConfigError(f"{again!r} is there in two spellings; Allowed: one", given=again)
        if not any(objective.scale for objective in objectives):
            raise ConfigError("every scale is 0; Allowed: at least one scale above 0", given=0)
        return objectives

    # Of the last section, so that a rule sees whichever of the others are right in themselves.
    @field_validator("output", mode="before")
    @classmethod
    def _sections_agree(cls, value: Any, info: ValidationInfo) -> Any:
        if problems := [*_broken_rules(info.data)]:
            raise ConfigError.of("sections", problems)
        return value

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


def _not_computed(
    objectives: tuple[Objective, ...],
    proxies: Proxies,
    constraints: Constraints,
    ensemble: Ensemble,
) -> ConfigError | None:
    computed = _computed(objectives, proxies, constraints)
    for proxy in ensemble.proxies or ():
        if proxy not in computed:
            return ConfigError.unknown("computed proxy", proxy, computed, key="ensemble.proxies")
    return None


def _fixed(key: str) -> Callable[[Data, Benchmark, Space], bool]:
    """Return whether a key of ``data`` is given that nothing would look at."""
    return lambda data, benchmark, space: (
        (data.generated or benchmark.name != "none") and getattr(data, key) is not None
    )


_FIXED = (
    "is given, but networks are built for the images of space.dataset = {space.dataset!r}, unless "
    "images are read and benchmark.name = 'none'; Allowed: absent"
)
_WITHOUT = "counts accuracies, but benchmark.name = 'none' has none; Allowed: absent"

# Key, what is wrong (true, a name, or the whole error) where the sections are right that it asks
# for, and how it is said.
_RULES: tuple[tuple[str, Callable[..., Any], str], ...] = (
    (
        "benchmark.name",
        lambda benchmark, space: benchmark.name not in (space.name, "none"),
        "{benchmark.name!r} is given, but it knows no architectures of space.name = "
        "{space.name!r}; Allowed: {space.name}, none",
    ),
    (
        "benchmark.name",
        lambda benchmark, data: (
            benchmark.name != "none" and not data.generated and data.source not in BENCHMARKED
        ),
        "{benchmark.name!r} is given, but it knows no accuracies on images of data.source = "
        "{data.source!r}; Allowed: none",
    ),
    ("data.resolution", _fixed("resolution"), "{data.resolution} " + _FIXED),
    ("data.color", _fixed("color"), "{data.color!r} " + _FIXED),
    (
        "study.max_accuracies",
        lambda study, benchmark: benchmark.name == "none" and study.max_accuracies is not None,
        _WITHOUT,
    ),
    (
        "study.max_simulated_seconds",
        lambda study, benchmark: (
            benchmark.name == "none" and study.max_simulated_seconds is not None
        ),
        _WITHOUT,
    ),
    (
        "objectives.{found}",
        lambda objectives, benchmark: (
            benchmark.name == "none"
            and next((o.name for o in objectives if o.name in METRIC_DIRECTIONS), None)
        ),
        "is a metric of a benchmark, but benchmark.name = 'none'; Allowed: proxies",
    ),
    (
        "ensemble.features",
        lambda ensemble, space: (
            space.name != "nasbench201"
            and {"cell", "flow"}.intersection(ensemble.features.split("+"))
        ),
        "{ensemble.features!r} is given, but space.name = {space.name!r} and only cells of "
        "NAS-Bench-201 have these features; Allowed: without +cell and +flow",
    ),
    (
        "ensemble.from",
        lambda ensemble, benchmark: ensemble.from_ is not None and benchmark.name != "none",
        "is for a search without accuracies, but benchmark.name = {benchmark.name!r}; "
        "Allowed: benchmark.name = 'none', or `zc-search ensemble apply`",
    ),
    ("ensemble.proxies", _not_computed, ""),
)


def _broken_rules(sections: Mapping[str, Any]) -> Iterator[ConfigError]:
    for key, broken, sentence in _RULES:
        asked = signature(broken).parameters
        if not set(asked) <= sections.keys():
            continue  # what is wrong with a section in itself is reported already
        found = broken(**{name: sections[name] for name in asked})
        if isinstance(found, ConfigError):
            yield found
        elif found:
            where, said = key.format(found=found), sentence.format(**sections)
            section, _, name = where.partition(".")
            given = found if found is not True else getattr(sections[section], name, None)
            allowed = said.partition("Allowed: ")[2].split(", ")
            yield ConfigError(f"{where}: {said}", key=where, given=given, allowed=allowed)
