"""The sections of a configuration but the objectives: one frozen model each, all with defaults.

What a key means stands in ``search.toml`` beside this file, which `starter` returns.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationInfo,
    field_validator,
    model_validator,
)

from zc_search._utils.plugins import is_plugin
from zc_search.config.metrics import ALIASES, METRIC_DIRECTIONS, METRICS, TABLE_FILES
from zc_search.errors import ConfigError
from zc_search.images.datasets import GENERATED, SOURCES, DatasetName
from zc_search.proxies.catalogue import (
    DEFAULT_DIRECTIONS,
    Direction,
    check_options,
    default_direction,
    installed_proxies,
)
from zc_search.spaces import PLUGIN, SPACES, space_named
from zc_search.spaces.base import ProductSpace
from zc_search.spaces.nasbench101.architecture import VertexOperation
from zc_search.spaces.nasbench201.architecture import Operation
from zc_search.spaces.nats_sss.architecture import CHANNELS
from zc_search.spaces.transnas_micro.architecture import TaskName

SAMPLERS: Mapping[str, str] = {
    "random": "optuna.samplers:RandomSampler",
    "tpe": "optuna.samplers:TPESampler",
    "nsgaii": "optuna.samplers:NSGAIISampler",
    "nsgaiii": "optuna.samplers:NSGAIIISampler",
    "gp": "optuna.samplers:GPSampler",
    "qmc": "optuna.samplers:QMCSampler",
    "brute_force": "optuna.samplers:BruteForceSampler",
    "regularized_evolution": "zc_search.samplers.guided:regularized_evolution",
    "local_search": "zc_search.samplers.guided:local_search",
    "predictor_guided": "zc_search.samplers.guided:predictor_guided",
}
"""The samplers that have a name, and where each one is; see `zc_search.samplers.catalogue`."""

MODELS = ("linear", "ridge", "gap", "gp")
RETIRED_MODELS = {"nonnegative": "ridge", "rank": "gap"}
"""Models of earlier versions, with what replaces them."""
FEATURE_SETS = {
    "standard": ("structure", "operations", "interactions"),
    "rank": ("structure", "operations", "aggregate", "interactions"),
    "structure": ("operations", "aggregate", "interactions"),
}
"""Feature sets, with what may stand behind each."""
FEATURE_SET_NAMES = (
    *FEATURE_SETS,
    *(f"{base}+{extra}" for base, extras in FEATURE_SETS.items() for extra in extras),
)
RETIRED_FEATURES = {"raw": "standard", "spline": "rank", "cell": "structure", "flow": "structure"}
"""Parts of feature sets of earlier versions, with what replaces them."""


# Types --------------------------------------------------------------------------------------------


def wrong(given: Any, allowed: str) -> ConfigError:
    """Say what was given and, in words, what is allowed."""
    text = str(given).lower() if isinstance(given, bool) else repr(given)
    shown = text if len(text) <= 60 else f"{text[:57]}..."
    return ConfigError(f"{shown} is given; Allowed: {allowed}", given=given, allowed=(allowed,))


def _one_of(kind: str, names: Collection[str], plugin: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if isinstance(value, str) and (value in names or is_plugin(value)):
            return value
        raise ConfigError.unknown(kind, value, (*names, plugin))

    return check


def proxy_name(value: Any) -> str:
    """Accept a built-in or installed proxy or the form ``module:function``, with options."""
    return _scored("proxy", value, ())


def objective_name(value: Any) -> str:
    """Accept what `proxy_name` accepts, and the benchmark's metrics."""
    if isinstance(value, str) and ALIASES.get(value, value) in METRIC_DIRECTIONS:
        return ALIASES.get(value, value)
    return _scored("objective", value, METRIC_DIRECTIONS)


