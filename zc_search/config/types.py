"""The types of single settings: names that are checked, and tables that cannot be changed."""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, PlainValidator

from zc_search.errors import unknown_name
from zc_search.images.datasets import DATA_SOURCES
from zc_search.proxies.catalogue import (
    DEFAULT_DIRECTIONS,
    Direction,
    check_options,
    installed_proxies,
)
from zc_search.spaces.nasbench101.architecture import VertexOperation
from zc_search.spaces.nasbench201.graph import Operation
from zc_search.spaces.nats_sss.architecture import CHANNELS

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

MODELS = ("linear", "ridge", "nonnegative", "rank", "gap")
FEATURE_SETS = ("raw", "standard", "rank", "spline")
FEATURE_EXTRAS = ("cell", "flow", "aggregate", "interactions")

METRIC_DIRECTIONS: dict[str, Direction] = {
    "val_accuracy": "maximize",
    "test_accuracy": "maximize",
    "latency_seconds": "minimize",
    "train_seconds": "minimize",
    "train_accuracy": "maximize",
    "train_loss": "minimize",
    "val_loss": "minimize",
    "test_loss": "minimize",
}
"""The benchmark's metrics, in percent and seconds, with the direction ``"default"`` means."""

_ALIASES = {
    "table_latency": "latency_seconds",
    "train-accuracy": "train_accuracy",
    "train-loss": "train_loss",
    "train-all-time": "train_seconds",
    "valid-accuracy": "val_accuracy",
    "valid-loss": "val_loss",
    "test-accuracy": "test_accuracy",
    "test-loss": "test_loss",
}
"""What MASE and the benchmark's own API call them."""

_IMPORTABLE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


@dataclass(frozen=True, eq=False)
class FrozenTable(Mapping[str, Any]):
    """A table of a TOML file as a value: immutable to its depth, hashable, picklable."""

    pairs: tuple[tuple[str, Any], ...] = ()

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> "FrozenTable":
        """Copy `table`, its lists as tuples and its tables as frozen ones, sorted by key."""
        return cls(tuple((key, _frozen(table[key])) for key in sorted(table)))

    def __getitem__(self, key: str) -> Any:
        return dict(self.pairs)[key]

    def __iter__(self) -> Iterator[str]:
        return iter(dict(self.pairs))

    def __len__(self) -> int:
        return len(self.pairs)

    def __hash__(self) -> int:
        return hash(self.pairs)

    def plain(self) -> dict[str, Any]:
        """Return a fresh copy made of dicts and lists."""
        return {key: thawed(value) for key, value in self.pairs}


def _frozen(value: Any) -> Any:
    if isinstance(value, Mapping):
        return FrozenTable.of(value)
    if isinstance(value, list | tuple):
        return tuple(_frozen(item) for item in value)
    return value


def thawed(value: Any) -> Any:
    """Return `value` with tuples as lists and frozen tables as dicts, as TOML writes them."""
    if isinstance(value, FrozenTable):
        return value.plain()
    if isinstance(value, tuple):
        return [thawed(item) for item in value]
    return value


def _table(value: Any) -> FrozenTable:
    if not isinstance(value, Mapping):
        allowed = "a table such as { population_size = 20 }"
        raise ValueError(f"{value!r} is given; Allowed: {allowed}")  # noqa: TRY004  for pydantic
    return FrozenTable.of(value)


def is_importable(name: str) -> bool:
    """Whether `name` has the form ``module:attribute``; nothing is imported."""
    return _IMPORTABLE.fullmatch(name) is not None


