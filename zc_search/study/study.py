"""Creating a study, or going on with one that is there, if it is the same study."""

import warnings
from importlib.metadata import version
from itertools import count

import optuna
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.study import Study

from zc_search.config import Config, config_differences, config_to_toml, parse_config
from zc_search.errors import ConfigError, StudyError
from zc_search.study.objective import ACCURACIES, DATA, DEFINITIONS, ENSEMBLES, Objective
from zc_search.study.storage import open_storage

# The keys of the study's user attributes that hold the resolved configuration, and which versions
# it was begun with, by package.
CONFIG = "zc_search_config"
VERSIONS = "zc_search_versions"

_WHAT = {
    DATA: "other images",
    DEFINITIONS: "another proxy",
    ENSEMBLES: "another ensemble",
    ACCURACIES: "accuracies of another table",
}


def open_study(
    objective: Objective,
    storage: str | BaseStorage,
    sampler: BaseSampler | None = None,
    config: Config | None = None,
) -> Study:
    """Create the study of an objective, or load it if it was begun.

    Args:
        objective: What its trials are asked; its settings name the study.
        storage: An Optuna storage, or its address.
        sampler: What draws trials.
        config: The settings that must be those of the study; by default the objective's.

    Raises:
        StudyError: The storage cannot be reached; the study there was begun with other settings,
            or with other images, proxies, ensembles or accuracies of the same names, or by
            another tool.
    """
    config = config or objective.config
    if isinstance(storage, str):
        storage = open_storage(storage, config.study.patience)
    study = optuna.create_study(
        study_name=config.study.name,
        storage=storage,
        sampler=sampler,
        directions=objective.directions,
        load_if_exists=True,
    )
    if (begun_with := study.user_attrs.get(CONFIG)) is not None:
        _refuse_differences(config, begun_with)
        _refuse_other_conditions(study, objective)
        return study
    if study.get_trials(deepcopy=False):
        message = (
            f"the storage has a study {config.study.name!r} that zc-search did not make; "
            "choose another study.name"
        )
        raise StudyError(message, key="study.name", given=config.study.name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names(objective.metric_names)
    for key, value in objective.conditions.items():
        study.set_user_attr(key, value)
    study.set_user_attr(VERSIONS, installed_versions())
    study.set_user_attr(CONFIG, config_to_toml(_anywhere(config)))
    return study


def set_aside(name: str, storage: str, patience: float = 0.0) -> str | None:
    """Keep a study under another name, and return that; None where there is no such study."""
    opened = open_storage(storage, patience)
    names = optuna.get_all_study_names(opened)
    if name not in names:
        return None
    new = next(n for k in count(1) if (n := f"{name}.old-{k}") not in names)
    optuna.copy_study(
        from_study_name=name, from_storage=opened, to_storage=opened, to_study_name=new
    )
    optuna.delete_study(study_name=name, storage=opened)
    return new


def installed_versions() -> dict[str, str]:
    """Return the versions of what computes scores."""
    return {package: version(package) for package in ("zc-search", "torch")}


def _anywhere(config: Config) -> Config:
    """Return the settings without the storage's address, which is not the same from everywhere."""
    return config.model_copy(update={"study": config.study.model_copy(update={"storage": None})})


def _refuse_differences(config: Config, begun_with: str) -> None:
    try:
        differences = config_differences(_anywhere(parse_config(begun_with)), _anywhere(config))
    except ConfigError as error:
        message = f"study {config.study.name!r} was begun by another version: {error}"
        raise StudyError(message) from error
    if differences:
        listed = "".join(f"\n  {line}" for line in differences)
        message = (
            f"study {config.study.name!r} was begun with other settings:{listed}\n"
            "go on with the old ones, choose another study.name, or start over with --fresh"
        )
        raise StudyError(message, key="study.name", given=config.study.name)


def _refuse_other_conditions(study: Study, objective: Objective) -> None:
    for key, value in objective.conditions.items():
        before = study.user_attrs.get(key)
        if before is None:  # of an earlier version
            continue
        was, now = (c if isinstance(c, dict) else {"": str(c)} for c in (before, value))
        for name in now:
            if name == "provenance" or name not in was or was[name] == now[name]:
                continue
            about = f" {name!r}" if key in (DEFINITIONS, ENSEMBLES) else ""
            shown = "provenance" if key == ACCURACIES else name
            message = (
                f"study {study.study_name!r} was begun with {_WHAT[key]}{about} "
                f"({was.get(shown)!r}, now {now[shown]!r}): their values cannot be compared; go on "
                "with the same, choose another study.name, or start over with --fresh"
            )
            raise StudyError(message, key=key, given=now[name], allowed=(str(was[name]),))