def _scored(kind: str, value: Any, others: Iterable[str]) -> str:
    base = check_options(value) if isinstance(value, str) else str(value)
    if base not in DEFAULT_DIRECTIONS:  # to ask what is installed takes a while
        names = (*DEFAULT_DIRECTIONS, *(() if is_plugin(base) else installed_proxies()), *others)
        _one_of(kind, names, "module:function")(base)
    return str(value)


TABLES = {"analog": "nasbench201"} | {
    name: name for name in ("nasbench201", "nats_sss", "nasbench101")
}
"""Benchmarks that others published on a data set, with the space of each."""

TASK_TABLE = "transnas_micro"
"""Benchmark and space whose cells were trained for tasks, on images that a search may not have."""


def _source(value: Any) -> str:
    allowed = (*TABLES, TASK_TABLE, "train", "none")
    own = isinstance(value, str) and (value.endswith(TABLE_FILES) or is_plugin(value))
    if own or value in allowed:
        return str(value)
    raise ConfigError.unknown("benchmark", value, (*allowed, "FILE.csv", "module:function"))


def _directions(value: Any) -> dict[str, Direction]:
    ways = ("maximize", "minimize")
    if not isinstance(value, Mapping) or not all(way in ways for way in value.values()):
        raise wrong(value, "a table such as { energy = 'minimize' }, of maximize and minimize")
    for name in value:
        if default_direction(name) or name in METRICS:
            raise ConfigError(f"{name!r} is known already; Allowed: other names", given=name)
    return dict(value)


def _accuracy(value: Any, info: ValidationInfo) -> str:
    own = info.data.get("directions") or {}
    known = {**METRIC_DIRECTIONS, **own}
    accuracies = [name for name, way in known.items() if way == "maximize"]
    if isinstance(value, str) and ALIASES.get(value, value) in accuracies:
        return ALIASES.get(value, value)
    raise ConfigError.unknown("metric", value, accuracies)


def _study_name(value: str) -> str:
    # The name becomes a folder, so what a file system or a shell reads otherwise is kept out.
    if re.fullmatch(r"[A-Za-z0-9._-]{1,100}", value) and value not in (".", ".."):
        return value
    raise wrong(value, "1 to 100 letters, digits, dots, underscores and hyphens, not '.' or '..'")


def _device(value: Any) -> str:
    if isinstance(value, str) and re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", value):
        return value
    # No nearest spelling: 'gpu' is nearer to 'cpu' than to what it means.
    raise wrong(value, "auto, cpu, mps, cuda, or such as 'cuda:1'")


def _model(value: Any) -> str:
    allowed = (*MODELS, "module:Class")
    _refuse_retired("model", value, (value,), RETIRED_MODELS, allowed)
    return _one_of("model", MODELS, allowed[-1])(value)


def _feature_set(value: Any) -> str:
    base, *extras = value.split("+") if isinstance(value, str) else ("",)
    parts = (base, *extras)
    _refuse_retired("feature set", value, parts, RETIRED_FEATURES, FEATURE_SET_NAMES)
    known = base in FEATURE_SETS and set(extras) <= set(FEATURE_SETS[base])
    if known and len(set(extras)) == len(extras):
        return str(value)
    raise ConfigError.unknown("feature set", value, FEATURE_SET_NAMES)


def _refuse_retired(
    kind: str, value: Any, parts: tuple[Any, ...], retired: Mapping[str, str], allowed: Any
) -> None:
    for part in parts:
        if instead := retired.get(str(part)):
            message = f"{kind} {value!r}: {part!r} is retired; use {instead!r}"
            raise ConfigError(message, given=value, allowed=allowed, hint=instead)


_UNITS = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "B": 1e9}


def _amount(value: Any) -> float:
    """Read a count such as ``800_000`` or ``"0.8M"``."""
    count = value
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([kKMGB]?)\s*", value)
        count = float(match[1]) * _UNITS[match[2]] if match else None
    # 0.8 would mean less than one parameter: who writes it means 0.8 M.
    if isinstance(count, bool) or not isinstance(count, int | float) or not 1 <= count < 1e18:
        raise wrong(value, "a count such as 800000, or text such as '0.8M' (k, M, G)")
    return float(count)


