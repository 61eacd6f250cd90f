"""The layout of MASE's zero-cost search, read into this project's settings.

MASE (https://github.com/DeepWok/mase) describes a search under ``[search.search_space]`` and
``[search.strategy]``. What is said there keeps its meaning; what means nothing here is listed.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from zc_search.config.metrics import ALIASES, METRIC_DIRECTIONS
from zc_search.config.sections import wrong
from zc_search.errors import ConfigError, Location, dotted, unknown_key
from zc_search.images.datasets import DATASETS
from zc_search.proxies.catalogue import default_direction
from zc_search.spaces import PARAMETERS
from zc_search.spaces.nasbench201.architecture import NOTATIONS

_SPACE: Location = ("search", "search_space", "nas_zero_cost", "config")
_STRATEGY: Location = ("search", "strategy")
_SETUP: Location = (*_STRATEGY, "setup")
_RUNNER: Location = (*_STRATEGY, "sw_runner", "zero_cost")
_METRICS: Location = (*_STRATEGY, "metrics")

_SINGLE = ("dataset", "name", "C", "N", "number_classes")
_RENAMED = {
    "n_jobs": "workers",
    "n_trials": "n_trials",
    "timeout": "timeout",
    "sum_scaled_metrics": "sum_objectives",
}
_PROXIES = {
    "jacob_cov": "jacov",
    # MASE's call eval() first
    "naswot": "naswot[mode=eval]",
    "naswot_relu": "naswot_relu[mode=eval]",
}
_EPOCHS = 12  # of whose trainings MASE shows `get_more_info`, twelve figures
_DIRECTIONS = ("maximize", "minimize")
_OPERATIONS = NOTATIONS["mase"]
_MEANINGS = [f"{code} ({name})" for code, name in enumerate(_OPERATIONS)]
_AROUND: dict[Location, tuple[str, ...]] = {
    ("search",): ("search_space", "strategy", "sw_runner"),
    ("search", "search_space"): ("name", "nas_zero_cost"),
    ("search", "search_space", "nas_zero_cost"): ("config",),
    _STRATEGY: ("name", "eval_mode", "sw_runner", "hw_runner", "setup", "metrics"),
    (*_STRATEGY, "sw_runner"): ("zero_cost",),
    (*_STRATEGY, "hw_runner"): (),
    ("search", "sw_runner"): ("name",),
}
"""What has a meaning in the tables around those that are translated."""


@dataclass
class _Translation:
    """What a file in MASE's layout says in this project's terms."""

    settings: dict[str, Any] = field(default_factory=dict)  # what `Config` is validated from
    origins: dict[str, str] = field(default_factory=dict)  # the key in the file of each setting
    ignored: list[str] = field(default_factory=list)  # keys without a meaning here, and the reason
    problems: list[ConfigError] = field(default_factory=list)

    def put(self, section: str, key: str, value: Any, origin: Location) -> None:
        self.settings.setdefault(section, {})[key] = value
        self.origins[f"{section}.{key}"] = dotted(origin)

    def ignore(self, origin: Location, reason: str = "") -> None:
        self.ignored.append(dotted(origin) + (f" ({reason})" if reason else ""))

    def fail(self, origin: Location, problem: ConfigError) -> None:
        self.problems.append(problem.at(dotted(origin)))

    def table(self, raw: Mapping[str, Any], location: Location) -> Mapping[str, Any]:
        """Return the table at a location in the file, empty if there is none."""
        table = raw
        for depth, part in enumerate(location, 1):
            value = table.get(str(part), {})
            if not isinstance(value, Mapping):
                self.fail(location[:depth], wrong(value, "a table"))
                return {}
            table = value
        return table


def translate(raw: Mapping[str, Any]) -> _Translation:
    """Translate a file in MASE's layout."""
    result = _Translation()
    setup = result.table(raw, _SETUP)
    _basics(result, raw)
    _space(result, result.table(raw, _SPACE))
    _setup(result, setup)
    _runner(result, result.table(raw, _RUNNER))
    _metrics(result, result.table(raw, _METRICS), setup)
    _surroundings(result, raw)
    result.settings |= {"benchmark": {"epochs": _EPOCHS}, "output": {"figures": True}}
    return result


def _basics(result: _Translation, raw: Mapping[str, Any]) -> None:
    for key, value in raw.items():
        match key:
            case "search":
                continue
            case "batch_size":
                result.put("data", key, value, (key,))
            case "seed":  # MASE seeds everything with it
                for section in ("study", "data", "proxies", "ensemble"):
                    result.put(section, key, value, (key,))
            case "project":
                name = re.sub(r"[^A-Za-z0-9._-]+", "-", value) if isinstance(value, str) else value
                result.put("study", "name", name, (key,))
            case "accelerator":  # its own examples say gpu and run without one
                result.put("proxies", "device", "auto" if value == "gpu" else value, (key,))
            case _:
                result.ignore((key,))


