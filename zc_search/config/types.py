"""The types of single settings: names that are checked, and amounts."""

import re
from collections.abc import Callable, Collection, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator

from zc_search._utils.plugins import is_plugin
from zc_search.config.metrics import METRIC_DIRECTIONS, canonical
from zc_search.errors import ConfigError
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

MODELS = ("linear", "ridge", "gap", "gp")
RETIRED_MODELS = {"nonnegative": "ridge", "rank": "gap"}
"""Models of earlier versions, with what replaces them."""
FEATURE_SETS = ("standard", "rank")
FEATURE_EXTRAS = ("structure", "aggregate", "interactions")
RETIRED_FEATURES = {"raw": "standard", "spline": "rank", "cell": "structure", "flow": "structure"}
"""Parts of feature sets of earlier versions, with what replaces them."""


def _one_of(kind: str, names: Collection[str], plugin: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if isinstance(value, str) and (value in names or is_plugin(value)):
            return value
        raise ConfigError.unknown(kind, value, (*names, plugin))

    return check


def proxy_name(value: Any) -> str:
    """Accept a built-in or installed proxy or the form ``module:function``, with options."""
    return _scored("proxy", value, installed_proxies())


def metric_direction(name: str) -> Direction | None:
    """Return which way of a benchmark's metric is better, in whichever spelling; None of others."""
    return METRIC_DIRECTIONS.get(canonical(name))


def objective_name(value: Any) -> str:
    """Accept what `proxy_name` accepts, and the benchmark's metrics."""
    if isinstance(value, str) and canonical(value) in METRIC_DIRECTIONS:
        return canonical(value)
    return _scored("objective", value, (*installed_proxies(), *METRIC_DIRECTIONS))


def _scored(kind: str, value: Any, others: tuple[str, ...]) -> str:
    base = check_options(value) if isinstance(value, str) else str(value)
    _one_of(kind, (*DEFAULT_DIRECTIONS, *others), "module:function")(base)
    return str(value)


def _accuracy(value: Any) -> str:
    accuracies = [name for name in METRIC_DIRECTIONS if name.endswith("_accuracy")]
    name = canonical(value) if isinstance(value, str) else value
    if name in accuracies:
        return str(name)
    raise ConfigError.unknown("metric", value, accuracies)


def _study_name(value: str) -> str:
    # The name becomes a folder, so what a file system or a shell reads otherwise is kept out.
    if re.fullmatch(r"[A-Za-z0-9._-]{1,100}", value) and value not in (".", ".."):
        return value
    allowed = "1 to 100 letters, digits, dots, underscores and hyphens, but not '.' or '..'"
    raise ConfigError(
        f"{value!r} cannot name a folder; Allowed: {allowed}", given=value, allowed=(allowed,)
    )


def _device(value: Any) -> str:
    if isinstance(value, str) and re.fullmatch(r"auto|cpu|cuda(:\d+)?", value):
        return value
    # No nearest spelling: 'gpu' is nearer to 'cpu' than to what it means.
    raise ConfigError(
        f"unknown device {value!r}; Allowed: auto, cpu, cuda, or such as 'cuda:1'",
        given=value,
        allowed=("auto", "cpu", "cuda"),
    )


def _model(value: Any) -> str:
    if instead := RETIRED_MODELS.get(str(value)):
        raise ConfigError(
            f"model {value!r} is retired; use {instead!r}",
            given=value,
            allowed=(*MODELS, "module:Class"),
            hint=instead,
        )
    return _one_of("model", MODELS, "module:Class")(value)


def _feature_set(value: Any) -> str:
    base, *extras = value.split("+") if isinstance(value, str) else ("",)
    extras_allowed = (f"+{extra} behind it" for extra in FEATURE_EXTRAS)
    for part in (base, *extras):
        if instead := RETIRED_FEATURES.get(part):
            raise ConfigError(
                f"feature set {value!r}: {part!r} is retired; use {instead!r}",
                given=value,
                allowed=(*FEATURE_SETS, *extras_allowed),
                hint=instead,
            )
    if (
        base in FEATURE_SETS
        and set(extras) <= set(FEATURE_EXTRAS)
        and len(set(extras)) == len(extras)
    ):
        return str(value)
    raise ConfigError.unknown("feature set", value, (*FEATURE_SETS, *extras_allowed))


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


def distinct(values: tuple[str, ...]) -> tuple[str, ...]:
    """Refuse a list that names something twice."""
    repeated = sorted({value for value in values if values.count(value) > 1})
    if repeated:
        raise ConfigError(
            f"named more than once: {', '.join(repeated)}; Allowed: distinct names", given=values
        )
    return values


def wrong(given: Any, allowed: str) -> ConfigError:
    """Say what was given and, in words, what is allowed."""
    text = str(given).lower() if isinstance(given, bool) else repr(given)
    shown = text if len(text) <= 60 else f"{text[:57]}..."
    return ConfigError(f"{shown} is given; Allowed: {allowed}", given=given, allowed=(allowed,))


Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]  # NumPy's legacy generator takes no more
Count = Annotated[int, Field(ge=1)]
Amount = Annotated[float, BeforeValidator(_amount)]
StudyName = Annotated[str, AfterValidator(_study_name)]
SamplerName = Annotated[str, BeforeValidator(_one_of("sampler", SAMPLERS, "module:Class"))]
DataSource = Annotated[str, BeforeValidator(_one_of("source", DATA_SOURCES, "module:object"))]
ModelName = Annotated[str, BeforeValidator(_model)]
FeatureSetName = Annotated[str, BeforeValidator(_feature_set)]
ProxyName = Annotated[str, BeforeValidator(proxy_name)]
AccuracyName = Annotated[str, BeforeValidator(_accuracy)]
Device = Annotated[str, BeforeValidator(_device)]
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