def _channels(value: Any) -> tuple[int, ...]:
    if isinstance(value, list | tuple) and value:
        right = all(type(count) is int and count in CHANNELS for count in value)
        if right and len(set(value)) == len(value):
            return tuple(value)
    raise wrong(value, f"a list of some of {', '.join(map(str, CHANNELS))}, each once")


def _choices(value: Any) -> dict[str, tuple[Any, ...]]:
    if isinstance(value, Mapping) and value:
        lists = [v for v in value.values() if isinstance(v, list | tuple) and v]
        plain = all(isinstance(c, str | int | float) for v in lists for c in v)
        distinct = all(len({(type(c), c) for c in v}) == len(v) for v in lists if plain)
        if len(lists) == len(value) and plain and distinct:
            return {str(name): tuple(values) for name, values in value.items()}
    raise wrong(value, "a table of lists of texts, numbers or true and false, each once")


def _pick(value: Any) -> str | dict[str, float] | None:
    if value is None or value == "knee":
        return value  # type: ignore[no-any-return]
    if isinstance(value, Mapping) and value:
        numbers = [v for v in value.values() if isinstance(v, int | float) and v is not True]
        if len(numbers) == len(value) and all(0 <= v < 1e18 for v in numbers) and any(numbers):
            return {str(name): float(weight) for name, weight in value.items()}
    raise wrong(value, "'knee', or a table of objectives' weights, none below 0 and one above")


def _distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    repeated = sorted({value for value in values if values.count(value) > 1})
    if repeated:
        names = ", ".join(repeated)
        raise ConfigError(f"named more than once: {names}; Allowed: distinct names", given=values)
    return values


Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]  # NumPy's legacy generator takes no more
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
Text = Annotated[str, Field(min_length=1)]
Amount = Annotated[float, BeforeValidator(_amount)]
StudyName = Annotated[str, AfterValidator(_study_name)]
SamplerName = Annotated[str, BeforeValidator(_one_of("sampler", SAMPLERS, "module:Class"))]
SpaceName = Annotated[str, BeforeValidator(_one_of("name", [*SPACES][:-1], PLUGIN))]
DataSource = Annotated[str, BeforeValidator(_one_of("source", SOURCES, "module:object"))]
ModelName = Annotated[str, BeforeValidator(_model)]
FeatureSetName = Annotated[str, BeforeValidator(_feature_set)]
ProxyName = Annotated[str, BeforeValidator(proxy_name)]
FunctionName = Annotated[str, BeforeValidator(_one_of("function", (), "module:function"))]
BenchmarkName = Annotated[str, BeforeValidator(_source)]
Directions = Annotated[dict[str, Direction], PlainValidator(_directions)]
AccuracyName = Annotated[str, BeforeValidator(_accuracy)]
Device = Annotated[str, BeforeValidator(_device)]
Channels = Annotated[tuple[int, ...], PlainValidator(_channels)]
# TOML has lists and strict mode would refuse them where a tuple is wanted.
_SET, _SOME = (Field(strict=False), AfterValidator(_distinct)), Field(min_length=1)
Operations = Annotated[tuple[Operation, ...], *_SET, _SOME]
VertexOperations = Annotated[tuple[VertexOperation, ...], *_SET, _SOME]
ProxyNames = Annotated[tuple[ProxyName, ...], *_SET]
Picking = Annotated[str | dict[str, float] | None, PlainValidator(_pick)]
Choices = Annotated[dict[str, tuple[Any, ...]], PlainValidator(_choices)]
Augmentations = Annotated[tuple[Literal["crop", "flip"], ...], *_SET]


# Sections -----------------------------------------------------------------------------------------


