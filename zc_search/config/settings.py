"""The whole configuration: the objectives, what sections must agree on, and back to TOML."""

from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import tomlkit
from pydantic import BeforeValidator, Field, ValidationInfo, WrapValidator, field_validator

from zc_search._utils.plugins import is_plugin
from zc_search._utils.text import stripped
from zc_search.config.metrics import METRIC_DIRECTIONS
from zc_search.config.sections import (
    TABLES,
    TASK_TABLE,
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
    objective_name,
    wrong,
)
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


class Objective(Section):
    """A figure that the search optimises, and its weight in a sum; of scale 0 only recorded."""

    name: Annotated[str, BeforeValidator(_name)]
    direction: Direction = Field(default="default", validate_default=True)
    scale: float = Field(default=1.0, ge=0)

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
            message = f"{name!r} has no default direction; Allowed: maximize, minimize"
            raise ConfigError(message, given=value, allowed=DIRECTIONS[:2])
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


def _of_benchmark(value: Any, handler: Any, info: ValidationInfo) -> Any:
    """Make an objective of a metric that only the user's own benchmark has."""
    benchmark = info.data.get("benchmark")
    name = value.get("name") if isinstance(value, Mapping) else None
    if benchmark is None or name not in benchmark.directions:
        return handler(value)
    given = value.get("direction", "default")
    way = benchmark.directions[name] if given == "default" else given
    made = handler({**value, "name": "val_accuracy", "direction": way})
    return made.model_copy(update={"name": name})


_Objectives = tuple[Annotated[Objective, WrapValidator(_of_benchmark)], ...]


class Config(Section):
    """All settings of one search, frozen; two of equal settings are equal."""

    study: Study = Study()
    space: Space = Space()
    data: Data = Data()
    proxies: Proxies = Proxies()
    benchmark: Benchmark = Field(default=Benchmark(), validate_default=True)
    constraints: Constraints = Constraints()
    objectives: Annotated[_Objectives, BeforeValidator(_listed), Field(strict=False)] = ()
    ensemble: Ensemble = Field(default=Ensemble(), validate_default=True)
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

    @field_validator("benchmark")
    @classmethod
    def _default_benchmark(cls, benchmark: Benchmark, info: ValidationInfo) -> Benchmark:
        space = info.data.get("space")
        if "name" in benchmark.model_fields_set or space is None or space.name in TABLES:
            return benchmark
        return benchmark.model_copy(update={"name": "none"})

    @field_validator("ensemble")
    @classmethod
    def _default_features(cls, ensemble: Ensemble, info: ValidationInfo) -> Ensemble:
        space = info.data.get("space")
        if "features" in ensemble.model_fields_set or space is None or space.name == "nasbench201":
            return ensemble
        return ensemble.model_copy(update={"features": "rank+aggregate"})

    # Of the last section, so that it sees whichever of the others are right in themselves.
    @field_validator("output", mode="before")
    @classmethod
    def _sections_agree(cls, value: Any, info: ValidationInfo) -> Any:
        if problems := [*_contradictions(**info.data)]:
            raise ConfigError.of("sections", problems)
        return value

    @field_validator("output")
    @classmethod
    def _picks_by_objectives(cls, output: Output, info: ValidationInfo) -> Output:
        names = [o.name for o in info.data.get("objectives", ()) if o.scale]
        for name in output.pick if isinstance(output.pick, Mapping) and names else ():
            if name not in names:
                raise ConfigError.unknown("objective", name, names, key="pick")
        return output

    @property
    def active_objectives(self) -> tuple[Objective, ...]:
        """The objectives that the study optimises: those of a scale above 0."""
        return tuple(objective for objective in self.objectives if objective.scale)

    @property
    def proxies_to_compute(self) -> tuple[str, ...]:
        """Every proxy to be recorded: the objectives of any scale first, each name once."""
        return _computed(self.objectives, self.proxies, self.constraints, self.metrics)

    @property
    def metrics(self) -> dict[str, Direction]:
        """What the benchmark may know, with its usual direction; all else that is named scores."""
        return {**METRIC_DIRECTIONS, **self.benchmark.directions}

    @property
    def metrics_needed(self) -> tuple[str, ...]:
        """What the benchmark must know: what an ensemble is fitted to, and objectives."""
        names = [o.name for o in self.objectives if o.name in self.metrics]
        return tuple(dict.fromkeys((self.benchmark.metric, *names)))

    @property
    def data_decides(self) -> bool:
        """Whether classes and resolution follow from the images and not from `Space.dataset`."""
        return not self.benchmark.published and not self.data.generated

    @property
    def dataset(self) -> str:
        """What to call the data set that networks are scored for."""
        if not self.data_decides:
            return self.space.dataset
        return self.data.source if self.data.path is None else Path(self.data.path).name