def _space(result: _Translation, table: Mapping[str, Any]) -> None:
    if not table:
        allowed = "a table with dataset, C, N and op_1_0 to op_3_2"
        result.fail(_SPACE, ConfigError(f"missing; Allowed: {allowed}", allowed=(allowed,)))
        return
    single: dict[str, Any] = {"dataset": "cifar10"}
    for key, value in table.items():
        if key in PARAMETERS:
            codes = value if isinstance(value, list) else [value]
            unknown = [c for c in codes if type(c) is not int or c not in range(len(_MEANINGS))]
            if unknown:
                problem = ConfigError.unknown("operation", unknown[0], _MEANINGS)
                result.fail((*_SPACE, key), problem)
            else:
                operations = [_OPERATIONS[code] for code in codes]
                result.put("space", key, operations, (*_SPACE, key))
        elif key not in (*_SINGLE, "op_0_0"):  # op_0_0 is the input node, not an edge
            result.fail((*_SPACE, key), unknown_key(key, (*_SINGLE, *PARAMETERS)))
        elif isinstance(value, list) and len(value) != 1:
            result.fail((*_SPACE, key), wrong(value, "a list of one value"))
        else:
            single[key] = value[0] if isinstance(value, list) else value
    for key, ours in (("dataset", "dataset"), ("C", "channels"), ("N", "cells")):
        if key in single:
            result.put("space", ours, single[key], (*_SPACE, key))
    name, dataset = single.get("name", "infer.tiny"), single["dataset"]
    if name != "infer.tiny":
        result.fail((*_SPACE, "name"), ConfigError.unknown("network", name, ["infer.tiny"]))
    info = DATASETS.get(dataset) if isinstance(dataset, str) else None  # type: ignore[call-overload]
    if info and single.get("number_classes", info.classes) != info.classes:
        result.ignore((*_SPACE, "number_classes"), f"{dataset} has {info.classes}")
    for edge in PARAMETERS:
        if edge not in table:
            result.ignore((*_SPACE, edge), "missing, so every operation is tried")


def _setup(result: _Translation, table: Mapping[str, Any]) -> None:
    for key, value in table.items():
        origin = (*_SETUP, key)
        if key in _RENAMED:
            result.put("study", _RENAMED[key], value, origin)
        elif key == "sampler":  # MASE does not mind upper case
            name = value.lower() if isinstance(value, str) else value
            result.put("study", key, "brute_force" if name == "bruteforce" else name, origin)
        elif key == "direction" and table.get("sum_scaled_metrics") is not True:
            result.ignore(origin, "each objective has its own, as sum_scaled_metrics is false")
        elif key in ("pkl_ckpt", "save_every_n_trials"):
            result.ignore(origin)
        elif key != "direction":
            result.fail(origin, unknown_key(key, (*_RENAMED, "sampler", "direction")))


def _runner(result: _Translation, table: Mapping[str, Any]) -> None:
    for key, value in table.items():
        origin = (*_RUNNER, key)
        if key == "metrics":
            if isinstance(value, list):
                names = [_PROXIES.get(str(name), name) for name in value]
                value = [name for at, name in enumerate(names) if name not in names[:at]]
            result.put("proxies", "compute", value, origin)
        elif key in ("data_loader", "num_samples"):
            result.ignore(origin, "one batch is scored, see data.source and data.batch_size")
        else:
            result.fail(origin, unknown_key(key, ("metrics", "data_loader", "num_samples")))


def _metrics(result: _Translation, table: Mapping[str, Any], setup: Mapping[str, Any]) -> None:
    """Translate objectives: MASE optimises ``scale * value``, so a negative scale turns one."""
    summed, common = setup.get("sum_scaled_metrics") is True, setup.get("direction")
    if summed and common not in _DIRECTIONS:
        problem = ConfigError.unknown("direction", common, _DIRECTIONS)
        result.fail((*_SETUP, "direction"), problem)
    result.settings["objectives"] = {}
    result.origins["objectives"] = dotted(_METRICS)
    for metric, entry in table.items():
        origin, name = (*_METRICS, metric), _PROXIES.get(metric, metric)
        if metric in ("average_bitwidth", "memory_density"):  # of hardware
            result.ignore(origin)
            continue
        if not isinstance(entry, Mapping):
            result.fail(origin, wrong(entry, "a table with scale and direction"))
            continue
        objective = dict(entry)
        scale = objective.get("scale", 1.0)
        if summed and common in _DIRECTIONS and scale != 0:
            if objective.get("direction", common) != common:
                result.ignore((*origin, "direction"), f"the sum is to {common}")
            objective["direction"] = common
        if isinstance(scale, int | float) and scale < 0:
            usual = default_direction(name) or METRIC_DIRECTIONS.get(ALIASES.get(name, name))
            given = objective.get("direction", "default")
            upwards = (usual if given == "default" else given) == "maximize"
            objective |= {"scale": -scale, "direction": "minimize" if upwards else "maximize"}
        result.put("objectives", name, objective, origin)


def _surroundings(result: _Translation, raw: Mapping[str, Any]) -> None:
    """List what lies around the tables that are translated, but for what is true here anyway."""
    strategy = result.table(raw, _STRATEGY)
    name = strategy.get("name", "optuna")
    if name != "optuna":
        result.fail((*_STRATEGY, "name"), ConfigError.unknown("strategy", name, ["optuna"]))
    if strategy.get("eval_mode", False) is not False:
        result.ignore((*_STRATEGY, "eval_mode"), "networks are scored in training mode")
    for location, known in _AROUND.items():
        for key in result.table(raw, location):
            if key not in known:
                result.ignore((*location, key))