class Section(BaseModel):
    """A table of the file: no unknown key, no conversion between types, no later change."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, validate_default=True
    )


class Study(Section):
    """What is run, and for how long."""

    name: StudyName = "search"
    sampler: SamplerName = "nsgaii"
    sampler_options: dict[str, Any] = {}
    distinct: bool = False
    n_trials: Count = 150
    max_accuracies: Count | None = None
    stagnation: Count | None = None
    max_simulated_seconds: Positive | None = None
    timeout: Positive | None = None
    seed: Seed = 0
    storage: str | None = Field(default=None, min_length=1)
    patience: float = Field(default=60.0, ge=0)
    workers: Count = 1
    attributes: bool = False
    sum_objectives: bool = False


SPACE_KEYS: Mapping[str, Mapping[str, Any]] = {
    name: space.settings for name, space in SPACES.items()
}
"""The keys of `Space` that not every space has, by space, with their defaults."""

_OWN_KEYS = frozenset(key for keys in SPACE_KEYS.values() for key in keys)


class Space(Section):
    """Which architectures may be visited, and their networks; a key of other spaces is None."""

    name: SpaceName = "nasbench201"
    dataset: DatasetName = "cifar10"
    channels: Count | None = None
    cells: Count | None = None
    op_1_0: Operations | None = None
    op_2_0: Operations | None = None
    op_2_1: Operations | None = None
    op_3_0: Operations | None = None
    op_3_1: Operations | None = None
    op_3_2: Operations | None = None
    stage_1: Channels | None = None
    stage_2: Channels | None = None
    stage_3: Channels | None = None
    stage_4: Channels | None = None
    stage_5: Channels | None = None
    vertices: int | None = Field(default=None, ge=2, le=7)
    operations: VertexOperations | None = None
    choices: Choices | None = None

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_space(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        space = space_named(given.get("name", "nasbench201"))
        defaults = space.settings if space else {}
        return {**defaults, **{key: value for key, value in given.items() if value is not None}}

    @field_validator("*")
    @classmethod
    def _belongs_to_the_space(cls, value: Any, info: ValidationInfo) -> Any:
        name, key = info.data.get("name"), info.field_name
        space = space_named(name)
        if value is not None and key in _OWN_KEYS and space and key not in space.settings:
            owners = " and ".join(repr(o) for o, keys in SPACE_KEYS.items() if key in keys)
            allowed = space.settings
            message = f"has no meaning for name = {name!r}, only for {owners}; Allowed: "
            raise ConfigError(message + ", ".join(allowed), given=value, allowed=allowed)
        if key == "choices" and value is not None and space and issubclass(space, ProductSpace):
            space.of_choices(value)
        if key == "channels" and name == "nasbench101" and value is not None and value < 5:
            raise wrong(value, "at least 5, as up to five vertices share them")
        return value


class Data(Section):
    """Where the scored batch comes from."""

    source: DataSource = "patches"
    path: str | None = Field(default=None, min_length=1)
    batch_size: int = Field(default=32, ge=2)
    seed: Seed = 0
    resolution: int | None = Field(default=None, ge=8, le=1024)
    color: Literal["grey", "rgb"] | None = None
    fit: Literal["crop", "pad", "stretch"] = "crop"
    max_unreadable: int = Field(default=10, ge=0)
    validation: float = Field(default=0.2, ge=0.05, le=0.5)

    @property
    def generated(self) -> bool:
        """Whether the images are made up, and so follow any data set."""
        return self.source in GENERATED

    @field_validator("path")
    @classmethod
    def _path_where_needed(cls, path: str | None, info: ValidationInfo) -> str | None:
        source = info.data.get("source")
        known = SOURCES.get(source or "")
        if path is None and known and known.path:
            message = f"missing, but source = {source!r} reads files; Allowed: {known.path}"
            raise ConfigError(message, allowed=(known.path,))
        return path


class Proxies(Section):
    """What is computed for each architecture, and how."""

    compute: ProxyNames = ("params", "flops")
    repeats: Count = 1
    device: Device = "cpu"
    seed: Seed = 0
    timeout: Positive | None = None
    cache: Text = "user"


class Benchmark(Section):
    """What says which accuracy an architecture reaches; ``directions`` are of further metrics."""

    name: BenchmarkName = "nasbench201"
    path: str | None = Field(default=None, min_length=1)
    epochs: Count | None = None
    task: TaskName | None = None
    directions: Directions = {}
    metric: AccuracyName = "val_accuracy"

    @property
    def published(self) -> bool:
        """Whether it is a table that others published, of trainings on `Space.dataset`."""
        return self.name in TABLES

    @property
    def is_file(self) -> bool:
        """Whether it is a table of the user's own."""
        return self.name.endswith(TABLE_FILES)

    @property
    def measured(self) -> bool:
        """Whether accuracies are made while a search runs: by training, or a user's function."""
        return self.name == "train" or is_plugin(self.name)

    @field_validator("path", "epochs", "task", "directions")
    @classmethod
    def _belongs_to_the_source(cls, value: Any, info: ValidationInfo) -> Any:
        name, own = info.data.get("name", "none"), info.field_name == "directions"
        others = name in (*TABLES, TASK_TABLE) and (info.field_name != "task" or name == TASK_TABLE)
        if value and name != "none" and own == (others or name == "train"):
            instead = {
                "path": "no other key",
                "epochs": "training.epochs, for 'train'",
                "task": f"absent, or name = {TASK_TABLE!r}",
            }
            raise ConfigError(
                f"{value!r} has no meaning for name = {name!r}; Allowed: "
                + ("absent, its metrics are known" if own else instead[str(info.field_name)]),
                given=value,
                allowed=("absent",),
            )
        return value