def _computed(
    objectives: tuple[Objective, ...],
    proxies: Proxies,
    constraints: Constraints,
    metrics: Mapping[str, Direction],
) -> tuple[str, ...]:
    names = [o.name for o in objectives if o.name not in metrics and not ensemble_file(o.name)]
    return tuple(dict.fromkeys((*names, *proxies.compute, *constraints.limits)))


def _contradictions(
    study: Study | None = None,
    space: Space | None = None,
    data: Data | None = None,
    proxies: Proxies | None = None,
    benchmark: Benchmark | None = None,
    constraints: Constraints | None = None,
    objectives: tuple[Objective, ...] | None = None,
    ensemble: Ensemble | None = None,
    **_: Section,
) -> Iterator[ConfigError]:
    """Find where sections do not agree; None is one that is wrong in itself."""
    table = benchmark.name if benchmark and benchmark.published else None
    source = benchmark.name if benchmark and benchmark.name != "none" else None
    spaces = {**TABLES, TASK_TABLE: TASK_TABLE}
    if benchmark and space and spaces.get(benchmark.name, space.name) != space.name:
        reason = f"knows no architectures of space.name = {space.name!r}"
        others = [] if is_plugin(space.name) else [space.name]
        yield _refused("benchmark.name", benchmark.name, reason, *others, "none")
    if table and data and not data.generated and data.source not in BENCHMARKED:
        reason = f"knows no accuracies on images of data.source = {data.source!r}"
        yield _refused("benchmark.name", table, reason, "none")
    if source == "train" and data and data.generated:
        reason = f"trains on images, but data.source = {data.source!r} makes them up"
        yield _refused("benchmark.name", source, reason, "a data.source that reads images")
    if source and ensemble and ensemble.from_ is not None:
        reason = f"is for a search without accuracies, but benchmark.name = {source!r}"
        allowed = ("benchmark.name = 'none'", "`zc-search ensemble apply`")
        yield _refused("ensemble.from", ensemble.from_, reason, *allowed)
    if benchmark and data and space and (table or data.generated):
        for key in ("resolution", "color"):
            if (given := getattr(data, key)) is not None:
                reason = (
                    f"is given, but networks are built for the images of space.dataset = "
                    f"{space.dataset!r}, unless images are read and benchmark.name is no published "
                    "table, such as 'none'"
                )
                yield _refused(f"data.{key}", given, reason, "absent")
    if benchmark and source is None:
        for key in ("max_accuracies", "max_simulated_seconds") if study else ():
            if (given := getattr(study, key)) is not None:
                reason = "counts accuracies, but benchmark.name = 'none' has none"
                yield _refused(f"study.{key}", given, reason, "absent")
        for name in (o.name for o in objectives or () if o.name in METRIC_DIRECTIONS):
            reason = "is a metric of a benchmark, but benchmark.name = 'none'"
            yield _refused(f"objectives.{name}", name, reason, "proxies")
    parts = ensemble.features.split("+") if ensemble else []
    if ensemble and space and is_plugin(space.name) and "structure" in parts:
        reason = f"has features that a space ships with, but space.name = {space.name!r}"
        yield _refused("ensemble.features", ensemble.features, reason, "without +structure")
    if ensemble and ensemble.proxies and proxies and constraints and objectives:
        known = {**METRIC_DIRECTIONS, **(benchmark.directions if benchmark else {})}
        computed = _computed(objectives, proxies, constraints, known)
        for proxy in ensemble.proxies:
            if proxy not in computed:
                key = "ensemble.proxies"
                yield ConfigError.unknown("computed proxy", proxy, computed, key=key)