def _one_of(kind: str, allowed: Collection[str], importable: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if isinstance(value, str) and (value in allowed or is_importable(value)):
            return value
        raise ValueError(f"{unknown_name(kind, value, allowed)}, or {importable!r}")

    return check


def proxy_name(value: Any) -> str:
    """Accept a built-in or installed proxy or the form ``module:function``, with options."""
    return _scored("proxy", value, installed_proxies())


def metric_direction(name: str) -> Direction | None:
    """Return which way of a benchmark's metric is better, in whichever spelling; None of others."""
    return METRIC_DIRECTIONS.get(_ALIASES.get(name, name))


def objective_name(value: Any) -> str:
    """Accept what `proxy_name` accepts, and the benchmark's metrics."""
    if isinstance(value, str) and _ALIASES.get(value, value) in METRIC_DIRECTIONS:
        return _ALIASES.get(value, value)
    return _scored("objective", value, (*installed_proxies(), *METRIC_DIRECTIONS))


def _scored(kind: str, value: Any, others: tuple[str, ...]) -> str:
    base = check_options(value) if isinstance(value, str) else str(value)
    _one_of(kind, (*DEFAULT_DIRECTIONS, *others), "module:function")(base)
    return str(value)


def _accuracy(value: Any) -> str:
    accuracies = [name for name in METRIC_DIRECTIONS if name.endswith("_accuracy")]
    name = _ALIASES.get(value, value) if isinstance(value, str) else value
    if name in accuracies:
        return str(name)
    raise ValueError(unknown_name("metric", value, accuracies))


def _study_name(value: str) -> str:
    # The name becomes a folder, so what a file system or a shell reads otherwise is kept out.
    if re.fullmatch(r"[A-Za-z0-9._-]{1,100}", value) and value not in (".", ".."):
        return value
    raise ValueError(
        f"{value!r} cannot name a folder; "
        "Allowed: 1 to 100 letters, digits, dots, underscores and hyphens, but not '.' or '..'"
    )


def _device(value: Any) -> str:
    if isinstance(value, str) and re.fullmatch(r"auto|cpu|cuda(:\d+)?", value):
        return value
    # No nearest spelling: 'gpu' is nearer to 'cpu' than to what it means.
    raise ValueError(f"unknown device {value!r}; Allowed: auto, cpu, cuda, or such as 'cuda:1'")


def _feature_set(value: Any) -> str:
    base, *extras = value.split("+") if isinstance(value, str) else ("",)
    if (
        base in FEATURE_SETS
        and set(extras) <= set(FEATURE_EXTRAS)
        and len(set(extras)) == len(extras)
    ):
        return str(value)
    message = unknown_name("feature set", value, FEATURE_SETS)
    raise ValueError(
        f"{message}, with any of {', '.join(f'+{e}' for e in FEATURE_EXTRAS)} behind it or none"
    )


_UNITS = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "B": 1e9}


def _amount(value: Any) -> float:
    """Read a count such as ``800_000`` or ``"0.8M"``."""
    given = value
    if isinstance(value, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([kKMGB]?)\s*", value)
        value = float(match[1]) * _UNITS[match[2]] if match else None
    # 0.8 would mean less than one parameter: who writes it means 0.8 M.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value < 1e18:
        raise ValueError(
            f"{given!r} is given; Allowed: a count such as 800000, or text such as '0.8M' (k, M, G)"
        )
    return float(value)


def _channels(value: Any) -> tuple[int, ...]:
    if isinstance(value, list | tuple) and value:
        right = all(type(count) is int and count in CHANNELS for count in value)
        if right and len(set(value)) == len(value):
            return tuple(value)
    allowed = ", ".join(map(str, CHANNELS))
    raise ValueError(f"{value!r} is given; Allowed: a list of some of {allowed}, each once")


def distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse a list that names something twice."""
    repeated = sorted({value for value in values if values.count(value) > 1})
    if repeated:
        raise ValueError(f"named more than once: {', '.join(repeated)}; Allowed: distinct names")
    return values


Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]  # NumPy's legacy generator takes no more
Count = Annotated[int, Field(ge=1)]
Amount = Annotated[float, BeforeValidator(_amount)]
StudyName = Annotated[str, AfterValidator(_study_name)]
SamplerName = Annotated[str, BeforeValidator(_one_of("sampler", SAMPLERS, "module:Class"))]
DataSource = Annotated[str, BeforeValidator(_one_of("source", DATA_SOURCES, "module:object"))]
ModelName = Annotated[str, BeforeValidator(_one_of("model", MODELS, "module:Class"))]
FeatureSetName = Annotated[str, BeforeValidator(_feature_set)]
ProxyName = Annotated[str, BeforeValidator(proxy_name)]
AccuracyName = Annotated[str, BeforeValidator(_accuracy)]
Device = Annotated[str, BeforeValidator(_device)]
Table = Annotated[FrozenTable, PlainValidator(_table), PlainSerializer(FrozenTable.plain)]
# TOML has lists and strict mode would refuse them where a tuple is wanted.
Operations = Annotated[
    tuple[Operation, ...], Field(strict=False, min_length=1), AfterValidator(distinct)
]
VertexOperations = Annotated[
    tuple[VertexOperation, ...], Field(strict=False, min_length=1), AfterValidator(distinct)
]
Channels = Annotated[tuple[int, ...], PlainValidator(_channels)]
ProxyNames = Annotated[tuple[ProxyName, ...], Field(strict=False), AfterValidator(distinct)]
SomeProxies = Annotated[
    tuple[ProxyName, ...], Field(strict=False, min_length=1), AfterValidator(distinct)
]