LATENCY = "latency[images=1]"
"""The proxy that is held against ``max_latency_ms`` where ``latency`` names no other one."""


class Constraints(Section):
    """What a network may cost; a trial beyond it is infeasible."""

    max_params: Amount | None = None
    max_flops: Amount | None = None
    max_latency_ms: Positive | None = None
    latency: ProxyName | None = None
    constraint: FunctionName | None = None

    @property
    def limits(self) -> dict[str, tuple[str, float]]:
        """By proxy, the constraint's name and its limit in the unit of the proxy."""
        units = {
            "params": ("max_params", 1e6),
            "flops": ("max_flops", 1e6),
            self.latency or LATENCY: ("max_latency_ms", 1.0),
        }
        return {
            proxy: (name, getattr(self, name) / unit)
            for proxy, (name, unit) in units.items()
            if getattr(self, name) is not None
        }


class Training(Section):
    """How the best few are trained on the images: NAS-Bench-201's recipe, shortened."""

    epochs: Count = 12
    steps: Count | None = None
    patience: Count | None = None
    batch_size: int = Field(default=64, ge=2)
    learning_rate: Positive = 0.1
    weight_decay: float = Field(default=5e-4, ge=0)
    augment: Augmentations = ("crop", "flip")
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    mixup: float = Field(default=0.0, ge=0)
    ema: float = Field(default=0.0, ge=0, lt=1)
    seed: Seed = 0


class Ensemble(Section):
    """How proxies are turned into a predicted accuracy."""

    model: ModelName = "gap"
    features: FeatureSetName = "rank+structure+aggregate"
    fit_on: Literal["pareto", "all"] = "all"
    folds: int = Field(default=5, ge=2)
    repeats: Count = 4
    proxies: Annotated[ProxyNames, _SOME] | None = None
    seed: Seed = 0
    from_: str | None = Field(default=None, min_length=1, alias="from")
    scores: str | None = Field(default=None, min_length=1)


class Output(Section):
    """Where results go."""

    folder: Text = "runs"
    report: bool = True
    figures: bool = False
    pick: Picking = None