def _refused(key: str, given: Any, reason: str, *allowed: str) -> ConfigError:
    message = f"{key}: {given!r} {reason}; Allowed: {', '.join(allowed)}"
    return ConfigError(message, key=key, given=given, allowed=allowed)


# Back to TOML, and two of them side by side -----------------------------------------------------

_OF_STUDY = "n_trials max_accuracies stagnation max_simulated_seconds timeout workers attributes"
RESUMABLE = (
    *(f"study.{key}" for key in (*_OF_STUDY.split(), "patience")),
    *(f"proxies.{key}" for key in ("device", "timeout", "cache")),
    *(f"ensemble.{key}" for key in ("model", "features", "fit_on", "folds", "repeats", "seed")),
    *("output", "training"),
)
"""Keys and sections that may change between a run and its resumption."""


def starter() -> str:
    """Return a configuration to start from, in which every key is explained."""
    return files("zc_search.config").joinpath("search.toml").read_text(encoding="utf-8")


def config_to_toml(config: Config, template: str = "") -> str:
    """Write every setting that is not absent; ``parse_config`` reads an equal `Config` from it.

    The comments and order of a template are kept, but for one in MASE's layout.
    """
    document = tomlkit.parse(template)
    if "search" in document:
        document = tomlkit.document()
    for name, values in tables(config).items():
        section = document.setdefault(name, tomlkit.table())
        present = section.unwrap()
        reordered = name == "objectives" and [*present] != [*values]
        for key in present:
            if reordered or key not in values:
                del section[key]
        for key, value in values.items():
            # What is equal is left untouched, so that it keeps its notation, such as 1_000.
            if reordered or not _equal(present.get(key), value):
                section[key] = _item(value)
    return tomlkit.dumps(document)


def public(config: Config) -> Config:
    """Return the settings without what is secret in them: the passwords of the storage."""
    address = config.study.storage
    study = config.study.model_copy(update={"storage": address and stripped(address)})
    return config.model_copy(update={"study": study})


def tables(config: Config) -> dict[str, dict[str, Any]]:
    """Return the settings as nested dicts and lists, absent ones left out."""
    result: dict[str, dict[str, Any]] = {}
    for name in type(config).model_fields:
        section = getattr(config, name)
        if name == "objectives":
            result[name] = {objective.name: _objective(objective) for objective in section}
        else:
            result[name] = {
                (type(section).model_fields[key].alias or key): _plain(value)
                for key, value in section
                if value not in (None, {})
            }
    return result


def config_differences(old: Config, new: Config) -> list[str]:
    """Return a line for each key that differs, with both values, but for those in `RESUMABLE`."""
    before, after = _flat(old), _flat(new)
    lines = [
        f"{key}: {_shown(before.get(key))} before, {_shown(after.get(key))} now"
        for key in dict.fromkeys((*before, *after))
        if before.get(key) != after.get(key)
    ]
    # Optuna stores an objective's values by position, so the order is part of a study.
    first, second = ([o.name for o in config.objectives] for config in (old, new))
    if first != second and sorted(first) == sorted(second):
        lines.append(f"objectives: order {', '.join(first)} before, {', '.join(second)} now")
    return lines


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [*map(_plain, value)] if isinstance(value, list | tuple) else value


def _objective(objective: Objective) -> Any:
    if objective.scale == 1:
        return objective.direction
    return {"direction": objective.direction, "scale": objective.scale}


def _item(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    table = tomlkit.inline_table()
    table.update({key: _item(inner) for key, inner in value.items()})
    return table


def _equal(left: Any, right: Any) -> bool:
    """Compare as TOML does, where 1 and true differ."""
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(_equal(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(_equal, left, right))
    return bool(left == right) and isinstance(left, bool) == isinstance(right, bool)


def _flat(config: Config) -> dict[str, Any]:
    return {
        f"{section}.{key}": value
        for section, table in tables(config).items()
        for key, value in table.items()
        if section not in RESUMABLE and f"{section}.{key}" not in RESUMABLE
    }


def _shown(value: Any) -> str:
    return "absent" if value is None else repr(value)
